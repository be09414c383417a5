"""Tests for L{shellstream.web.server.response_head}."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.errors import HeaderValue
from shellstream.web.server.response_head import FIXED_HEADERS, response_head


class ResponseHeadTests(SynchronousTestCase):
    """A head says what it is given, and what every head says."""

    def lines(self, headers: Mapping[str, HeaderValue]) -> list[str]:
        head = response_head("HTTP/1.1", 200, headers).decode()
        self.assertTrue(head.endswith("\r\n\r\n"))
        return head.split("\r\n")[:-2]

    def test_lines(self) -> None:
        """Each value has a line, and so has each fixed header."""
        first, date, *lines = self.lines({"A": "1", "B": ("2", "3")})
        self.assertEqual(first, "HTTP/1.1 200 OK")
        self.assertTrue(date.startswith("Date: "))
        fixed = [f"{name}: {value}" for name, value in FIXED_HEADERS.items()]
        self.assertEqual(lines[: len(fixed)], fixed)
        self.assertEqual(lines[-3:], ["A: 1", "B: 2", "B: 3"])

    def test_policy(self) -> None:
        """A response has one policy: its own, or the one of all others."""
        for headers in ({}, {"Content-Security-Policy": "default-src x"}):
            found = [each for each in self.lines(headers) if "default-src" in each]
            self.assertEqual(len(found), 1)

    @given(st.text())
    def test_injected(self, value: str) -> None:
        """No value adds a line, whatever a client has put into it."""
        self.assertEqual(len(self.lines({"A": value})), len(self.lines({"A": ""})))
