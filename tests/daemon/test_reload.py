"""Tests for L{shellstream.daemon.configuration.reload}: all of it, or nothing."""

import json
import os
import pty
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from shellstream.config.files import ConfigFiles
from shellstream.config.live import LiveConfig
from shellstream.config.loader import DEMO, Config
from shellstream.daemon.configuration import reload
from shellstream.daemon.configuration.reload import MOST_LINES, Reloader
from shellstream.daemon.service import Daemon
from shellstream.model.errors import ShellstreamError
from shellstream.model.events import State
from tests.support.daemons import DaemonTestCase
from tests.support.http import Connection

ONE, TWO = (f'[commands.{name}]\nargv = ["{name}"]\n' for name in ("one", "two"))


class FakePart:
    """A part that counts, or refuses."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.prepared: list[Config] = []
        self.put_in_force = 0
        self.interval = 0.0

    def prepare(self, config: Config) -> Callable[[], object]:
        self.interval = sys.getswitchinterval()
        if self.error is not None:
            raise self.error
        self.prepared.append(config)
        return self._put_in_force

    def _put_in_force(self) -> None:
        self.put_in_force += 1


class FakeManager:
    """A service manager that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def reloading(self) -> None:
        self.said.append("reloading")

    def ready(self) -> None:
        self.said.append("ready")


class ReloadTestCase(DaemonTestCase):
    """A file, and a L{Reloader} of it."""

    def setUp(self) -> None:
        super().setUp()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.file = folder / "shellstream.toml"
        self.files = ConfigFiles(None, (self.file,))
        self.part, self.manager = FakePart(), FakeManager()
        self.followed = 0
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] | None = None

    def in_thread(self, call: Callable[[], Any]) -> Deferred[Any]:
        """Make a call at once, or later if C{waiting} is a list."""
        if self.waiting is None:
            return maybeDeferred(call)
        made: Deferred[Any] = Deferred()
        self.waiting.append((call, made))
        return made

    def make_waiting_call(self) -> None:
        """Make the oldest call that waits."""
        assert self.waiting is not None
        call, made = self.waiting.pop(0)
        maybeDeferred(call).chainDeferred(made)

    async def follow(self) -> None:
        self.followed += 1

    def reloader(self, daemon: Daemon | None = None) -> Reloader:
        """A reloader of this file as it is now."""
        loaded = self.files.load()
        self.live = LiveConfig(loaded.config) if daemon is None else daemon._live
        reloader = Reloader(
            self.files,
            loaded,
            self.live,
            self.reactor,
            lambda config: config,
            self.in_thread,
            [self.part] if daemon is None else [self.part, daemon],
            self.follow if daemon is None else daemon.follow,
            self.manager,
        )
        reloader.privilegedStartService()
        reloader.startService()
        return reloader

    def hang_up(self) -> str:
        """Send SIGHUP as the kernel would; return the log."""
        with capturedLogs() as logged:
            handler: Any = signal.getsignal(signal.SIGHUP)
            handler(signal.SIGHUP, None)
            self.reactor.pump([0] * 5)
        return "\n".join(str(formatEvent(each)) for each in logged)


