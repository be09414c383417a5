"""Tests for a daemon's host names, and for browsers' headers about other sites."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.request_origin import (
    HostNames,
    RequestOrigin,
    host_name,
    origin_of,
)


class HostNamesTests(SynchronousTestCase):
    """A page can have any name lead to this machine: only its own are right."""

    def test_loopback(self) -> None:
        """On loopback this machine is called localhost."""
        names = HostNames(patterns=["laptop", "laptop.local"])
        for host in (
            "localhost",
            "LocalHost:8000",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1:8000",
            "127.1.2.3",
            "[::1]:8000",
            "[::1]",
            "[::1%lo]:8000",
            "[::1%25lo]",
            "[::ffff:127.0.0.1]:8000",
            "laptop",
            "Laptop.local:8000",
        ):
            self.assertTrue(names.allow(host), host)
        for host in (
            "",
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "xlocalhost",
            "0.0.0.0:8000",  # which browsers let lead to this machine
            "[::]:8000",
            "[::ffff:0.0.0.0]:8000",
            "192.0.2.1:8000",
            "[2001:db8::1]",
            "[::ffff:192.0.2.1]",
            "laptop.evil.example",
            "::1",
            "localhost:x",
            "evil@localhost",
            "localhost/x",
            "localhost?",
            "localhost#",
            "localhost, evil.example",
            "localhost\0",
            "l\u043ecalhost",  # a Cyrillic letter
            "[localhost]",
            "[::1%]",
            "[::1%a]b]",
            "localhost%lo",
            "2130706433",
            "0x7f.1",
        ):
            self.assertFalse(names.allow(host), host)

    def test_wide(self) -> None:
        """
        An exposed daemon allows any address as host: DNS rebinding cannot use one.
        """
        names = HostNames(exposed=True)
        for host in ("192.0.2.1:8000", "[2001:db8::1]:8000", "127.0.0.1", "localhost"):
            self.assertTrue(names.allow(host), host)
        for host in ("0.0.0.0", "[::]", "224.0.0.1", "laptop.local", "evil.example"):
            self.assertFalse(names.allow(host), host)

    def test_listed(self) -> None:
        """Names that the operator lists are right, with a star for others."""
        names = HostNames(patterns=["CI.example.org", "*.lan", "192.0.2.7"])
        for host in ("ci.example.org:443", "CI.EXAMPLE.ORG", "pi.lan", "192.0.2.7"):
            self.assertTrue(names.allow(host), host)
        for host in ("example.org", "x.ci.example.org", "lan", "192.0.2.8"):
            self.assertFalse(names.allow(host), host)

    def test_any(self) -> None:
        """C{*} allows every name."""
        self.assertTrue(HostNames(patterns=["*"]).allow("anything.example:1"))

    @given(st.text())
    def test_total(self, host: str) -> None:
        """Any text gives a lower-case name or L{None}."""
        found = host_name(host)
        self.assertTrue(found is None or (found and found == found.lower()))
        HostNames(patterns=["a"], exposed=True).allow(host)


class OriginTests(SynchronousTestCase):
    """The site whose page sent the request."""

    def site(self, origins: tuple[str, ...] = (), /, **headers: str) -> RequestOrigin:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return origin_of(lambda name: [named[name]] if name in named else [], origins)

    def test_twice(self) -> None:
        """A header that comes twice is refused: the other may be read elsewhere."""
        for name in ("origin", "sec-fetch-site", "sec-fetch-dest", "referer"):
            for pair in (("http://x", "http://evil.example"), ("none", "none")):
                headers = defaultdict[str, list[str]](list)
                headers.update({"host": ["x"], name: list(pair)})
                found = origin_of(headers.__getitem__)
                self.assertIs(found, RequestOrigin.OTHER, name)

    def test_none(self) -> None:
        """curl and its like ask by themselves."""
        self.assertIs(self.site(host="x"), RequestOrigin.OWN)

    def test_own(self) -> None:
        """Requests of our own pages, and typed addresses, are our own."""
        self.assertIs(self.site(host="x:1", origin="http://x:1"), RequestOrigin.OWN)
        self.assertIs(self.site(sec_fetch_site="none"), RequestOrigin.OWN)
        typed = self.site(host="x:1", origin="http://x:1", sec_fetch_site="none")
        self.assertIs(typed, RequestOrigin.OWN)
        for origin in ({}, {"origin": "https://proxy.test"}):
            found = self.site(host="x", sec_fetch_site="same-origin", **origin)
            self.assertIs(found, RequestOrigin.OWN)

    def test_other(self) -> None:
        """Any other request is foreign, whatever headers are missing."""
        for headers in (
            {"origin": "null"},
            {"origin": ""},
            {"origin": "http://x:2"},
            {"origin": "http://x:1.evil.example"},
            {"origin": "http://evil.example", "sec_fetch_site": "cross-site"},
            {"sec_fetch_site": "same-site"},
            {"sec_fetch_site": "cross-site"},
            {"sec_fetch_site": ""},
            {"sec_fetch_site": "same-origin", "origin": "null"},
            {"sec_fetch_site": "none", "origin": "null"},
            {"sec_fetch_site": "none", "origin": "http://evil.example"},
            {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
            {
                "sec_fetch_site": "cross-site",
                "sec_fetch_mode": "navigate",
                "sec_fetch_dest": "document",
                "origin": "http://evil.example",
            },
        ):
            self.assertIs(
                self.site(host="x:1", **headers), RequestOrigin.OTHER, headers
            )

    def test_link(self) -> None:
        """A followed link may lead here, but its page sees nothing."""
        for site in ("cross-site", "same-site"):
            found = self.site(
                sec_fetch_site=site,
                sec_fetch_mode="navigate",
                sec_fetch_dest="document",
            )
            self.assertIs(found, RequestOrigin.LINK)

    def test_referer(self) -> None:
        """If a browser sends no other header, C{Referer} tells the origin."""
        for referer, site in (
            ("http://x:1/", RequestOrigin.OWN),
            ("http://x:1/runs?a=b", RequestOrigin.OWN),
            ("http://evil.example/http://x:1/", RequestOrigin.LINK),
            ("http://x:1.evil.example/", RequestOrigin.LINK),
            ("http://x:2/", RequestOrigin.LINK),
            ("about:client", RequestOrigin.LINK),
        ):
            self.assertIs(self.site(host="x:1", referer=referer), site, referer)

    def test_listed(self) -> None:
        """A listed origin may do what our own may; others may not."""
        listed = ("https://dash.example",)
        for origin, site in (
            ("https://dash.example", RequestOrigin.LISTED),
            ("http://dash.example", RequestOrigin.OTHER),
            ("https://dash.example:8443", RequestOrigin.OTHER),
            ("https://dash.example.evil.example", RequestOrigin.OTHER),
        ):
            found = self.site(listed, origin=origin, sec_fetch_site="cross-site")
            self.assertIs(found, site, origin)
