"""Starlette on uvicorn."""

import sys

from tests.benchmarks.peers.base import SERVERS, Kind, Peer


class Uvicorn(Peer):
    """uvicorn with uvloop and httptools, which C{uvicorn[standard]} installs."""

    name = "Starlette/uvicorn"
    kind = Kind.HTTP
    packages = ("starlette", "uvicorn", "uvloop", "httptools")

    def launch(self) -> None:
        self.run(
            sys.executable,
            *("-m", "uvicorn", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--no-access-log", "--app-dir", str(SERVERS), "starlette_server:app"),
            env={"COMMANDS": self.commands()},
        )