class ReloaderTests(ReloadTestCase):
    """A reload puts the whole configuration in force, or changes nothing."""

    def test_whole(self) -> None:
        """A right file is prepared, put in force and followed; the log says how."""
        self.file.write_text(ONE)
        verifyObject(IService, self.reloader())
        self.file.write_text(f"max_running = 3\n{ONE}{TWO}")
        said = self.hang_up()
        self.assertEqual(
            said.splitlines(),
            [
                f"reloaded the configuration: {self.file}",
                "commands added: two",
                "settings changed: max_running 1000 -> 3",
            ],
        )
        self.assertEqual([*self.live.now.commands], ["one", "two"])
        self.assertEqual(self.part.prepared, [self.live.now])
        self.assertEqual((self.part.put_in_force, self.followed), (1, 1))
        self.assertEqual(self.manager.said, ["reloading", "ready"])

    def test_broken(self) -> None:
        """A file with mistakes changes nothing; the log has their lines."""
        self.file.write_text(ONE)
        self.reloader()
        before = self.live.now
        self.file.write_text(f"{TWO}timout = 3")
        said = self.hang_up()
        self.assertIn(f"not reloaded: {self.file}:3: commands.two.timout: ", said)
        self.assertIn("the daemon keeps the configuration that it has", said)
        self.assertIs(self.live.now, before)
        self.assertEqual((self.part.prepared, self.followed), ([], 0))
        self.assertEqual(self.manager.said, ["reloading", "ready"])
        self.file.write_text("".join(f"y{n} = 1\n" for n in range(300)))
        self.assertLessEqual(len(self.hang_up().splitlines()), MOST_LINES + 2)

    def test_refused(self) -> None:
        """If one part cannot follow, none does, whatever the error is."""
        self.file.write_text(ONE)
        self.reloader()
        before = self.live.now
        self.file.write_text(TWO)
        for error in (ShellstreamError("there is no user 'x'"), RecursionError()):
            self.part.error = error
            said = self.hang_up()
            self.assertIs(self.live.now, before)
            self.assertEqual(self.part.put_in_force, 0)
        self.assertEqual(len(self.flushLoggedErrors(RecursionError)), 1)
        self.assertIn("stays as it was", said)
        self.part.error = None
        self.hang_up()
        self.assertEqual([*self.live.now.commands], ["two"])

    def test_same_commands(self) -> None:
        """Commands that have not changed stay the same objects."""
        self.file.write_text(ONE)
        self.reloader()
        one = self.live.now.commands["one"]
        self.file.write_text(TWO + ONE)
        self.hang_up()
        self.assertIs(self.live.now.commands["one"], one)
        self.assertEqual(self.hang_up().splitlines()[-1], "nothing has changed")

    def test_often(self) -> None:
        """Signals during a reload lead to one more, which reads what is there then."""
        self.file.write_text(ONE)
        self.reloader()
        self.waiting = []
        for _ in range(5):
            self.hang_up()
        self.assertEqual(len(self.waiting), 1)
        self.make_waiting_call()
        self.file.write_text(TWO)
        self.assertEqual(len(self.waiting), 1)
        self.make_waiting_call()
        self.assertEqual([*self.live.now.commands], ["two"])
        self.assertEqual(self.waiting, [])

    def test_stopping(self) -> None:
        """A daemon that stops reloads nothing more, and the signal does not end it."""
        self.file.write_text(ONE)
        reloader = self.reloader()
        self.waiting = []
        self.hang_up()
        reloader.stopService()
        before = self.live.now
        self.file.write_text(TWO)
        self.make_waiting_call()
        self.assertIs(self.live.now, before)
        self.assertEqual(
            self.hang_up(), "stopping already: the configuration is not reloaded"
        )

    def test_demo(self) -> None:
        """The demo finds a new file; without it again, the daemon keeps what it had."""
        self.reloader()
        self.assertIs(self.live.now, DEMO)
        self.assertIn("there is nothing to reload: no configuration", self.hang_up())
        self.file.write_text(ONE)
        self.assertIn("commands removed: count", self.hang_up())
        self.file.unlink()
        self.assertIn(f"{self.file} is gone", self.hang_up())
        self.assertEqual([*self.live.now.commands], ["one"])

    def test_needs_restart(self) -> None:
        """What needs a restart is named, stays as it was, and the rest is in force."""
        self.file.write_text(ONE)
        self.reloader()
        self.file.write_text(f"{TWO}[tls]")
        said = self.hang_up()
        self.assertIn("tls needs a restart", said)
        self.assertIsNone(self.live.now.tls)
        self.assertEqual([*self.live.now.commands], ["two"])

    def test_gives_way(self) -> None:
        """While the thread computes, it lets the reactor go on within a moment."""
        self.file.write_text(ONE)
        self.reloader()
        before = sys.getswitchinterval()
        self.hang_up()
        self.assertAlmostEqual(self.part.interval, reload.SWITCH_INTERVAL)
        self.assertEqual(sys.getswitchinterval(), before)


