"""Tests for L{shellstream.client.urls}: what a user types becomes a URL."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.errors import Usage
from shellstream.client.urls import host_header, http_url

#: What is typed, and what is asked for.
TAKEN = {
    "h:8000/stream": "http://h:8000/stream",
    "HTTP://LapTop:80": "http://laptop",
    "https://h:443/x": "https://h/x",
    "https://h:80/x": "https://h:80/x",
    "h:": "http://h",
    "localhost.:8000": "http://localhost.:8000",
    # addresses
    "[::1]:8000/stream": "http://[::1]:8000/stream",
    "[2001:DB8::1]": "http://[2001:db8::1]",
    "https://[fe80::1%eth0]": "https://[fe80::1%eth0]",
    "[fe80::1%25eth0]:8000": "http://[fe80::1%eth0]:8000",
    "[fe80::1%2]": "http://[fe80::1%2]",
    "127.1:8000": "http://127.0.0.1:8000",
    "0x7f.1": "http://127.0.0.1",
    # names that DNS has and IDNA refuses
    "my_pi": "http://my_pi",
    "ab--cd.local": "http://ab--cd.local",
    "-x-.local": "http://-x-.local",
    "a" * 63: f"http://{'a' * 63}",
    # international names
    "b\u00fccher.example": "http://xn--bcher-kva.example",
    "B\u00dcCHER.example.": "http://xn--bcher-kva.example.",
    "stra\u00dfe.example": "http://xn--strae-oqa.example",
    "\u2603.example": "http://xn--n3h.example",  # not in IDNA 2008
    "\u65e5\u672c\u8a9e\u3002jp": "http://xn--wgv71a119e.jp",
    "xn--bcher-kva.example": "http://xn--bcher-kva.example",
    # paths
    "h/stream/\u00fc?n=\u00df": "http://h/stream/%C3%BC?n=%C3%9F",
    "h/%zz?a[]=1&b=%20#c": "http://h/%zz?a[]=1&b=%20#c",
}

REFUSED = (
    *("", "http://", "http:///stream", "/stream", "h/a b", "h/a\nb", "a\tb"),
    *("http:/h/stream", "HTTPS:/h", "http:", "http:///h"),
    *("h:0", "h:99999", "h:x", "h:-1", "h\\x", "h%41", "h^x"),
    *("[::1", "[::1]x", "x[::1]", "[::1]:x", "[h]", "[127.0.0.1]", "[v1.x]"),
    *("::1", "fe80::1%eth0", "[::1%a%b]", "1.2.3.4.5", "256.1.1.1", "1.2.3.0x"),
    *("a..b", ".", "..", ".a", "a" * 64, "a." * 127, "\u00fc" * 64, "\u200d.example"),
    *("caf\udce9.example", "h/\udce9"),
)


class UrlTests(SynchronousTestCase):
    """A URL is asked for as curl and browsers do."""

    def test_taken(self) -> None:
        """Every host that a machine can have is taken."""
        for typed, asked in TAKEN.items():
            self.assertEqual(http_url(typed), asked)

    def test_unix(self) -> None:
        """A UNIX socket is not a host called unix."""
        error = self.assertRaises(Usage, http_url, "unix:/run/x.sock")
        self.assertIn("use curl -N --unix-socket", str(error))

    def test_refused(self) -> None:
        """What no machine can have is no URL."""
        for typed in REFUSED:
            error = self.assertRaises(Usage, http_url, typed)
            self.assertIn(f"{typed!r} is not a URL; write http://HOST", str(error))

    def test_stays(self) -> None:
        """The form in which a URL is asked for stays as it is."""
        for asked in TAKEN.values():
            self.assertEqual(http_url(asked), asked)

    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
    def test_any(self, text: str) -> None:
        """Whatever is typed is a URL in printable ASCII, or a mistake."""
        try:
            asked = http_url(text)
        except Usage:
            return
        self.assertTrue(asked.isascii() and asked.isprintable(), asked)
        self.assertEqual(http_url(asked), asked)

    def test_host_header(self) -> None:
        """A zone means nothing to the server."""
        self.assertEqual(host_header("[fe80::1%eth0]:80"), "[fe80::1]:80")
        self.assertEqual(host_header("laptop:8000"), "laptop:8000")
