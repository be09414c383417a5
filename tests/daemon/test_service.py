"""Tests for L{shellstream.daemon.service}.

The state is opened, taken over, and let go.
"""

import os
import signal
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import patch

from attrs import evolve
from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from shellstream.config.live import LiveConfig
from shellstream.config.loader import DEMO, IN_MEMORY
from shellstream.daemon import service
from shellstream.daemon.auth_policy import OWNER
from shellstream.daemon.errors import DaemonCannotStart
from shellstream.daemon.service import REAPING_INTERVAL, Daemon
from shellstream.model.events import State
from shellstream.model.limits import WhenBusy
from shellstream.model.run_record import RunQuery
from shellstream.process.tracking.reaper import OrphanReaper
from shellstream.security.audit_log import AuditLog
from shellstream.security.authorization import EVERYTHING
from shellstream.security.principals import AccessSettings, KnownPrincipal
from shellstream.security.tokens import create_token
from shellstream.storage.audit_file import AuditFile
from shellstream.storage.run_store import RunStore
from shellstream.storage.token_file import TokenFile
from shellstream.storage.token_store import POLL_INTERVAL
from shellstream.web.server.authentication import REVOCATION_INTERVAL
from tests.support.daemons import HERE, WIDE, DaemonTestCase
from tests.support.http import Connection
from tests.support.registries import CONFIG, limited
from tests.support.tokens import unrecorded


class DaemonTests(DaemonTestCase):
    """A L{Daemon} keeps runs from its start to its end."""

    def test_verified(self) -> None:
        """A daemon is a service."""
        verifyObject(IService, Daemon(LiveConfig(CONFIG), None, self.reactor))

    def test_ending(self) -> None:
        """The daemon stops when all runs have ended and their last bytes are sent."""
        daemon = self.daemon(IN_MEMORY)
        self.submit(daemon)
        stopped: Deferred[Any] = daemon.stopService()
        (started,) = self.spawn.started
        self.assertEqual(started.child.signals, ["SIGTERM", "SIGCONT"])
        self.reactor.advance(Daemon.FLUSH)
        self.assertNoResult(stopped)
        started.exit(None, 15)
        self.assertNoResult(stopped)
        self.reactor.advance(Daemon.FLUSH)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_restart(self) -> None:
        """A restarted daemon takes over the ended and the queued runs."""
        config = evolve(limited(when_busy=WhenBusy.QUEUE), max_running=1)
        where = os.path.abspath(self.mktemp())
        daemon = self.daemon(where, config)
        ended, running, queued = (self.submit(daemon) for _ in range(3))
        self.spawn.started[0].exit(3)
        stopped = daemon.stopService()
        self.spawn.started[1].exit(None, 15)
        self.reactor.advance(Daemon.FLUSH)
        self.successResultOf(stopped)
        daemon = self.daemon(where, config)
        states = {
            each.id: each.state
            for each in self.successResultOf(daemon.registry.page(RunQuery(9)))
        }
        self.assertEqual(
            states,
            {
                ended: State.EXITED,
                running: State.SIGNALED,
                queued: State.RUNNING,
            },
        )
        self.assertEqual(self.spawn.started[-1].run.id, queued)
        self.spawn.started[-1].exit()
        self.stop(daemon)

    def test_busy(self) -> None:
        """A second daemon in the same folder reports the conflict and exits."""
        where = os.path.abspath(self.mktemp())
        daemon = self.daemon(where)
        error = self.assertRaises(DaemonCannotStart, self.daemon, where)
        self.assertIn("is used by another shellstream", str(error))
        self.stop(daemon)
        self.stop(self.daemon(where))

    def test_interrupted(self) -> None:
        """
        Ctrl-C ends all runs at once, even while a drain is under way; once more, it
        kills them, whatever their grace time is.
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        daemon = self.daemon(IN_MEMORY, evolve(CONFIG, drain=60.0))
        self.submit(daemon)
        handler: Any = signal.getsignal(signal.SIGINT)
        with capturedLogs() as logged:
            handler(signal.SIGINT, None)
        said = [str(formatEvent(each)) for each in logged]
        once_more = "ending 1 runs; SIGINT (Ctrl-C) once more kills them at once"
        self.assertIn(once_more, said)
        self.assertTrue(self.reactor.stopped)
        (started,) = self.spawn.started
        self.assertEqual(started.child.signals, ["SIGTERM", "SIGCONT"])
        handler(signal.SIGINT, None)
        self.assertEqual(started.child.signals[2:], ["SIGKILL"])
        started.exit(None, 15)
        self.stop(daemon)

    def test_stopped_twice(self) -> None:
        """The second SIGTERM is a line in the log; SIGINT still ends the runs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        signal.signal(signal.SIGTERM, lambda *_: self.reactor.stop())
        signal.signal(signal.SIGINT, signal.default_int_handler)
        daemon = self.daemon(IN_MEMORY, evolve(CONFIG, drain=60.0))
        self.submit(daemon)
        self.reactor.begin()
        with capturedLogs() as logged:
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
                handler: Any = signal.getsignal(number)
                handler(number, None)
        said = [str(formatEvent(each)) for each in logged]
        self.assertEqual(len([each for each in said if "stopping already" in each]), 1)
        (started,) = self.spawn.started
        self.assertEqual(started.child.signals, ["SIGTERM", "SIGCONT"])
        started.exit(None, 15)
        self.stop(daemon)

    def test_no_threads(self) -> None:
        """A system without threads to spare stops it with one line, not later."""
        no_more = RuntimeError("can't start new thread")
        self.patch(Thread, "start", lambda _: (_ for _ in ()).throw(no_more))
        error = self.assertRaises(DaemonCannotStart, self.daemon, IN_MEMORY)
        self.assertIn("ulimit -u", str(error))

    def test_broken_stop(self) -> None:
        """A step of the stop that fails keeps no other from being taken."""
        where = os.path.abspath(self.mktemp())
        for owner, name in (
            (AuditLog, "close"),
            (RunStore, "close"),
            (AuditFile, "close"),
        ):
            daemon = self.daemon(where)
            real = getattr(owner, name)

            def close(self: Any, real: Any = real) -> None:
                real(self)
                raise MemoryError

            self.patch(owner, name, close)
            self.stop(daemon)
            self.patch(owner, name, real)
            self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)

    def test_broken_rounds(self) -> None:
        """What the daemon does from time to time is done again when it has failed."""
        calls: list[float] = []

        def revoke(_: Daemon) -> None:
            calls.append(self.reactor.seconds())
            raise RecursionError

        self.patch(Daemon, "_revoke", revoke)
        daemon = self.daemon(IN_MEMORY)
        self.reactor.advance(REVOCATION_INTERVAL)
        self.stop(daemon)
        self.assertGreater(len(calls), 1)
        self.flushLoggedErrors(RecursionError)


