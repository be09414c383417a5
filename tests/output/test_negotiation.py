"""Tests for L{shellstream.output.negotiation}."""

import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.errors import NotAcceptable
from shellstream.output.formats import FORMATS, Frames, Sse
from shellstream.output.negotiation import (
    MAX_PARAMETERS,
    MAX_RANGES,
    negotiate,
    prefers_html,
)

CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FRAMES = "application/vnd.shellstream.frames"

#: Media ranges, some of which cover a format.
RANGES = st.sampled_from(
    ["*/*", "text/*", "application/*", "text/html", *(f.media_type for f in FORMATS)]
)

#: C{Accept} headers, and the name of the format that each gets.
ANSWERED = {
    # no format named
    None: "plain",
    "": "plain",
    " , ,": "plain",
    "*/*": "plain",
    "*": "plain",
    "text/*": "plain",
    CHROMIUM: "plain",
    FIREFOX: "plain",
    "application/json, text/plain, */*": "plain",
    "application/json, */*;q=0.5": "plain",
    # one format named
    "text/plain": "plain",
    "text/event-stream": "sse",
    "Text/Event-Stream": "sse",
    "text/event-stream;charset=UTF-8": "sse",
    "application/x-ndjson": "ndjson",
    "application/*": "ndjson",
    # curl --json asks so; HTTPie and axios add that they take anything
    "application/json": "ndjson",
    "application/json;q=0.1, text/html": "ndjson",
    "application/json;q=0, text/html": "plain",
    FRAMES: "frames",
    "application/json, text/event-stream": "sse",
    # weights
    "text/plain;q=0.5, text/event-stream": "sse",
    "text/event-stream;q=0.5, text/plain": "plain",
    "text/plain;q=0.2, application/*;q=0.3": "ndjson",
    f"{FRAMES};q=0.001": "frames",
    "text/event-stream;Q=0.1, application/x-ndjson; q=0.2": "ndjson",
    # ties
    "text/event-stream, text/plain": "plain",
    f"{FRAMES}, application/x-ndjson, text/event-stream": "sse",
    f"{FRAMES}, application/x-ndjson": "ndjson",
    # the most specific range counts, wherever it stands
    "*/*, text/plain;q=0.1": "sse",
    "text/plain;q=0.1, text/*": "sse",
    "text/*;q=0.1, */*;q=0.2": "ndjson",
    # 0 means not at all
    "*/*, text/plain;q=0": "sse",
    "*/*, text/*;q=0.0": "ndjson",
    "text/plain;q=0, text/event-stream;q=0.0, application/x-ndjson;q=0.000, */*": (
        "frames"
    ),
    # parameters
    'text/plain;x="a,b;c";q=0, text/event-stream': "sse",
    'text/plain;charset="utf-8", text/plain;q=0.1, text/event-stream;q=0.5': "plain",
    "text/plain;q=0.1, text/plain;charset=utf-8, text/event-stream;q=0.5": "plain",
    'text/event-stream;x="': "sse",
    # as Java's URLConnection asks
    "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2": "plain",
    # malformed ranges are ignored
    "nonsense, text/event-stream": "sse",
    "a/b/c, text/event-stream": "sse",
    "text/event-stream, text/plain;q=x": "sse",
    "text/event-stream, text/plain;q=": "sse",
    "text/event-stream, text/plain;q=1.1": "sse",
    "text/event-stream, text/plain;q=-1": "sse",
    "text/event-stream, text/plain;q=nan": "sse",
    "nonsense": "plain",
    # no format is accepted
    "text/html": "plain",
    "image/*": "plain",
    "*/*;q=0": "plain",
    "text/plain;q=0": "plain",
    "text/event-stream;q=0": "plain",
    "/, text/, /plain, text/event-stream": "sse",
}


