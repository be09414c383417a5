"""Tests for L{shellstream.web.server.access_log}."""

import re

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.loader import Config
from shellstream.web.server.access_log import MAX_FIELD, masked
from tests.support.http import WebTestCase
from tests.support.registries import LOGIN

TOKEN = "shs_0123abcd_" + "5" * 64
#: What a line looks like, whatever is in it.
FIELD = r'"(?:[^"\\]|\\.)*"'
LINE = rf"{FIELD} - \S+ \[[^]]+\] {FIELD} \d+ (?:\d+|-) {FIELD} {FIELD}\n"


class MaskedTests(SynchronousTestCase):
    """Secrets are masked in a request's target."""

    def test_masked(self) -> None:
        """Secret parameters, tokens, and the credentials in a URL."""
        for target, shown in (
            ("/", "/"),
            ("/stream/x?a=1&b=2", "/stream/x?a=1&b=2"),
            ("/stream/x?pin=1&a=2&pin=3", "/stream/x?pin=***&a=2&pin=***"),
            ("/stream/x?p%69n=1", "/stream/x?p%69n=***"),
            ("/stream/x?pin", "/stream/x?pin"),
            ("/stream/x?spin=1", "/stream/x?spin=1"),
            (f"/stream/x?token={TOKEN}", "/stream/x?token=***"),
            (f"/stream/x?a=%73{TOKEN[1:]}", "/stream/x?a=***"),
            (f"/stream/x?{TOKEN}", "/stream/x?shs_***"),
            (f"/{TOKEN}/x", "/shs_***/x"),
            ("ftp://me:pw@host/a@b", "ftp://***@host/a@b"),
            ("/x?url=http%3A//me:pw@host/", "/x?url=***"),
            ("/x?mail=me@host", "/x?mail=me@host"),
        ):
            self.assertEqual(masked(target, {"pin"}), shown)

    def test_cut(self) -> None:
        """A long text is cut, and shows no part of a secret where it is cut."""
        self.assertEqual(masked("x" * 9000, ()), "x" * MAX_FIELD + "...")
        for before in ("http://me:", "/x?a=1&pin=", "/x?u=http%3A//me:", "/shs_"):
            for filled in range(MAX_FIELD - 40, MAX_FIELD + 1):
                text = "/" + "y" * (filled - len(before)) + before
                found = masked(f"{text}tr0ub4dor{'z' * 20}@host/", {"pin"})
                self.assertNotIn("tr", found)

    @given(st.text(), st.text(), st.text())
    def test_any(self, before: str, value: str, after: str) -> None:
        """A secret is masked up to the next parameter, whatever surrounds it."""
        value = re.sub("[&?]", "", value) + "tr0ub4dor"
        self.assertNotIn(
            "tr0ub4dor", masked(f"/x?{before}&pin={value}&{after}", {"pin"})
        )


class LineTests(WebTestCase):
    """An answer has a line in the access log."""

    config = Config(commands={"login": LOGIN}, default="login")

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []
        self.site.log = self.log  # type: ignore[method-assign]

    def log(self, request) -> None:
        self.lines.append(self.site._logFormatter("", request) + "\n")

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