class HangUpTests(ReloadTestCase):
    """The signal has two meanings on a terminal."""

    def setUp(self) -> None:
        super().setUp()
        self.file.write_text(ONE)
        self.master, slave = pty.openpty()
        self.killed: list[tuple[int, int]] = []
        self.patch(os, "kill", lambda *given: self.killed.append(given))
        self.patch(os, "isatty", lambda fd, real=os.isatty: fd == 0 and real(slave))
        self.addCleanup(os.close, slave)

    def test_reload(self) -> None:
        """While the terminal is there, it is the operator's: reload."""
        self.reloader()
        self.assertIn("nothing has changed", self.hang_up())
        self.assertEqual(self.killed, [])
        os.close(self.master)

    def test_closed(self) -> None:
        """When the terminal is gone, the daemon in its foreground ends."""
        self.reloader()
        os.close(self.master)
        self.assertEqual(self.hang_up(), "")
        self.assertEqual(self.killed, [(os.getpid(), signal.SIGTERM)])

    def test_ignored(self) -> None:
        """With nohup it stays, and can be reloaded."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.reloader()
        os.close(self.master)
        self.assertIn("nothing has changed", self.hang_up())
        self.assertEqual(self.killed, [])


class DaemonReloadTests(ReloadTestCase):
    """The parts of a daemon follow."""

    def start(self, text: str) -> Daemon:
        """A daemon with this file, which reloads it."""
        self.file.write_text(text)
        where = os.path.abspath(self.mktemp())
        daemon = self.daemon(where, self.files.load().config)
        self.reloader(daemon)
        return daemon

    def reload(self, text: str) -> str:
        self.file.write_text(text)
        return self.hang_up()

    def test_limits(self) -> None:
        """Limits of clients, retention, the audit and the queue are the new ones."""
        daemon = self.start(ONE)
        log = Path(self.mktemp()).absolute()
        self.reload(
            "max_queued = 5\n[http]\nconnections = 7\nbody_size = 99\ninputs_size = "
            f"'2 MiB'\n[keep]\nruns = 3\n[audit]\nfile = '{log}'\nkeep = 2\n{ONE}"
        )
        site = daemon.site
        self.assertEqual(site.limits.body_size, 99)
        self.assertEqual(
            (site.connections.admitted.limit, site.body_quota.limit), (7, 2 << 20)
        )
        self.assertEqual(daemon._audit_log._total(), 3 * (16 << 20))
        self.submit(daemon, "one")
        self.spawn.started[-1].exit()
        self.assertIn('"start"', log.read_text())
        assert daemon.folder is not None
        self.assertEqual(os.readlink(daemon.folder / "audit"), str(log))
        self.reload(ONE)
        self.assertFalse((daemon.folder / "audit").exists())
        self.stop(daemon)

    def test_names(self) -> None:
        """Host names and the names that the access log may show are the new ones."""
        hosts = "[access]\nhosts = ['shellstream.test'{0}]\n"
        daemon = self.start(hosts.format("") + ONE)
        connection = Connection(daemon.site)
        self.assertEqual(connection.ask("GET", "/commands").status, 200)
        self.reload(hosts.format(", 'new.example.org'") + TWO)
        reply = connection.ask("GET", "/commands")
        named = [each["name"] for each in json.loads(reply.body)["commands"]]
        self.assertEqual(named, ["two"])
        self.assertIn("new.example.org", daemon._authenticator.names.patterns)
        self.assertEqual(
            daemon.site.access_log.names.target("/stream/two"), "/stream/two"
        )
        self.assertNotIn("one", daemon.site.access_log.names.target("/stream/one"))
        connection.lose()
        self.stop(daemon)

    def test_principals(self) -> None:
        """Once there are principals, authentication is required, and stays so."""
        daemon = self.start(ONE)
        self.assertFalse(daemon.auth_policy.required)
        self.reload(f"[principals.ann]\n{ONE}")
        self.assertTrue(daemon.auth_policy.required)
        self.reload(ONE)
        self.assertTrue(daemon.auth_policy.required)
        self.stop(daemon)

    def test_notifications(self) -> None:
        """Others are told of runs from now on."""
        daemon = self.start(ONE)
        self.reload(f"[notify.ops]\nargv = ['mail', 'ops']\n{ONE}")
        self.assertEqual([*daemon._notifier.settings.by_name], ["ops"])
        self.assertEqual(len(daemon._launch_plans), 2)
        self.reload(ONE)
        self.assertEqual([*daemon._notifier.settings.by_name], [])
        self.stop(daemon)

    def test_cannot(self) -> None:
        """What this system cannot do is refused, with all else."""
        daemon = self.start(ONE)
        said = self.reload(f"{TWO}user = 'no-such-user'")
        self.assertIn("command 'two': user: there is no 'no-such-user' here", said)
        self.assertEqual([*daemon.registry.config.commands], ["one"])
        said = self.reload(f"{TWO}[audit]\nfile = '/no/such/folder/audit'")
        self.assertIn("the audit cannot be kept in /no/such/folder/audit", said)
        self.assertEqual([*daemon._launch_plans], ["one"])
        self.stop(daemon)

    def test_runs(self) -> None:
        """A run goes on, though its command is removed; new ones have a plan."""
        daemon = self.start(ONE)
        run_id = self.submit(daemon, "one")
        self.reload(TWO)
        self.assertEqual([*daemon._launch_plans], ["two"])
        self.assertEqual(daemon.registry.active[run_id].record.state, State.RUNNING)
        self.submit(daemon, "two")
        for each in self.spawn.started:
            each.exit()
        self.stop(daemon)
