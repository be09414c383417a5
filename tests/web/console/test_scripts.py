"""The scripts of the page that need no browser, under C{node --test}."""

import os
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.support.programs import needs

HERE = Path(__file__).parent


class ScriptTests(TestCase):
    """Each C{*.test.mjs} beside this file."""

    timeout = 120
    skip = needs("node")

    async def _test(self, name: str) -> None:
        out, err, code = await getProcessOutputAndValue(
            "node", ["--test", str(HERE / name)], os.environ, reactor=reactor
        )
        self.assertEqual(code, 0, (out + err).decode())
        self.assertIn(b"\n# fail 0\n", out)
        self.assertNotIn(b"\n# pass 0\n", out)

    async def test_reader(self) -> None:
        """The reader shows output as lines with colours."""
        await self._test("reader.test.mjs")

    async def test_log(self) -> None:
        """The window of lines is bounded, and reads on and back without a gap."""
        await self._test("log.test.mjs")

    async def test_screen(self) -> None:
        """The screen of a terminal shows what was drawn on it."""
        await self._test("screen.test.mjs")

    async def test_scanner(self) -> None:
        """The search finds lines as they are shown."""
        await self._test("scanner.test.mjs")

    async def test_peer(self) -> None:
        """Colours are those that C{ansi-sequence-parser} reads."""
        await self._test("peer.test.mjs")

    if not (HERE / "node_modules").exists() and not os.environ.get("CI"):
        test_peer.skip = f"not installed: npm install --prefix {HERE}"
