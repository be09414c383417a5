"""Tests for cross-site requests of browsers."""

from tests.support.http import WebTestCase


class OriginTests(WebTestCase):
    """Only pages of the same origin can make a browser start something."""

    def code(self, **headers: str) -> int:
        """
        Return the status of a request with these headers; nothing runs unless 200.
        """
        self.serve(self.config)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        code = self.ask("GET", "/stream", headers=named).status
        self.assertEqual(len(self.spawn.started), 1 if code == 200 else 0)
        return code

    def test_no_browser(self) -> None:
        """curl and other clients without such headers may start commands."""
        self.assertEqual(self.code(), 200)

    def test_own_page_and_address_bar(self) -> None:
        """The page at C{/} may, and so may the address bar."""
        self.assertEqual(self.code(sec_fetch_site="same-origin"), 200)
        self.assertEqual(self.code(sec_fetch_site="none"), 200)
        self.assertEqual(self.code(origin="http://localhost"), 200)

    def test_behind_a_proxy_that_rewrites_host(self) -> None:
        """C{Sec-Fetch-Site} takes precedence over C{Host}."""
        headers = {"sec_fetch_site": "same-origin", "origin": "https://proxy.test"}
        self.assertEqual(self.code(**headers), 200)

    def test_other_sites(self) -> None:
        """Pages from elsewhere may not: links, images, forms or fetch."""
        for headers in (
            {"sec_fetch_site": "cross-site"},
            {"sec_fetch_site": "same-site"},
            {"origin": "http://evil.test"},
            {"origin": "http://localhost:3000"},
            {"origin": "null"},
        ):
            self.assertEqual(self.code(**headers), 403, headers)
