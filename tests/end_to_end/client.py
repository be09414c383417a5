"""What the tests of the command line share."""

import json
import sys
from typing import Any

from twisted.trial.unittest import TestCase

from tests.support.programs import Daemon, Program, run, start_daemon


class ClientTestCase(TestCase):
    """The command line and the real daemon."""

    timeout = 60

    async def serve(self, config: str, *options: str) -> Daemon:
        """A daemon with this configuration, that the client asks from now on."""
        self.daemon = await start_daemon(self, config, *options)
        return self.daemon

    def client(self, *words: str, **env: str) -> Program:
        """The client, begun."""
        env = {"SHELLSTREAM_URL": self.daemon.url, **env}
        return run(self, sys.executable, "-m", "shellstream.client", *words, env=env)

    async def done(self, *words: str, code: int = 0, **env: str) -> Program:
        """The client, once it has ended with this exit code."""
        client = self.client(*words, **env)
        self.assertEqual(await client.ended(), code, (client.out, client.err))
        return client

    async def said(self, *words: str, code: int = 0, **env: str) -> str:
        """What it says on stderr: lines that begin with its name."""
        client = await self.done(*words, code=code, **env)
        said = client.err.decode()
        for line in said.splitlines():
            self.assertTrue(line.startswith("shellstream: "), said)
        return said

    async def runs(self) -> list[dict[str, Any]]:
        """All runs that the daemon knows of, newest first."""
        client = await self.done("ps", "-a", "--format", "json")
        found: list[dict[str, Any]] = json.loads(client.out)
        return found
