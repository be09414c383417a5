"""Attacks by pages of another site, in a real browser whose user has logged in."""

import json
import sys
from typing import Any

from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.interop.real_clients import SCRIPTS, start_client
from tests.support.programs import needs, run, start_daemon
from tests.support.token_daemons import TokensTestCase

CONFIG = """
default = "greet"
[commands.greet]
argv = ["echo", "hello"]
get = true
"""

#: The attacks, and their results: none of them is of use to the page.
ATTACKS = {
    "rebinding=/stream": "421",
    "form=/stream/greet": "403",
    "form=/logout": "403",
    "image=/stream": "error",
    "script=/stream": "error",
    "frame=/stream": "error",
    "frame=/": "error",
    "fetch=/stream": "error",
    "fetch=/runs": "error",
    "no-cors=/stream/greet": "error",
    "json=/runs": "error",
    "with-cookie=/stream/greet": "error",
    "event-source=/stream": "error",
    "event-source=/events": "error",
}


class ForeignPage(Resource):
    """A page of another origin on this machine, and so of the same site."""

    isLeaf = True

    def render_GET(self, request) -> bytes:
        request.setHeader(b"content-type", b"text/html")
        return b"<!DOCTYPE html><title>Free kittens</title><body></body>"


class AttackerTests(TokensTestCase):
    """A page of another origin can neither start nor read anything."""

    skip = needs("chromium")

    async def test_browser(self) -> None:
        """Each attack comes from a page of this machine, which shares its cookies."""
        token = await self.make("alice", "--actions", "run,read")
        daemon = await start_daemon(self, CONFIG, "--state-dir", str(self.state))
        site: Any = Site(ForeignPage())
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        browser = start_client(
            self,
            sys.executable,
            str(SCRIPTS / "attacker.py"),
            daemon.url,
            f"http://127.0.0.1:{port.getHost().port}/",
            token,
            *ATTACKS,
            "link=/runs",
        )
        self.assertEqual(await browser.ended(), 0, browser.err)
        first, *came, link, ran, out = browser.out.decode().splitlines()
        self.assertEqual(first, "logged in: shellstream")
        for line, (attack, expected) in zip(came, ATTACKS.items(), strict=True):
            found = line.removeprefix(f"{attack} ")
            self.assertTrue(found.startswith(expected), line)
        self.assertIn('"runs": []', link)  # the user sees it, and nothing was run
        self.assertEqual(ran, "own page: ran")
        self.assertEqual(out, "logged out")
        auth = ("-u", f":{token}", f"{daemon.url}/runs")
        client = run(self, "curl", "-s", *auth)
        self.assertEqual(await client.ended(), 0)
        self.assertEqual(len(json.loads(client.out)["runs"]), 1)
