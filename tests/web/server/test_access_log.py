"""Tests for L{shellstream.web.server.access_log}."""

import re
from collections.abc import Sequence
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.loader import Config
from shellstream.web.openapi.document import document
from shellstream.web.server.access_log import (
    FIELDS,
    FLUSH_DELAY,
    MAX_FIELD,
    MOST_WAITING,
    WORDS,
    LoggedNames,
    masked,
)
from tests.support.fakes import SAY
from tests.support.http import WebTestCase
from tests.support.registries import LOGIN

TOKEN = "shs_0123abcd_" + "5" * 64
#: What a line looks like, whatever is in it.
FIELD = r'"(?:[^"\\]|\\.)*"'
LINE = rf"{FIELD} - \S+ \[[^]]+\] {FIELD} \d+ (?:\d+|-) {FIELD} {FIELD}\n"


NAMES = LoggedNames({"x"}, {"a", "b", "mail", "url"}, {"pin"})


class TargetTests(SynchronousTestCase):
    """Of a request's target the log shows what is known here, without secrets."""

    def test_target(self) -> None:
        """Names that the operator gave, and values that are no secrets, are shown."""
        run = "01a2050e-a04c-7e78-8dd1-12bb84a02f7a"
        for target in (
            "/",
            "",
            "/runs",
            f"/runs/{run}/output?offset=5&follow=false",
            "/stream/x?a=1&b=2",
            "/x?mail=me@host",
            "/stream/x?",
            "/stream/x?pin",
            "/runs?command=x&limit=9&",
        ):
            self.assertEqual(NAMES.target(target), target)

    def test_masked(self) -> None:
        """Everything else may be a secret in the wrong place."""
        for target, shown in (
            ("/stream/tr0ub4dor", "/stream/***"),
            ("/tr0ub4dor/x", "/***/x"),
            ("/runs/tr0ub4dor/output", "/runs/***/output"),
            ("/stream/x/tr%30ub4dor", "/stream/x/***"),
            ("/stream/x?pin=1&a=2&pin=3", "/stream/x?pin=***&a=2&pin=***"),
            ("/stream/x?p%69n=1", "/stream/x?p%69n=***"),
            ("/stream/x?tr0ub4dor", "/stream/x?***"),
            ("/stream/x?spin=1", "/stream/x?***"),
            ("/stream/x?tr0ub4dor=&a=1", "/stream/x?***&a=1"),
            ("/login?next=/stream/x%3Fpin%3D1", "/login?next=***"),
            (f"/stream/x?token={TOKEN}", "/stream/x?***"),
            (f"/stream/x?a=%73{TOKEN[1:]}", "/stream/x?a=***"),
            (f"/stream/x?{TOKEN}", "/stream/x?***"),
            (f"/{TOKEN}/x", "/***/x"),
            ("/x?url=http%3A//me:pw@host/", "/x?url=***"),
        ):
            self.assertEqual(NAMES.target(target), shown)

    def test_url(self) -> None:
        """The same for the page that a request came from, whosever it is."""
        for url, shown in (
            ("-", "-"),
            ("http://x:1/runs?limit=5#top", "http://x:1/runs?limit=5"),
            (
                "https://me:pw@other.example/tr0ub4dor?q=1",
                "https://other.example/***?***",
            ),
            ("http://x", "http://x"),
            ("tr0ub4dor", "***"),
            ("ftp://me:pw@host/", "***"),
        ):
            self.assertEqual(NAMES.url(url), shown)

    def test_text(self) -> None:
        """Other texts have no tokens, nor passwords in URLs."""
        for text, shown in (
            ("curl/8.0 (+http://x/)", "curl/8.0 (+http://x/)"),
            (f"x {TOKEN} y", "x shs_*** y"),
            ("ftp://me:pw@host/a@b", "ftp://***@host/a@b"),
        ):
            self.assertEqual(masked(text), shown)

    def test_cut(self) -> None:
        """A long text is cut, and shows no part of a secret where it is cut."""
        self.assertEqual(masked("x" * 9000), "x" * MAX_FIELD + "...")
        self.assertEqual(NAMES.target("/" + "x" * 9000), "/***...")
        for before in ("http://me:", "/x?a=1&pin=", "/x?u=http%3A//me:", "/shs_"):
            for filled in range(MAX_FIELD - 40, MAX_FIELD + 1):
                text = "/" + "y" * (filled - len(before)) + before
                text = f"{text}tr0ub4dor{'z' * 20}@host/"
                for found in (NAMES.target(text), NAMES.url(f"http://{text[1:]}")):
                    self.assertNotIn("tr", found.removeprefix("http"))
        found = masked("y" * (MAX_FIELD - 12) + "http://me:tr0ub4dor@host/")
        self.assertNotIn("me:", found)

    @given(st.text(), st.text(), st.text())
    def test_any(self, before: str, value: str, after: str) -> None:
        """A secret is masked up to the next parameter, whatever surrounds it."""
        value = re.sub("[&?]", "", value) + "tr0ub4dor"
        for name in ("pin", "pni", ""):
            target = f"/x?{before}&{name}={value}&{after}"
            self.assertNotIn("tr0ub4dor", NAMES.target(target))

    def test_known(self) -> None:
        """The words of our paths and queries are those of the document for machines."""
        found = document(Config(commands={"say": SAY}, default="say"), True, "x")
        words: set[str] = set()
        fields = {"lastEventId"}
        shared: Any = found["components"]
        paths: Any = found["paths"]
        for path, item in paths.items():
            words.update(each for each in path.split("/") if "{" not in each)
            parts = (item, *(part for part in item.values() if isinstance(part, dict)))
            for each in (each for part in parts for each in part.get("parameters", ())):
                name = each.get("$ref", "").rpartition("/")[2]
                parameter = shared["parameters"][name] if name else each
                if parameter["in"] == "query":
                    fields.add(parameter["name"])
        self.assertEqual(words - {"", "say"}, WORDS)
        # What somebody searches may be anything.
        self.assertEqual(fields - {"next", "text"}, FIELDS)


