"""A real daemon's children, files and processes reveal no secrets on its machine."""

import json
import os
import signal
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from shellstream.storage.schema import CHECKED, checksum
from tests.end_to_end.state_daemons import StateTestCase
from tests.support.http_watcher import ask, fetch_output, get, post, watch
from tests.support.programs import Daemon, needs, start_daemon

#: Secrets in the daemon's environment that no child may see.
SECRETS = {
    "SHELLSTREAM_TOKEN": "made",
    "SHELLSTREAM_TOKEN_FILE": "/made",
    "SHELLSTREAM_URL": "http://made",
    "CREDENTIALS_DIRECTORY": "/made",
    "NOTIFY_SOCKET": "/made",
    "WATCHDOG_USEC": "100000000",
    "LISTEN_FDS": "1",
    "LISTEN_PID": "1",
    "AWS_SECRET_ACCESS_KEY": "made",
    "GITHUB_TOKEN": "made",
    "DATABASE_URL": "made",
    "SSH_AUTH_SOCK": "/made",
    "KRB5CCNAME": "made",
    "PYTHONSTARTUP": "/made",
    "BASH_ENV": "/made",
    "ENV": "/made",
    "BASH_FUNC_made%%": "() { made; }",
    "LESSOPEN": "made",
    "HTTP_PROXY": "http://made",
    "PS1": "made",
    "IFS": "made",
}

#: All that a child may have in its environment.
CHILDS = {
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"),
    *("SHELLSTREAM_RUN", "PYTHONUNBUFFERED", "PERL5OPT", "TERM"),
    *("LD_PRELOAD", "_STDBUF_O", "ASAN_OPTIONS", "NO_COLOR", "PAGER", "GIT_PAGER"),
}

#: Every way to be started.
WAYS = {
    "argv": "",
    "pty": 'unbuffer = "pty"',
    "off": 'unbuffer = "off"',
    "stdin": "stdin = true",
    "tty": "tty = true",
    "nice": "nice = 1",
    "other": 'user = "nobody"',
}
if os.geteuid() != 0:
    del WAYS["other"]

CONFIG = (
    "".join(
        f'[commands.env-{name}]\nargv = ["env", "-0"]\n{more}\n'
        f'[commands.fds-{name}]\nargv = ["ls", "/proc/self/fd"]\n{more}\n'
        for name, more in WAYS.items()
    )
    + """
[commands.shell]
shell = 'env -0'
[commands.wait]
argv = ["sleep", "1000"]
[commands.talk]
shell = "seq 1000; echo err >&2"  # more than the record of a run holds
"""
)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Processes that are started inside have this umask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


class LeakTests(TestCase):
    """A child gets its own settings, and nothing of the daemon's."""

    timeout = 60
    skip = needs("setpriv", "nice", "stdbuf")

    async def printed(self, daemon: Daemon, command: str) -> bytes:
        """The output of a command, with input or a terminal if it takes one."""
        order: dict[str, object] = {"command": command}
        order |= {wish: True for wish in ("stdin", "tty") if command.endswith(wish)}
        begun = await ask(daemon.port, post("/runs", order))
        return (await fetch_output(daemon.port, begun.run)).data

    async def test_environment(self) -> None:
        """No variable of the daemon's gets to a child but those that are named."""
        with umask(0o22):
            starting = Deferred.fromCoroutine(start_daemon(self, CONFIG, env=SECRETS))
        daemon = await starting
        for command in ("shell", *(f"env-{name}" for name in WAYS)):
            found = (await self.printed(daemon, command)).decode().split("\0")
            names = {each.partition("=")[0] for each in found[:-1]}
            self.assertIn("SHELLSTREAM_RUN", names)
            names = {name for name in names if not name.startswith("LC_")}
            self.assertLessEqual(
                names - {"PWD", "_", "OLDPWD", "SHLVL"}, CHILDS, command
            )
            self.assertNotIn("made", "".join(found))

    async def test_descriptors(self) -> None:
        """No descriptor of the daemon's is open in a child but its three."""
        daemon = await start_daemon(self, CONFIG)
        begun = await ask(daemon.port, post("/runs", {"command": "wait"}))
        watching = [
            await watch(daemon.port, get(f"/runs/{begun.run}/output")) for _ in range(5)
        ]
        for each in watching:
            await each.headed
        for name in WAYS:
            found = (await self.printed(daemon, f"fds-{name}")).decode().split()
            # The last is the descriptor by which ls reads the folder.
            self.assertEqual(found, ["0", "1", "2", "3"], name)
        await ask(daemon.port, post(f"/runs/{begun.run}/cancel"))


