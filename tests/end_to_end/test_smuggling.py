"""The table of requests that may be read in two ways, against a real daemon."""

import json
import re
import socket

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.support.http_watcher import fetch
from tests.support.programs import start_daemon
from tests.support.smuggling import ALLOWED, ATTACKS, HIDDEN

CONFIG = """
[commands.hidden]
argv = ["true"]
get = true
"""


def answers(port: int, data: bytes) -> list[bytes]:
    """The statuses that this is answered with, up to the end of the connection."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(data)
        while piece := connection.recv(1 << 16):
            found += piece
    return re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", found)


class SmugglingTests(TestCase):
    """Requests that a proxy may have read differently are not executed."""

    timeout = 120

    async def runs(self, port: int) -> int:
        """Return the number of runs started so far."""
        return len(json.loads((await fetch(port, "/runs")).body)["runs"])

    async def test_attacks(self) -> None:
        """Each attack gets one refusal, and then the connection is closed."""
        daemon = await start_daemon(self, CONFIG)
        for name, data in ATTACKS.items():
            found = await deferToThread(answers, daemon.port, data)
            self.assertIn(found, ([b"400"], [b"413"], [b"417"]), name)
        self.assertEqual(await self.runs(daemon.port), 0)

    async def test_clear(self) -> None:
        """Unambiguous requests are answered, and a body is never a request."""
        daemon = await start_daemon(self, CONFIG)
        last = HIDDEN.replace(b"/stream/hidden", b"/commands")
        last = last.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        for name, data in ALLOWED.items():
            first, *others = await deferToThread(answers, daemon.port, data + last)
            self.assertIn(first, (b"200", b"405"), name)
            self.assertEqual(others, [] if b"HTTP/1.0" in data else [b"200"], name)
        self.assertEqual(await self.runs(daemon.port), 0)
        await deferToThread(answers, daemon.port, HIDDEN + last)
        self.assertEqual(await self.runs(daemon.port), 1)