class LineTests(WebTestCase):
    """An answer has a line in the access log."""

    config = Config(commands={"login": LOGIN}, default="login")

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []
        self.site.log = self.log  # type: ignore[method-assign]

    def log(self, request) -> None:
        self.lines.append(f"{self.site.access_log.line(request)}\n")

    def test_line(self) -> None:
        """A line has the client, the request, the address and the result."""
        headers = {"User-Agent": 'a "b"', "Referer": "http://x/?pin=1"}
        self.ask("GET", "/runs?pin=1", headers=headers)
        (line,) = self.lines
        self.assertRegex(line, LINE)
        line = re.sub(r"\[.*\]", "[]", line)
        self.assertEqual(
            line,
            '"127.0.0.1" - anonymous [] "GET /runs?pin=*** HTTP/1.1" 400 '
            f'{len(self.reply().body)} "http://x/?pin=***" "a \\"b\\""\n',
        )

    def test_streamed(self) -> None:
        """The same for a long response, of which little is remembered."""
        self.ask("GET", "/stream?who=me&password=1", headers={"User-Agent": "x"})
        self.started.exit()
        (line,) = self.lines
        self.assertIn('"GET /stream?who=me&password=*** HTTP/1.1" 200 ', line)
        self.assertTrue(line.endswith('"-" "x"\n'))

    def test_long(self) -> None:
        """However long a request is, its line is not."""
        long = "\xff" * 3000
        for target, headers in (
            ("/commands", {"User-Agent": long, "Referer": long}),
            ("/" + "x" * 15_000, {}),
            ("/commands?" + "a=&" * 5000, {}),
        ):
            self.lines.clear()
            self.ask("GET", target, headers=headers)
            (line,) = self.lines
            self.assertLess(len(line), 5000)
        self.lines.clear()
        self.ask("X" * 15_000, "/")
        self.assertLess(len(self.lines[0]), 1000)

    @given(st.binary(min_size=1), st.binary())
    @example(b'\\" "', b"\x1b[2J\x7f\xff")
    def test_forged(self, target: bytes, agent: bytes) -> None:
        """Every request makes one line of printable ASCII, with the same fields."""
        self.serve(self.config)
        self.site.log = self.log  # type: ignore[method-assign]
        self.lines.clear()
        target = re.sub(rb"[\r\n ]", b"", target)
        agent = re.sub(rb"[\r\n\0]", b"", agent)
        head = b"GET /%b HTTP/1.0\r\nUser-Agent: %b\r\n\r\n" % (target, agent)
        self.connection.send(head)
        for line in self.lines:
            self.assertRegex(line, rf"\A{LINE}\Z")
            self.assertTrue(line.isascii() and line[:-1].isprintable(), line)

    def test_late(self) -> None:
        """Lines are written later, an entry each; none is lost at the end."""
        self.serve(self.config)
        self.site.startFactory()
        with capturedLogs() as logged:
            for _ in range(3):
                self.ask("GET", "/commands")
            self.assertEqual(logged, [])
            self.clock.advance(FLUSH_DELAY)
            self.assert_lines(logged, 3)
            self.ask("GET", "/commands")
            self.site.stopFactory()
            self.assert_lines(logged, 4)
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many(self) -> None:
        """No more than some lines wait."""
        self.serve(self.config)
        self.site.startFactory()
        with capturedLogs() as logged:
            for _ in range(MOST_WAITING + 1):
                self.ask("GET", "/commands")
            self.assert_lines(logged, MOST_WAITING)
        self.site.stopFactory()

    def assert_lines(self, logged: Sequence[LogEvent], count: int) -> None:
        """Check that so many lines are written, an entry each."""
        self.assertEqual(len(logged), count)
        for each in logged:
            self.assertRegex(f"{formatEvent(each)}\n", rf"\A{LINE}\Z")