class NegotiateTests(SynchronousTestCase):
    """A client gets the format that it would rather have."""

    def test_accept(self) -> None:
        """The Accept header is read as RFC 9110 says; if in doubt, it is plain."""
        for accept, name in ANSWERED.items():
            with self.subTest(accept=accept):
                self.assertEqual(negotiate(accept, None).name, name)

    def test_wanted(self) -> None:
        """The C{format} parameter wins over the C{Accept} header."""
        for one in FORMATS:
            self.assertIs(negotiate("text/html", one.name), one)

    def test_unknown(self) -> None:
        """An unknown name is refused, with the nearest one."""
        for name in ("", "SSE", "json", "plain ", "x" * 10_000):
            error = self.assertRaises(NotAcceptable, negotiate, "*/*", name)
            self.assertLess(len(str(error)), 400)
        error = self.assertRaises(NotAcceptable, negotiate, None, "ndjso")
        self.assertIn("'ndjso' (did you mean 'ndjson'?)", str(error))

    def test_names_known(self) -> None:
        """The error for an unknown format lists the known ones."""
        error = self.assertRaises(NotAcceptable, negotiate, "*/*", "xml")
        self.assertIn("one of: plain (text/plain), sse (text/ev", str(error))
        facts = [{"name": f.name, "media_type": f.media_type} for f in FORMATS]
        self.assertEqual((error.status, error.extensions), (406, {"formats": facts}))

    def test_fewer(self) -> None:
        """A resource with fewer formats negotiates only those."""
        some = (Frames(), Sse())
        self.assertEqual(negotiate("*/*", None, some), Frames())
        self.assertEqual(negotiate("text/plain", None, some), Frames())
        self.assertEqual(negotiate("application/json", None, some), Frames())
        error = self.assertRaises(NotAcceptable, negotiate, None, "plain", some)
        names = [each.name for each in some]
        facts = [{"name": f.name, "media_type": f.media_type} for f in some]
        self.assertEqual(names, ["frames", "sse"])
        self.assertEqual(error.extensions["formats"], facts)

    @given(st.text() | st.text('textplain/*;,q=01."\\ ', max_size=60))
    def test_anything(self, accept) -> None:
        """Any header selects a format."""
        self.assertIn(negotiate(accept, None), FORMATS)

    @given(st.lists(st.tuples(RANGES, st.integers(0, 1000)), min_size=1, max_size=6))
    def test_weights(self, asked) -> None:
        """The most specific range decides over each format, the weights over all."""
        weights: dict[str, int] = {}
        for wanted, weight in asked:
            weights.setdefault(wanted, weight)  # of equal ranges the first counts
        header = ", ".join(f"{name};q={w / 1000:.3f}" for name, w in asked)

        def weight_of(media_type: str) -> int:
            kind = media_type.partition("/")[0]
            ranges = (media_type, f"{kind}/*", "*/*")
            return next((weights[each] for each in ranges if each in weights), 0)

        found = {one: weight_of(one.media_type) for one in FORMATS}
        best = max(found, key=lambda one: found[one])
        self.assertIs(negotiate(header, None), best)  # of equal weights, the first

    def test_first(self) -> None:
        """Of thousands of media ranges the first ones count."""
        some = "a/b, " * (MAX_RANGES - 1)
        self.assertEqual(negotiate(f"{some}text/event-stream", None).name, "sse")
        self.assertEqual(negotiate(f"a/b, {some}text/event-stream", None).name, "plain")
        many = ";a=b" * MAX_PARAMETERS
        self.assertEqual(negotiate(f"text/event-stream{many};q=0", None).name, "sse")

    @given(st.sampled_from(['"', '\\"', '"\\', ";", ",", "*/*;", 'a/b;c="', "q=0."]))
    def test_long(self, part) -> None:
        """The time for a header is proportional to its length."""
        began = time.process_time()
        negotiate(part * 20_000, None)
        self.assertLess(time.process_time() - began, 2)  # about 0.05; squared: hours


class PrefersHtmlTests(SynchronousTestCase):
    """Browsers get pages."""

    def test_browsers(self) -> None:
        """A browser's address bar gets the page."""
        for accept in (CHROMIUM, FIREFOX, "text/html", "text/html, */*;q=0.1"):
            self.assertTrue(prefers_html(accept), accept)

    def test_others(self) -> None:
        """A client without a preference, or with one for JSON, gets JSON."""
        html_too = "text/html, application/json"
        worse = "text/html;q=0.5, application/json;q=0.6"
        for accept in (None, "", "*/*", "application/json", html_too, worse, "x"):
            self.assertFalse(prefers_html(accept), accept)