class ReapingTests(DaemonTestCase):
    """A daemon that is process 1 reaps what it adopts."""

    def test_looks(self) -> None:
        """It looks every second, until it stops; no other daemon does."""
        looks: list[None] = []
        self.patch(OrphanReaper, "look", lambda reaper: looks.append(None))
        for adopts, expected in ((True, 3), (False, 0)):
            looks.clear()
            with patch.object(service, "adopts_orphans", return_value=adopts):
                daemon = self.daemon(IN_MEMORY)
            self.reactor.pump([REAPING_INTERVAL] * 2)
            self.assertEqual(len(looks), expected)
            self.stop(daemon)
            self.reactor.pump([REAPING_INTERVAL] * 2)
            self.assertEqual(len(looks), expected)


class AuthTests(DaemonTestCase):
    """Authentication is required depending on the listen address and the tokens."""

    def setUp(self) -> None:
        super().setUp()
        self.where = os.path.abspath(self.mktemp())
        self.file = TokenFile(Path(self.where))

    def add(self) -> None:
        """Add a token, as the tool would."""
        token, _ = create_token("pi", EVERYTHING, 1)
        self.file.change(lambda kept: {**kept, token.id: token}, unrecorded)

    def auth(self, daemon: Daemon) -> tuple[bool, str | None]:
        """Return whether authentication is required, and the new token."""
        policy = daemon.auth_policy
        return policy.required, policy.pop_first_token()

    def said(self, *given: Any) -> str:
        """Return the log of a daemon that starts and stops at once."""
        with capturedLogs() as logged:
            daemon = self.daemon(*given)
        self.stop(daemon)
        return "\n".join(str(formatEvent(each)) for each in logged)

    def test_loopback(self) -> None:
        """On loopback without a token, authentication is not required."""
        daemon = self.daemon(self.where)
        self.assertEqual(self.auth(daemon), (False, None))
        self.stop(daemon)
        self.assertIsNone(self.file.stamp())
        self.assertNotIn("authentication", self.said(self.where))

    def test_first(self) -> None:
        """
        The first daemon that listens beyond loopback creates a token with all rights.
        """
        daemon = self.daemon(self.where, CONFIG, WIDE)
        text = daemon.auth_policy.pop_first_token()
        assert text is not None
        principal = daemon.auth_policy.tokens.find(text)
        assert principal is not None
        self.assertEqual(
            (principal.name, principal.grant, principal.expires),
            (OWNER, EVERYTHING, None),
        )
        self.assertTrue(daemon.auth_policy.required)
        self.stop(daemon)
        daemon = self.daemon(self.where, CONFIG, WIDE)
        self.assertEqual(self.auth(daemon), (True, None))
        self.assertEqual(daemon.auth_policy.tokens.find(text), principal)
        self.stop(daemon)

    def test_first_is_secret(self) -> None:
        """Its secret is in no file and not in the log."""
        with capturedLogs() as logged:
            daemon = self.daemon(self.where, CONFIG, WIDE)
        secret = str(daemon.auth_policy.pop_first_token()).rpartition("_")[2]
        self.assertNotIn(secret, "".join(map(str, map(formatEvent, logged))))
        self.assertNotIn(secret, repr(daemon))
        self.stop(daemon)
        for each in Path(self.where).rglob("*"):
            if each.is_file():
                self.assertNotIn(secret.encode(), each.read_bytes(), each)

    def test_first_unseen(self) -> None:
        """
        Where a file or the journal would keep it, no token is made: the log says how.
        """
        with capturedLogs() as logged:
            daemon = self.daemon(self.where, CONFIG, WIDE, on_terminal=False)
        self.assertEqual(self.auth(daemon), (True, None))
        self.assertIsNone(self.file.stamp())
        said = "".join(map(str, map(formatEvent, logged)))
        self.assertIn(f"type: shellstreamd --state-dir {self.where} tokens", said)
        self.add()
        self.reactor.advance(POLL_INTERVAL)
        self.assertEqual(len(daemon.auth_policy.tokens), 1)
        self.stop(daemon)

    def test_unseen_in_memory(self) -> None:
        """A daemon that nobody could ever use does not start, and says what to do."""

        def start(*, insecure: bool) -> Daemon:
            return self.daemon(IN_MEMORY, CONFIG, WIDE, insecure, on_terminal=False)

        error = self.assertRaises(DaemonCannotStart, start, insecure=False)
        self.assertIn("or with a --state-dir", str(error))
        self.stop(start(insecure=True))

    def test_lost(self) -> None:
        """A folder whose tokens are lost still asks for one, and the log says so."""
        self.stop(self.daemon(self.where))
        self.add()
        for address in (HERE, WIDE):
            self.file.path.unlink(missing_ok=True)
            with capturedLogs() as logged:
                daemon = self.daemon(self.where, CONFIG, address)
            self.assertEqual(self.auth(daemon), (True, None))
            self.assertEqual(len(daemon.auth_policy.tokens), 0)
            said = "".join(map(str, map(formatEvent, logged)))
            self.assertIn(f"{self.file.path} is gone, and its tokens; clients", said)
            self.stop(daemon)
        self.file.marker.unlink()
        self.assertEqual(self.auth(daemon := self.daemon(self.where)), (False, None))
        self.stop(daemon)

    def test_lost_meanwhile(self) -> None:
        """The same for tokens of an earlier version, or made with an editor."""
        self.add()
        self.file.marker.unlink()
        self.stop(self.daemon(self.where))
        self.file.path.unlink()
        self.assertEqual(self.auth(daemon := self.daemon(self.where)), (True, None))
        self.stop(daemon)

    def test_first_in_memory(self) -> None:
        """A daemon in memory makes a token at each start."""
        found = set()
        for _ in range(2):
            daemon = self.daemon(IN_MEMORY, CONFIG, WIDE)
            text = str(daemon.auth_policy.pop_first_token())
            self.assertIsNotNone(daemon.auth_policy.tokens.find(text))
            found.add(text)
            self.stop(daemon)
        self.assertEqual(len(found), 2)

    def test_insecure(self) -> None:
        """With --insecure authentication is never required, and no token is made."""
        for _ in range(2):
            daemon = self.daemon(self.where, CONFIG, WIDE, insecure=True)
            self.assertEqual(self.auth(daemon), (False, None))
            self.stop(daemon)
            self.add()

    def test_tokens_on_loopback(self) -> None:
        """Once a token exists authentication is required, on loopback too."""
        self.add()
        daemon = self.daemon(self.where)
        self.assertEqual(self.auth(daemon), (True, None))
        self.stop(daemon)

    def test_known(self) -> None:
        """Configured principals make authentication required, and no token is made."""
        known = {"alice": KnownPrincipal(grant=EVERYTHING)}
        config = evolve(CONFIG, access=evolve(CONFIG.access, known=known))
        for address in (HERE, WIDE):
            daemon = self.daemon(self.where, config, address)
            self.assertEqual(self.auth(daemon), (True, None))
            self.stop(daemon)
        self.assertIsNone(self.file.stamp())

    def test_made_meanwhile(self) -> None:
        """
        Authentication is required once a token exists, and stays so without tokens.
        """
        daemon = self.daemon(self.where)
        self.add()
        self.reactor.advance(1)
        self.assertTrue(daemon.auth_policy.required)
        self.file.change(lambda _: {}, unrecorded)
        self.reactor.advance(1)
        self.assertEqual(
            (daemon.auth_policy.required, len(daemon.auth_policy.tokens)), (True, 0)
        )
        self.stop(daemon)
        for address in (HERE, WIDE):
            daemon = self.daemon(self.where, CONFIG, address)
            self.assertEqual(self.auth(daemon), (True, None))
            self.stop(daemon)

    def test_shut(self) -> None:
        """
        Once authentication is required, anonymous clients are cut off and refused.
        """
        for tokens in (1, 0):
            self.where = os.path.abspath(self.mktemp())
            self.file = TokenFile(Path(self.where))
            hosts = AccessSettings(hosts=("localhost",))
            daemon = self.daemon(self.where, evolve(CONFIG, access=hosts))
            before, after = (Connection(daemon.site) for _ in range(2))
            self.assertEqual(before.ask("GET", "/events").status, 200)
            self.assertEqual(after.ask("GET", "/commands").status, 200)
            self.add()
            if not tokens:  # it is revoked before it was seen
                self.file.change(lambda _: {}, unrecorded)
            self.reactor.advance(POLL_INTERVAL)
            self.assertTrue(before.wire.disconnected)
            self.assertEqual(after.ask("GET", "/commands").status, 401)
            before.lose()
            after.lose()
            self.stop(daemon)

    def test_said(self) -> None:
        """
        The log says that a token is required, how many exist, and how to make one.
        """
        self.add()
        tool = f"shellstreamd --state-dir {self.where} tokens make NAME"
        for address in (HERE, WIDE):
            self.assertIn(
                f"is required; valid tokens: 1; to make one, type: {tool}",
                self.said(self.where, CONFIG, address),
            )
        self.add()
        self.assertIn("valid tokens: 2", self.said(self.where))
        self.file.change(lambda _: {}, unrecorded)
        self.assertIn("valid tokens: 0", self.said(self.where))
        self.assertIn("with a --state-dir", self.said(IN_MEMORY, CONFIG, WIDE))

    def test_not_to_be_trusted(self) -> None:
        """A file that others can read stops the daemon, and is left as it is."""
        for address in (HERE, WIDE):
            self.where = os.path.abspath(self.mktemp())
            self.file = TokenFile(Path(self.where))
            self.add()
            self.file.path.chmod(0o644)
            error = self.assertRaises(
                DaemonCannotStart, self.daemon, self.where, CONFIG, address
            )
            self.assertIn(f"type: chmod 600 {self.file.path}", str(error))

    def test_second_daemon(self) -> None:
        """A second demo, in memory, still requires the tokens of the shared folder."""
        self.patch(os, "environ", {**os.environ, "STATE_DIRECTORY": self.where})
        first = self.daemon(None)
        second = self.daemon(None, DEMO, WIDE)
        text = second.auth_policy.pop_first_token()
        assert text is not None
        self.assertIsNotNone(second.auth_policy.tokens.find(text))
        self.assertIsNone(self.file.stamp())
        self.add()
        self.reactor.advance(1)
        self.assertEqual(
            (len(second.auth_policy.tokens), len(first.auth_policy.tokens)), (2, 1)
        )
        third = self.daemon(None, DEMO)
        self.assertTrue(third.auth_policy.required)
        stopped = [each.stopService() for each in (first, second, third)]
        self.reactor.advance(Daemon.FLUSH)
        for each in stopped:
            self.successResultOf(each)
