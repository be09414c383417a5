"""Tests for L{shellstream.web.server.forwarded}."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.web.server.forwarded import (
    MAX_HOPS,
    forwarded_for,
    forwarded_user,
    mark_of_proxy,
    x_forwarded_for,
)

LINES = st.lists(st.text(st.sampled_from('for=;, "\\[]:.%12af_')) | st.text())


class ForwardedTests(SynchronousTestCase):
    """The addresses of hops, as proxies write them."""

    def test_x_forwarded_for(self) -> None:
        """Addresses of both families, with ports, brackets and quotation marks."""
        for text, hops in (
            ("203.0.113.5", ["203.0.113.5"]),
            ("203.0.113.5:4711", ["203.0.113.5"]),
            (" 203.0.113.5 ,198.51.100.1", ["203.0.113.5", "198.51.100.1"]),
            ("2001:db8::1", ["2001:db8::1"]),
            ("[2001:db8::1]", ["2001:db8::1"]),
            ('"[2001:db8::1]"', ["2001:db8::1"]),
            ('"[2001:DB8::1]:4711"', ["2001:db8::1"]),
            ("fe80::1%eth0", ["fe80::1"]),
            ("unknown", [None]),
            ("", [None]),
            ("203.0.113.5:", [None]),
            ("203.0.113:5", [None]),
            ("[203.0.113.5", [None]),
        ):
            self.assertEqual(x_forwarded_for([text]), hops, text)
        self.assertEqual(x_forwarded_for(["1.1.1.1", "2.2.2.2"])[-1], "2.2.2.2")

    def test_forwarded(self) -> None:
        """The examples of RFC 7239, 4, and some that it allows."""
        for text, hops in (
            ('For="[2001:db8:cafe::17]:4711"', ["2001:db8:cafe::17"]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", ["192.0.2.60"]),
            ("for=192.0.2.43, for=198.51.100.17", ["192.0.2.43", "198.51.100.17"]),
            ("proto=http; FOR=192.0.2.60:1", ["192.0.2.60"]),
            ('host="a,b;for=1.2.3.4";for=192.0.2.60', ["192.0.2.60"]),
            ('host="a\\",b";for=192.0.2.60', ["192.0.2.60"]),
            ("for=unknown", [None]),
            ("for=_hidden, for=_SEVKISEK", [None, None]),
            ("by=203.0.113.43", [None]),
        ):
            self.assertEqual(forwarded_for([text]), hops, text)

    def test_user(self) -> None:
        """The user is the one of the last element, which the nearest proxy wrote."""
        for lines, users in (
            (['for=192.0.2.1;remote_user="alice"'], ["alice"]),
            (["remote_user=mallory", 'for=x;Remote_User="a\\"b"'], ['a"b']),
            (["remote_user=mallory, for=192.0.2.1"], []),
            (["remote_user=alice;remote_user=bob"], ["alice", "bob"]),
            ([], []),
        ):
            self.assertEqual(forwarded_user(lines), users, lines)

    def test_mark(self) -> None:
        """A request is known by what proxies add to it."""
        for headers, mark in (
            ({"x-forwarded-for": ["1"]}, "x-forwarded-for"),
            ({"accept": ["*/*"], "x-forwarded-new": [""]}, "x-forwarded-new"),
            ({"via": ["1.1 x"], "host": ["y"]}, "via"),
            ({"not-x-forwarded-for": ["1"], "forwarded-by": ["x"]}, ""),
            ({"connection": ["close"]}, ""),
            ({}, ""),
        ):
            self.assertEqual(mark_of_proxy(headers, b"HTTP/1.1"), mark, headers)
        closing = {"connection": ["close"]}
        self.assertEqual(mark_of_proxy(closing, b"HTTP/1.0"), "connection")
        closing["not-x-forwarded-for"] = ["1"]
        self.assertEqual(mark_of_proxy(closing, b"HTTP/1.0"), "connection")
        self.assertEqual(mark_of_proxy(closing, b"HTTP/1.1"), "")

    @given(LINES)
    def test_any(self, lines: list[str]) -> None:
        """Any text gives addresses, or none, and no more than a number."""
        for parse in (x_forwarded_for, forwarded_for):
            hops = parse(lines)
            self.assertLessEqual(len(hops), MAX_HOPS)
            for hop in hops:
                self.assertTrue(hop is None or str(ip_address(hop)) == hop)