class FileTests(StateTestCase):
    """The daemon's files are readable by its user alone, whatever its umask."""

    def assert_private(self, top: Path) -> set[str]:
        """Check modes: folders 0700, files 0600; return all names."""
        names = set()
        for path in (top, *top.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            self.assertEqual(oct(mode), oct(0o700 if path.is_dir() else 0o600), path)
            names.add(path.name)
        return names

    async def begin(self, mask: int) -> Daemon:
        with umask(mask):
            starting = Deferred.fromCoroutine(self.start(CONFIG))
        return await starting

    async def test_modes(self) -> None:
        """
        History, outputs, damaged files, and newly made parent folders are private too.
        """
        made = Path(self.mktemp()).absolute()
        for mask in (0, 0o22):
            top = made / oct(mask)
            self.state = top / "above" / "state"
            with umask(0o22):
                made.mkdir(parents=True, exist_ok=True)
            daemon = await self.begin(mask)
            begun = await ask(daemon.port, post("/runs", {"command": "talk"}))
            await fetch_output(daemon.port, begun.run)
            await ask(daemon.port, post("/runs", {"command": "wait"}))
            names = self.assert_private(top)
            expected = {"lock", "runs.db", "runs.db-wal", "runs.db-shm"}
            self.assertLessEqual({*expected, f"{begun.run}.log"}, names)
            await self.stop(daemon)
            (self.state / "runs.db").write_bytes(b"damaged" * 1000)
            (self.state / "output" / f"{begun.run}.log").write_bytes(b"damaged" * 1000)
            daemon = await self.begin(mask)
            begun = await ask(daemon.port, post("/runs", {"command": "talk"}))
            await fetch_output(daemon.port, begun.run)
            names = self.assert_private(top)
            self.assertIn("aside", names)
            await self.stop(daemon)


class StrangerTests(StateTestCase):
    """A process is a run's only if it is the very one that was started."""

    skip = None if sys.platform == "linux" else "needs /proc"

    async def test_pid_reused(self) -> None:
        """A process that has got the id of a lost run's process is not ended."""
        # Long before the run: processes that begin within 10 ms seem to do so at once.
        stranger = Popen(["sleep", "1000"], stdout=DEVNULL, start_new_session=True)
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        daemon = await self.start(CONFIG)
        begun = await ask(daemon.port, post("/runs", {"command": "wait"}))
        await ask(daemon.port, get("/runs"))  # once its process is written down
        await self.stop(daemon, "KILL")
        with sqlite3.connect(self.state / "runs.db") as database:
            ((old,),) = database.execute("SELECT pid FROM runs")
            database.create_function("checksum", -1, lambda *row: checksum(row))
            database.execute("UPDATE runs SET pid = ?", (stranger.pid,))
            signed = f"UPDATE runs SET checksum = checksum({', '.join(CHECKED)})"
            database.execute(signed)
        database.close()
        self.addCleanup(_end_group, old)
        daemon = await self.start(CONFIG)
        shown = await ask(daemon.port, get(f"/runs/{begun.run}"))
        self.assertEqual(json.loads(shown.body)["state"], "lost")
        for way in ("cancel", "signal"):
            body = {"signal": "KILL"} if way == "signal" else None
            refused = await ask(daemon.port, post(f"/runs/{begun.run}/{way}", body))
            self.assertEqual(refused.status, 409)
        await self.stop(daemon)
        self.assertIsNone(stranger.poll())


def _end_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # the daemon has found it by its variable
        return
