"""Tests for L{shellstream.model.trace_context}."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.trace_context import (
    MAX_MEMBERS,
    MAX_STATE,
    TraceContext,
    trace_context,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class TraceContextTests(SynchronousTestCase):
    """A trace context is passed on if it is valid, and ignored if it is not."""

    def test_valid(self) -> None:
        """The example of the recommendation, and what a later version may send."""
        found = trace_context([PARENT], ["rojo=00f067aa0ba902b7", "congo=t61 rcWkgMzE"])
        state = "rojo=00f067aa0ba902b7,congo=t61 rcWkgMzE"
        self.assertEqual(found, TraceContext(PARENT, state))
        assert found is not None
        self.assertEqual(found.trace_id, TRACE)
        variables = {"TRACEPARENT": PARENT, "TRACESTATE": state}
        self.assertEqual(found.variables, variables)
        for later in (f"cc{PARENT[2:]}-what-ever", f"cc{PARENT[2:-2]}ff"):
            found = trace_context([later])
            assert found is not None
            self.assertEqual(found.variables, {"TRACEPARENT": PARENT})

    def test_invalid(self) -> None:
        """Anything else is no trace context."""
        for parents in (
            [],
            [PARENT, PARENT],
            [""],
            [PARENT.upper()],
            [PARENT[:-1]],
            [f"{PARENT}-x"],
            [f"{PARENT} "],
            [f"ff{PARENT[2:]}"],
            [f"cc{PARENT[2:]}.x"],
            [PARENT.replace(TRACE, "0" * 32)],
            [PARENT.replace("b7ad6b7169203331", "0" * 16)],
            [PARENT.replace("-01", "-0g")],
        ):
            self.assertIsNone(trace_context(parents, ["a=b"]), parents)

    def test_state(self) -> None:
        """A state with a member that is not valid is left out, as a whole."""
        for states, kept in (
            (["a=1, b=2 ", "", "\tc=3,"], "a=1,b=2,c=3"),
            (["t0@vendor=x"], "t0@vendor=x"),
            (["a=1,a=2"], ""),
            (["A=1"], ""),
            (["a=1,b"], ""),
            (["a=b=c"], ""),
            (["a="], ""),
            (["a=\x1b[31m"], ""),
            ([",".join(f"k{n}=v" for n in range(MAX_MEMBERS))], None),
            ([",".join(f"k{n}=v" for n in range(MAX_MEMBERS + 1))], ""),
        ):
            found = trace_context([PARENT], states)
            assert found is not None
            expected = ",".join(states) if kept is None else kept
            self.assertEqual(found.state, expected, states)

    def test_bounded(self) -> None:
        """Of a long state the long members go first, then the oldest ones."""
        long, short = "long=" + "x" * 200, [f"k{n}=" + "v" * 100 for n in range(9)]
        found = trace_context([PARENT], [",".join([long, *short])])
        assert found is not None
        self.assertEqual(found.state, ",".join(short[:4]))
        found = trace_context([PARENT], ["a=b,", "x" * 100_000])
        assert found is not None
        self.assertEqual(found.state, "")

    @given(st.lists(st.text()), st.lists(st.text()))
    def test_any(self, parents: list[str], states: list[str]) -> None:
        """Any headers give printable variables, or none."""
        for first in (parents, [PARENT]):
            found = trace_context(first, states)
            if found is not None:
                for value in found.variables.values():
                    self.assertTrue(value.isascii() and value.isprintable())
                    self.assertLessEqual(len(value), MAX_STATE)
