"""A real browser's EventSource, behind a proxy that dies."""

import json
import sys
from base64 import b64decode
from random import Random

from twisted.trial.unittest import TestCase

from tests.end_to_end.cutting import cutting
from tests.end_to_end.watching import fetch, told
from tests.interop.support import start_client
from tests.support.interop import SCRIPTS
from tests.support.programs import needs, start_daemon

CONFIG = """
default = "count"
[commands.count]
shell = "seq 1 20000; printf '\\\\303'; sleep 0.1; printf '\\\\244\\\\377'; seq 1 20000"
"""


class EventSourceTests(TestCase):
    """Chromium comes back by itself, to the same run, and goes on where it was."""

    timeout = 60

    async def test_cut(self) -> None:
        """Cut off at random bytes, it has every byte once, and begins one run."""
        daemon = await start_daemon(self, CONFIG)
        seed = Random().randrange(1 << 32)
        # Not so early that the page itself could not be loaded.
        limits = [Random(seed + n).randrange(5000, 60_000) for n in range(3)]
        proxy = await cutting(self, daemon, limits)
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
        self.assertEqual(found, (await told(daemon.port, run["id"])).data)

    test_cut.skip = needs("chromium")
