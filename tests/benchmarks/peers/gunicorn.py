"""Flask on gunicorn's threads."""

import sys

from tests.benchmarks.peers.base import SERVERS, Kind, Peer


class Gunicorn(Peer):
    """One worker with a thread for each stream."""

    name = "Flask/gunicorn"
    kind = Kind.HTTP
    packages = ("flask", "gunicorn")

    def launch(self) -> None:
        self.run(
            sys.executable,
            *("-m", "gunicorn", "--worker-class", "gthread"),
            *("--threads", str(self.streams)),
            *("--bind", f"127.0.0.1:{self.port}"),
            *("--chdir", str(SERVERS), "flask_server:app"),
            env={"COMMANDS": self.commands()},
        )
