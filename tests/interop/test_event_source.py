"""The EventSource of a real browser, behind a proxy that cuts connections."""

import json
import sys
from base64 import b64decode
from random import Random

from twisted.trial.unittest import TestCase

from tests.interop.real_clients import SCRIPTS, start_client
from tests.support.cutting_proxy import start_cutting_proxy
from tests.support.http_watcher import fetch, fetch_output
from tests.support.programs import needs, start_daemon

CONFIG = """
default = "count"
[commands.count]
shell = "seq 1 20000; printf '\\\\303'; sleep 0.1; printf '\\\\244\\\\377'; seq 1 20000"
"""


class EventSourceTests(TestCase):
    """Chromium reconnects to the same run, and goes on where it was."""

    timeout = 60

    async def test_cut(self) -> None:
        """Cut at random bytes, it gets every byte once, and starts one run."""
        daemon = await start_daemon(self, CONFIG)
        seed = Random().randrange(1 << 32)
        # Not so early that the page itself could not be loaded.
        limits = [Random(seed + n).randrange(5000, 60_000) for n in range(3)]
        proxy = await start_cutting_proxy(self, daemon, limits)
        browser = start_client(
            self,
            sys.executable,
            str(SCRIPTS / "chromium.py"),
            "event-source",
            f"{proxy.url}/stream",
        )
        self.assertEqual(await browser.ended(), 0, browser.err)
        lines = browser.out.decode().splitlines()
        self.assertEqual((proxy.cuts, lines.count("error")), (3, 3), seed)
        *records, end = (json.loads(each) for each in lines if each[0] == "{")
        found = b""
        for each in records:
            self.assertEqual(each["offset"], len(found), seed)
            text = each.get("text")
            found += b64decode(each["base64"]) if text is None else text.encode()
        self.assertEqual((end["state"], end["offset"]), ("exited", len(found)))
        (run,) = json.loads((await fetch(daemon.port, "/runs")).body)["runs"]
        self.assertEqual(found, (await fetch_output(daemon.port, run["id"])).data)

    test_cut.skip = needs("chromium")
