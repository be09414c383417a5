"""Tests for L{shellstream.web.resources.query}: a query that is read field by field."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.errors import ParametersRefused
from shellstream.model.events import Stream
from shellstream.web.resources.query import MAX_OFFSET, Query
from shellstream.web.resources.request_params import Params

KNOWN = ("count", "flag", "stream", "text")
TEXTS = st.one_of(
    st.text(max_size=20),
    st.text("0123456789-+ ._", max_size=20),
    st.sampled_from(["true", "false", "stdout", "stderr", "0", "10", str(MAX_OFFSET)]),
)


class QueryTests(SynchronousTestCase):
    """Fields are parsed, and all mistakes are reported at once."""

    def refused(self, query: Query) -> dict[str, str]:
        """The refusals, by name."""
        error = self.assertRaises(ParametersRefused, query.validate)
        return {each.name: each.detail for each in error.refused}

    def test_taken(self) -> None:
        """Every kind of field is parsed to its type."""
        given: Params = [
            ("count", "7"),
            ("flag", "true"),
            ("stream", "stderr"),
            ("text", "x"),
        ]
        query = Query(given, KNOWN)
        self.assertEqual(query.number("count", 0, 9), 7)
        self.assertIs(query.flag("flag"), True)
        self.assertIs(query.one_of("stream", Stream), Stream.STDERR)
        self.assertEqual(query.text("text"), "x")
        query.validate()

    def test_left_out(self) -> None:
        """A missing parameter is L{None}, or its default."""
        query = Query([], KNOWN)
        self.assertIsNone(query.number("count", 1, 9))
        self.assertIs(query.flag("flag"), False)
        self.assertIs(query.flag("flag", default=True), True)
        self.assertIsNone(query.one_of("stream", Stream))
        self.assertIsNone(query.text("text"))
        query.validate()

    def test_numbers(self) -> None:
        """A number is in its bounds, in plain decimal digits."""
        for text, number in (("0", 0), ("9", 9), ("007", 7)):
            query = Query([("count", text)], KNOWN)
            self.assertEqual(query.number("count", 0, 9), number)
            query.validate()
        for text in ("", "-1", "10", "+1", " 1", "1 ", "1.0", "1e0", "0x1", "\u0661"):
            query = Query([("count", text)], KNOWN)
            self.assertIsNone(query.number("count", 0, 9))
            expected = {"count": "must be an integer from 0 to 9"}
            self.assertEqual(self.refused(query), expected)

    def test_largest(self) -> None:
        """Offsets go as far as JavaScript counts, however long the digits."""
        query = Query([("count", str(MAX_OFFSET))], KNOWN)
        self.assertEqual(query.number("count", 0, MAX_OFFSET), MAX_OFFSET)
        for text in (str(MAX_OFFSET + 1), "9" * 5000, "0" * 5000):
            query = Query([("count", text)], KNOWN)
            self.assertIsNone(query.number("count", 0, MAX_OFFSET))
            self.assertIn("count", self.refused(query))

    def test_seconds(self) -> None:
        """Seconds may have a fraction, up to a limit."""
        for text, expected in (
            ("0", 0.0),
            ("10", 10.0),
            ("0.25", 0.25),
            ("6.874031847801262", 6.874031847801262),
            ("6.8e-05", 6.8e-05),
            ("1E1", 10.0),
        ):
            self.assertEqual(
                Query([("count", text)], KNOWN).seconds("count", 10), expected
            )
        self.assertIsNone(Query([], KNOWN).seconds("count", 10))
        for text in (
            "",
            "10.1",
            "-1",
            "2e1",
            "1e999",
            "1e",
            "inf",
            "nan",
            "1.",
            ".5",
            "\u0661",
        ):
            query = Query([("count", text)], KNOWN)
            self.assertIsNone(query.seconds("count", 10))
            why = "must be a number of seconds from 0 to 10"
            self.assertEqual(self.refused(query), {"count": why}, text)

    def test_flags(self) -> None:
        """A flag is true or false, in these words."""
        for text in ("", "1", "True", "yes", "on"):
            query = Query([("flag", text)], KNOWN)
            query.flag("flag")
            self.assertEqual(self.refused(query), {"flag": "must be true or false"})
        query = Query([("flag", "false")], KNOWN)
        self.assertIs(query.flag("flag", default=True), False)

    def test_values(self) -> None:
        """The error for a wrong value lists the right ones."""
        query = Query([("stream", "stdin")], KNOWN)
        self.assertIsNone(query.one_of("stream", Stream))
        expected = {"stream": "must be one of stdout, stderr"}
        self.assertEqual(self.refused(query), expected)

    def test_unknown(self) -> None:
        """The error for an unknown name lists the known ones."""
        found = self.refused(Query([("txet", "1"), ("x" * 99, "")], KNOWN))
        there_are = "there are count, flag, stream, text"
        self.assertEqual(
            found,
            {
                "txet": f"is unknown here (did you mean 'text'?); {there_are}",
                "x" * 80: f"is unknown here; {there_are}",
            },
        )
        found = self.refused(Query([("x", "")], ()))
        self.assertEqual(found, {"x": "is unknown here; there are none"})

    def test_repeated(self) -> None:
        """A field is given once, even if it says the same."""
        found = self.refused(Query([("text", "a"), ("text", "a")], KNOWN))
        self.assertEqual(found, {"text": "is given more than once"})

    def test_all_at_once(self) -> None:
        """All mistakes are reported together."""
        query = Query([("count", "x"), ("flag", "x"), ("y", "")], KNOWN)
        query.number("count", 0, 9)
        query.flag("flag")
        query.refuse("text", "is missed")
        self.assertEqual(list(self.refused(query)), ["y", "count", "flag", "text"])

    @given(st.lists(st.tuples(st.sampled_from((*KNOWN, "other")), TEXTS), max_size=4))
    def test_anything(self, given) -> None:
        """Any parameters are parsed, or refused by name."""
        query = Query(given, KNOWN)
        count = query.number("count", 1, 10)
        query.flag("flag")
        query.one_of("stream", Stream)
        try:
            query.validate()
        except ParametersRefused as error:
            self.assertTrue({each.name for each in error.refused} <= dict(given).keys())
        else:
            self.assertEqual(len(dict(given)), len(given))
            self.assertTrue(count is None or 1 <= count <= 10)
            self.assertEqual("count" in dict(given), count is not None)
