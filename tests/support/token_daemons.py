"""A real daemon that asks for tokens."""

import os
import re
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.support.programs import Program, run, script

TOKEN = re.compile(rb"shs_[0-9a-f]{8}_([0-9a-f]{64})")


EVERYWHERE = ("--port", "0", "--interface", "0.0.0.0")


CONFIG = 'default = "greet"\n[commands.greet]\nargv = ["echo", "hello"]\nget = true\n'


class TokensTestCase(TestCase):
    """A state folder, and commands that change its tokens."""

    timeout = 60

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.cwd = Path(self.mktemp()).absolute()
        self.cwd.mkdir(parents=True)

    def twistd(self, *options: str, pty: tuple[int, int, str] | None = None) -> Program:
        """Run twistd as a user types it, in an empty folder."""
        where = ("shellstream", "--state-dir", str(self.state))
        return run(self, script("twistd"), *where, *options, cwd=str(self.cwd), pty=pty)

    async def tool(self, *argv: str, status: int = 0) -> Program:
        """
        Run C{tokens}, and check its exit status, and that it leaves nothing behind.
        """
        program = self.twistd("tokens", *argv)
        self.assertEqual(await program.ended(), status, program.err)
        self.assertEqual(os.listdir(self.cwd), [])
        self.assertNotIn(b"Traceback", program.err)
        return program

    async def make(self, *argv: str) -> str:
        """The text of a new token."""
        return (await self.tool("make", *argv)).out.decode().strip()
