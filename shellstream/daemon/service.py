"""The part of the daemon that keeps runs, from its start to its end."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from shellstream.config.command import Command, Invocation
from shellstream.config.http_limits import DEFAULT_HTTP_LIMITS, HttpLimits
from shellstream.config.loader import Config
from shellstream.model.errors import ShellstreamError
from shellstream.model.events import State
from shellstream.process import orphans
from shellstream.process.child import ChildProtocol
from shellstream.process.file_limits import scarce
from shellstream.process.launch_plan import CannotPrepare, LaunchPlan, prepare
from shellstream.process.spawn import spawn
from shellstream.runs.registry import Registry
from shellstream.runs.run import Child, Run
from shellstream.security.audit_log import AuditLog
from shellstream.security.authorization import ANONYMOUS
from shellstream.security.request_origin import Names
from shellstream.storage.audit_file import AuditFile, AuditUnusable
from shellstream.storage.database import Database
from shellstream.storage.log_store import FileLogs, MemoryLogs
from shellstream.storage.run_store import Store
from shellstream.storage.state_dir import StateDir, default_state_dir
from shellstream.storage.token_file import TokenFile, TokensUnusable, account
from shellstream.storage.token_store import TokenStore
from shellstream.web import Now, Site, root
from shellstream.web.server.authentication import REVOCATION_INTERVAL, Authenticator

from .auth_policy import AuthPolicy, is_wide, own_names

_log = Logger(namespace="shellstream")

T = TypeVar("T")

#: The name of the state folder that is none.
IN_MEMORY = ":memory:"

#: Seconds between two looks for runs that have been kept long enough.
TIDY = 600.0

#: Seconds between TERM and KILL for what a daemon that was killed left running.
GRACE = 5.0


class DaemonCannotStart(SystemExit, Exception):
    """
    Stops the daemon with one line.

    twistd gives an L{Exception} to the terminal that a daemon was started from,
    which would wait for ever otherwise; a L{SystemExit} ends without a traceback.
    """


def wall_clock() -> int:
    """@see: L{shellstream.model.events.WallClock}"""
    return time.time_ns() // 1000


def _to_log(line: str) -> None:
    """Where the audit goes that has no file."""
    _log.info("audit {line}", line=line)


@define(eq=False)
class Daemon(Service):
    """
    Opens the state once the daemon is in its last process and has its last user,
    takes over what is in it, and lets go of it when all that runs has ended.

    @ivar door: whether who asks has to say who they are, from the start on.
    """

    #: Seconds for the last bytes, and for the resets that tell viewers that there
    #: were more, to leave: the reactor closes what is open as if it were complete.
    FLUSH = 0.1

    _config: Config
    _where: str | None
    _reactor: Any
    #: Where the daemon listens, once it does.
    _bound: Callable[[], Iterable[IAddress]] = tuple
    _insecure: bool = False
    _limits: HttpLimits = DEFAULT_HTTP_LIMITS
    #: What answers on all connections, once the daemon is started.
    site: Site = field(init=False)
    door: AuthPolicy = field(init=False)
    registry: Registry = field(init=False)
    _prepared: Mapping[str, LaunchPlan] = field(init=False)
    _dir: StateDir | None = field(default=None, init=False)
    _store: Store = field(init=False)
    _trail: AuditLog = field(init=False)
    _audit: AuditFile | None = field(default=None, init=False)
    _thread: ThreadPool = field(init=False)
    _tidying: LoopingCall = field(init=False)
    _gate: Authenticator = field(init=False)
    _watching: LoopingCall = field(init=False)

    @property
    def folder(self) -> Path | None:
        """Where is kept what is to outlive the daemon; L{None} if nowhere."""
        return None if self._dir is None else self._dir.path

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        # Before anybody is told that the daemon is there, and may want it gone.
        self._handle_signals()

    def startService(self) -> None:
        super().startService()
        self._prepared = self._prepare()
        folder = self._folder()
        self._dir = self._open(folder)
        self._audit = self._open_audit()
        write = _to_log if self._audit is None else self._audit.write
        self._trail = AuditLog(self._reactor, wall_clock, write)
        self.door = self._open_door(folder)
        self._thread = ThreadPool(0, 1, "state")
        self._thread.start()
        database = self._dir.database if self._dir else Database.open(IN_MEMORY)
        self._store = Store(database, partial(self._in_thread, self._thread))
        pepper = os.urandom(32) if self._dir is None else self._dir.pepper
        self.registry = Registry(
            self._config,
            self._reactor,
            wall_clock,
            self._spawn,
            self._store,
            self._logs(),
            self._trail.note,
            pepper,
        )
        self._take_over()
        self._tidying = LoopingCall(self.registry.tidy)
        self._tidying.clock = self._reactor
        self._tidying.start(TIDY)
        now = Now(wall_clock, time.monotonic)
        self._gate = Authenticator(
            self._names(),
            self._config.access,
            self.door.tokens,
            self.door.required,
            time.monotonic,
            wall_clock,
        )
        self._watching = LoopingCall(self._watch)
        self._watching.clock = self._reactor
        self._watching.start(REVOCATION_INTERVAL)
        record = self._trail.note
        self.site = Site(
            root(self.registry, self._gate, self._reactor, now, record),
            self._reactor,
            self._limits,
            record=record,
            secrets=self._config.secrets,
            is_scarce=scarce,
        )
        self.site.doStart()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self.site.doStop()
        self._tidying.stop()
        self._watching.stop()
        self.door.close()
        stopping = self.registry.stop()
        stopping.addCallback(lambda _: self._trail.close())
        stopping.addCallback(lambda _: self._store.close())
        stopping.addCallback(lambda _: deferLater(self._reactor, self.FLUSH))
        stopping.addCallback(lambda _: self._close())
        return stopping

    def _names(self) -> Names:
        """What clients may call this machine, as far as it knows."""
        patterns = {*self._config.access.hosts, *own_names()}
        return Names(patterns=patterns, wide=self.door.wide)

    def _prepare(self) -> Mapping[str, LaunchPlan]:
        try:
            return prepare(self._config.commands.values())
        except CannotPrepare as error:
            raise DaemonCannotStart(f"shellstream: {error}") from None

    def _folder(self) -> Path | None:
        """Where the state is to be kept; L{None} if in memory."""
        if self._where == IN_MEMORY:
            return None
        path = Path(self._where) if self._where else default_state_dir(os.environ)
        if path is None:
            _log.warn("there is no home for the state: runs are kept in memory")
        return path

    def _open(self, path: Path | None) -> StateDir | None:
        """The state folder; L{None} if all is to be kept in memory."""
        if path is None:
            return None
        try:
            opened = StateDir.open(path, wall_clock)
        except ShellstreamError as error:
            if self._where is not None:
                raise DaemonCannotStart(f"shellstream: {error}") from None
            _log.warn("{error}; until then runs are kept in memory", error=error)
            return None
        for notice in opened.notices:
            _log.error("{notice}", notice=notice)
        _log.info("runs are kept in {path}", path=path)
        return opened

    def _open_door(self, folder: Path | None) -> AuthPolicy:
        # Also where another daemon has the folder: the tokens are those of both.
        file = None if folder is None else TokenFile(folder)
        tokens = TokenStore(
            file,
            self._reactor,
            wall_clock,
            account(os.environ),
            self._trail.note,
            self._dir is not None,
        )
        door = AuthPolicy(
            tokens,
            self._insecure,
            any(map(is_wide, self._bound())),
            bool(self._config.access.known),
        )
        try:
            door.open(wall_clock, keep=self._dir is not None)
        except TokensUnusable as error:
            raise DaemonCannotStart(f"shellstream: {error}") from None
        for notice in door.notices(folder):
            _log.info("{notice}", notice=notice)
        return door

    def _watch(self) -> None:
        """Cut off clients that have lost the right to what they have open."""
        if self.door.required and not self._gate.required:
            self._gate.required = True
            self.site.abort_requests_of(ANONYMOUS)
        self._gate.abort_revoked()

    def _open_audit(self) -> AuditFile | None:
        """The file of the audit; L{None} if it is to be in the daemon's log."""
        try:
            return AuditFile.from_settings(self._config.audit, self.folder)
        except AuditUnusable as error:
            raise DaemonCannotStart(f"shellstream: {error}") from None

    def _close(self) -> None:
        self._thread.stop()
        if self._audit is not None:
            self._audit.close()
        if self._dir is not None:
            self._dir.close()

    def _logs(self) -> FileLogs | MemoryLogs:
        if self._dir is None:
            return MemoryLogs()
        pool = self._reactor.getThreadPool()
        in_thread = partial(self._in_thread, pool)
        return FileLogs(self._dir, self._config.keep.bytes, in_thread)

    def _take_over(self) -> None:
        """What another daemon left: its history, its queue, its processes."""
        asked: list[Any] = []
        for question in (self._store.unended(), self._store.newest_id()):
            question.addCallbacks(asked.append, self._cannot_start)
        unended, newest = asked
        lost = [each for each in unended if each.state is State.RUNNING]
        self.registry.recover(unended, newest)
        if lost:
            _log.warn("{count} runs were lost with the last daemon", count=len(lost))
            orphans.end_orphans(lost, self._reactor, GRACE)
        if self._dir is not None:
            swept = self._store.known(self._dir.logs).addCallback(self._sweep)
            swept.addErrback(lambda failure: _log.failure("while sweeping", failure))

    def _cannot_start(self, failure: Any) -> None:
        raise DaemonCannotStart(f"shellstream: {failure.getErrorMessage()}")

    def _sweep(self, known: set[str]) -> Deferred[int]:
        assert self._dir is not None
        # Not where the history is: it may take seconds, and runs wait for that.
        pool = self._reactor.getThreadPool()
        return self._in_thread(pool, partial(self._dir.sweep, known))

    def _spawn(self, command: Command, invocation: Invocation, run: Run) -> Child:
        protocol = ChildProtocol(run, self._reactor)
        prepared = self._prepared[command.name]
        return spawn(self._reactor, command, invocation, protocol, run.id, prepared)

    def _in_thread(self, pool: ThreadPool, call: Callable[[], T]) -> Deferred[T]:
        # Before the reactor runs there is nobody who would have to wait.
        if not self._reactor.running:
            return maybeDeferred(call)
        return deferToThreadPool(self._reactor, pool, call)

    def _handle_signals(self) -> None:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupted)
        # What we ignore, as under nohup(1), our children would ignore as well; what
        # we handle is back at its default in them (execve(2)).
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, lambda number, frame: None)

    def _interrupted(self, number: int, frame: object) -> None:
        """Ctrl-C: whoever sits there does not want to wait for what runs."""
        self._reactor.callFromThread(self._hurry)

    def _hurry(self) -> None:
        self.registry.hurry()
        if self.running:
            self._reactor.stop()
