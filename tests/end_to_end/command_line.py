"""Runs the command line against a real daemon."""

import json
import sys
from typing import Any

from twisted.trial.unittest import TestCase

from tests.support.programs import Daemon, Program, run, start_daemon


class ClientTestCase(TestCase):
    """A daemon, and the command line that asks it."""

    timeout = 60

    async def serve(self, config: str, *options: str) -> Daemon:
        """Start a daemon, which the client asks from now on."""
        self.daemon = await start_daemon(self, config, *options)
        return self.daemon

    def client(self, *words: str, **env: str) -> Program:
        """Start the client."""
        env = {"SHELLSTREAM_URL": self.daemon.url, **env}
        return run(self, sys.executable, "-m", "shellstream.client", *words, env=env)

    async def done(self, *words: str, code: int = 0, **env: str) -> Program:
        """Run the client to its end; it must exit with this code."""
        client = self.client(*words, **env)
        self.assertEqual(await client.ended(), code, (client.out, client.err))
        return client

    async def said(self, *words: str, code: int = 0, **env: str) -> str:
        """Return the client's stderr; each line must begin with its name."""
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
