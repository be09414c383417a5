"""Tests for L{shellstream.web.console.assets}: what pages refer to."""

import gzip
import re
from hashlib import sha256

from shellstream.web.console.assets import asset, assets, with_imports
from tests.support.http import Connection, WebTestCase


class AssetTests(WebTestCase):
    """Every file has a name that changes with its content."""

    def test_kept(self) -> None:
        """A browser may keep a file for ever: its name has the hash of its content."""
        self.assertGreater(len(assets()), 5)
        for name, each in assets().items():
            reply = Connection(self.site).ask("GET", f"/assets/{name}")
            self.assertEqual((reply.status, reply.body), (200, each.body))
            self.assertEqual(
                reply.headers["cache-control"], "public, max-age=31536000, immutable"
            )
            self.assertEqual(reply.headers["content-type"], each.media_type.decode())
            for accepts, coding in (("br, gzip", "gzip"), ("gzip;q=0, *", None)):
                headers = {"Accept-Encoding": accepts}
                connection = Connection(self.site)
                reply = connection.ask("GET", f"/assets/{name}", None, headers)
                self.assertEqual(reply.headers.get("content-encoding"), coding)
                body = gzip.decompress(reply.body) if coding else reply.body
                self.assertEqual(body, each.body)
                self.assertEqual(reply.headers["vary"], "Accept-Encoding")
            self.assertEqual(name.split(".")[-2], sha256(each.body).hexdigest()[:10])

    def test_imports(self) -> None:
        """Scripts import each other by those names, and a page can load all at once."""
        for name, each in assets().items():
            found = re.findall(r'(?:from|import) "./([^"]+)"', each.body.decode())
            self.assertLessEqual({*found}, {*assets()}, name)
            named = [asset(file).name for file in each.imports]
            self.assertEqual(found, named, name)
        self.assertIn("session.js", with_imports("start.js"))
        self.assertEqual(with_imports("times.js"), ["times.js"])

    def test_unknown(self) -> None:
        """A name with another hash is not there."""
        for path in ("/assets/", "/assets/console.css", "/assets/console.0.css"):
            self.assertNotEqual(Connection(self.site).ask("GET", path).status, 200)
