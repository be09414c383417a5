"""The service that owns the state and the runs of a daemon."""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from attrs import Factory, define, evolve, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from shellstream.config.command import Command, Invocation
from shellstream.config.live import LiveConfig
from shellstream.config.loader import DEMO, IN_MEMORY, Config
from shellstream.model.errors import ShellstreamError
from shellstream.notifications.notifier import Notifications, Notifier
from shellstream.notifications.process_sender import ProcessSender
from shellstream.notifications.run_outputs import RunOutputs
from shellstream.notifications.senders import Senders
from shellstream.process.child import ChildProtocol
from shellstream.process.file_limits import scarce
from shellstream.process.launch_plan import CannotPrepare, LaunchPlan, prepare
from shellstream.process.spawn import spawn
from shellstream.process.tracking.cgroups import RunCgroups
from shellstream.process.tracking.process_scanner import ProcessScanner
from shellstream.process.tracking.reaper import OrphanReaper, adopts_orphans
from shellstream.programs import typed
from shellstream.runs.history import History, in_background
from shellstream.runs.registry import Registry
from shellstream.runs.run import Child, Run
from shellstream.security.audit_log import AuditLog
from shellstream.security.authorization import ANONYMOUS
from shellstream.security.principals import UNIX
from shellstream.security.request_origin import HostNames
from shellstream.storage.audit_file import AuditFile, AuditUnusable
from shellstream.storage.database import Database
from shellstream.storage.log_store import FileLogs, MemoryLogs
from shellstream.storage.run_store import RunStore
from shellstream.storage.state_dir import (
    StateDir,
    StateDirBusy,
    default_state_dir,
    is_unused,
)
from shellstream.storage.token_file import TokenFile, TokensUnusable, account
from shellstream.storage.token_store import TokenStore
from shellstream.storage.worker_thread import WorkerThread
from shellstream.web import Now, Site, represent, root
from shellstream.web.server.access_log import LoggedNames
from shellstream.web.server.authentication import REVOCATION_INTERVAL, Authenticator

from .auth_policy import AuthPolicy
from .errors import DaemonCannotStart, stopping_on
from .left_processes import LeftProcesses
from .lifecycle.reactor_watchdog import ReactorWatchdog
from .lifecycle.stop_signals import StopSignals
from .listen_address import ListenAddress, own_names
from .measurements import Measurements
from .take_over import take_over

_log = Logger(namespace="shellstream")

T = TypeVar("T")

#: How many threads sync and remove outputs: each waits for the disk, which takes some
#: requests at once.
FILE_THREADS = 4

#: Seconds between two deletions of runs that have been kept long enough.
TIDY = 600.0

#: Seconds between two syncs of what is not on the disk itself yet.
SYNC = 1.0

#: Seconds between two looks whether the state is still in its place.
LOOK = 5.0

#: Seconds between two looks for adopted processes that have ended.
REAPING_INTERVAL = 1.0


def wall_clock() -> int:
    """@see: L{shellstream.model.events.WallClock}"""
    return time.time_ns() // 1000


@define(eq=False)
class Daemon(Service):
    """
    Opens the state when the daemon starts, takes over the runs of the last daemon, and
    closes the state when all runs have ended.

    The state is opened after the last fork and the change of the user: neither locks
    nor SQLite survive a fork, and the files belong to the user who opens them.

    @ivar auth_policy: whether clients have to authenticate; from the start on.
    @ivar registry: the runs; from the start on.
    @ivar site: serves all connections; from the start on.
    """

    #: Seconds between the end of the last run and that of the daemon: for last bytes,
    #: and for resets, which tell viewers that there was more. The reactor's own end
    #: would close all connections as if their answers were complete.
    FLUSH = 0.1

    _live: LiveConfig
    _state_dir_option: str | None
    _reactor: Any
    _addresses: Callable[[], Iterable[ListenAddress]] = tuple
    _insecure: bool = False
    _on_terminal: bool = False
    _watchdog: ReactorWatchdog = Factory(
        lambda self: ReactorWatchdog(self._reactor), takes_self=True
    )
    site: Site = field(init=False)
    auth_policy: AuthPolicy = field(init=False)
    registry: Registry = field(init=False)
    _launch_plans: Mapping[str, LaunchPlan] = field(init=False)
    _state_dir: StateDir | None = field(default=None, init=False)
    _store: RunStore = field(init=False)
    _audit_file: AuditFile | None = field(default=None, init=False)
    _audit_log: AuditLog = field(init=False)
    _database_thread: WorkerThread = field(init=False)
    _file_threads: WorkerThread = field(init=False)
    _token_thread: WorkerThread = field(init=False)
    _launch_thread: WorkerThread = field(init=False)
    _tidying: LoopingCall = field(init=False)
    _looking: LoopingCall = field(init=False)
    _syncing: LoopingCall = field(init=False)
    _history: History = field(init=False)
    _notifier: Notifier = field(init=False)
    _authenticator: Authenticator = field(init=False)
    _watching: LoopingCall = field(init=False)
    _scanner: ProcessScanner = field(init=False)
    _cgroups: RunCgroups | None = field(default=None, init=False)
    _reaping: LoopingCall | None = field(default=None, init=False)
    #: Whether callers without credentials may have something open.
    _had_anonymous: bool = field(init=False)

    @property
    def folder(self) -> Path | None:
        """The state folder, once it is open; L{None} if all state is in memory."""
        return None if self._state_dir is None else self._state_dir.path

    def requires_credential(self, address: ListenAddress) -> bool:
        """Whether clients on this machine need a credential at an address."""
        peer = address.host() if address.path is None else UNIX
        is_proxy = self._live.now.access.is_proxy(peer or "")
        return self.auth_policy.required or (is_proxy and not self._insecure)

    def describe(self) -> str:
        """What it does now, in a few words."""
        return f"active runs: {len(self.registry.active)}"

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        # Before the banner tells anybody that the daemon is there and can be stopped.
        StopSignals(
            self._reactor,
            lambda: self.registry.supervisor.hurry(),
            lambda: len(self.registry.active),
        ).handle()

    def startService(self) -> None:
        super().startService()
        with stopping_on(CannotPrepare):
            self._launch_plans = prepare(self._live.now.programs)
        folder = self._wanted_folder()
        self._state_dir = opened = self._open_state_dir(folder)
        with stopping_on(AuditUnusable):
            audit = AuditFile.from_settings(self._live.now.audit, self.folder)
            if audit is not None:
                audit.link(self.folder)
        self._audit_file = audit
        self._audit_log = AuditLog(
            self._reactor, wall_clock, self._audit, lambda: self._live.now.audit.total
        )
        self._start_threads()
        self.auth_policy = self._start_auth_policy(folder)
        self._scanner = ProcessScanner(self._reactor)
        self._cgroups = RunCgroups.delegated()
        database = Database.open(IN_MEMORY) if opened is None else opened.database
        self._store = RunStore(
            database, self._database_thread, self._reactor, self._file_threads
        )
        pepper = os.urandom(32) if opened is None else opened.pepper
        history = self._history = History(
            self._live, self._reactor, wall_clock, self._store, self._logs()
        )
        self.registry = Registry(
            self._live,
            self._reactor,
            wall_clock,
            self._spawn,
            history,
            self._audit_log.record,
            pepper,
        )
        self._notifier = self._make_notifier(database)
        left = LeftProcesses(self._reactor, self._scanner, self._cgroups)
        take_over(
            self.registry,
            self._store,
            left,
            self._state_dir,
            self._audit_file,
            self._file_threads,
        )
        self._notifier.start()
        self._tidying = self._repeat(self.registry.tidy, TIDY)
        self._looking = self._repeat(self._look, LOOK)
        self._syncing = self._repeat(lambda: in_background(history.sync()), SYNC)
        now = Now(wall_clock, time.monotonic)
        self._authenticator = Authenticator(
            self._host_names(self._live.now),
            self._live.now.access,
            self.auth_policy.tokens,
            self.auth_policy,
            time.monotonic,
            wall_clock,
        )
        self._had_anonymous = not self.auth_policy.required
        self._watching = self._repeat(self._revoke, REVOCATION_INTERVAL)
        if adopts_orphans():
            reaper = OrphanReaper(self._children)
            self._reaping = self._repeat(reaper.look, REAPING_INTERVAL)
        record = self._audit_log.record
        self.site = Site(
            root(
                self.registry,
                self._authenticator,
                self._reactor,
                now,
                record,
                self._measurements(),
                self.registry.supervisor.counts,
            ),
            self._reactor,
            self._live.now.http,
            record=record,
            represent=represent,
            names=LoggedNames.of(self._live.now),
            is_scarce=scarce,
            is_proxy=lambda peer: self._authenticator.access.is_proxy(peer),
        )
        self.site.doStart()

    def prepare(self, config: Config) -> Callable[[], object]:
        """@see: L{shellstream.daemon.configuration.reload.Part}"""
        before, folder = self._live.now, self.folder
        kept = {
            name: self._launch_plans[name]
            for name, command in config.commands.items()
            if before.commands.get(name) is command
        }
        others = (each for each in config.programs if each.name not in kept)
        plans = {**kept, **prepare(others)}
        audit = self._audit_file
        if config.audit != before.audit:
            audit = AuditFile.from_settings(config.audit, folder)
        hosts, names = self._host_names(config), LoggedNames.of(config)

        def put_in_force() -> None:
            self._launch_plans = plans
            self._use_audit(audit)
            # Once required, authentication stays required.
            self.auth_policy.has_principals |= bool(config.access.known)
            self._authenticator.follow(hosts, config.access)
            self.site.follow(config.http, names)
            self._notifier.configure(Notifications.of(config))

        return put_in_force

    async def follow(self) -> None:
        """Another configuration is in force: do what that asks for."""
        self.registry.tidy()
        await self.registry.supervisor.follow()

    def in_thread(self, call: Callable[[], T]) -> Deferred[T]:
        """Make a blocking call."""
        return self._file_threads(call)

    def _use_audit(self, audit: AuditFile | None) -> None:
        before, self._audit_file = self._audit_file, audit
        if audit is before:
            return
        if before is not None:
            before.close()
        if audit is not None:
            try:
                audit.link(self.folder)
            except AuditUnusable as error:  # it is kept, but the token tool misses it
                _log.error("{error}", error=error)

    def _audit(self, lines: str) -> None:
        """Append lines to the audit, which has no file if there is no place for it."""
        if self._audit_file is not None:
            self._audit_file.write(lines)
            return
        for line in filter(None, lines.split("\n")):
            _log.info("audit {line}", line=line, run=json.loads(line).get("run"))

    def _look(self) -> None:
        in_background(self._history.look())
        if self._cgroups is not None:
            self._cgroups.sweep()

    def _host_names(self, config: Config) -> HostNames:
        """The names of this daemon."""
        exposed, hosts = self.auth_policy.exposed, config.access.hosts
        # On loopback nobody comes by this machine's own name: only a page for which a
        # host of the local network has taken that name could.
        names = (*hosts, *own_names()) if exposed else hosts
        return HostNames(patterns=names, exposed=exposed)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._tidying.stop()
        self._looking.stop()
        self._syncing.stop()
        self._watching.stop()
        if self._reaping is not None:
            self._reaping.stop()
        self.site.doStop()
        self.auth_policy.tokens.stop()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        steps: tuple[Callable[[], Any], ...] = (
            self.registry.supervisor.stop,
            self._notifier.stop,
            lambda: self._history.logs.sync_last(),
            self._audit_log.close,
            self._store.close,
            lambda: deferLater(self._reactor, self.FLUSH),
            self._database_thread.stop,
            self._launch_thread.stop,
            self._file_threads.stop,
            self._token_thread.stop,
            self._close,
        )
        for step in steps:
            try:
                await maybeDeferred(step)
            except Exception:  # noqa: BLE001  # or the daemon would not end
                _log.failure("while stopping")

    def _start_threads(self) -> None:
        # One thread: a connection to SQLite is used by one at a time.
        self._database_thread = WorkerThread(self._reactor)
        self._file_threads = WorkerThread(self._reactor)
        self._token_thread = WorkerThread(self._reactor)
        self._launch_thread = WorkerThread(self._reactor)
        try:
            self._database_thread.start("state")
            self._token_thread.start("tokens")
            self._launch_thread.start("launch")
            self._file_threads.start("files", FILE_THREADS)
        except (RuntimeError, MemoryError) as error:
            raise DaemonCannotStart(
                f"shellstream: {error or 'no memory is left'}: it needs "
                f"{3 + FILE_THREADS} threads; raise the limit of processes of this "
                "user (ulimit -u), of memory (ulimit -v), or of the service's tasks"
            ) from None

    def _repeat(self, call: Callable[[], object], interval: float) -> LoopingCall:
        def contained() -> object:
            try:
                return call()
            except Exception:  # noqa: BLE001  # or it would never be called again
                _log.failure("while looking after the daemon")
                return None

        repeated = LoopingCall(contained)
        repeated.clock = self._reactor
        repeated.start(interval)
        return repeated

    def _wanted_folder(self) -> Path | None:
        """The folder for the state; L{None} for memory."""
        given = self._state_dir_option
        if given == IN_MEMORY:
            return None
        path = Path(given) if given else default_state_dir(os.environ)
        if path is None:
            _log.warn("this account has no home folder: runs are kept in memory")
        return path

    def _open_state_dir(self, path: Path | None) -> StateDir | None:
        """
        Open the state folder; L{None} for memory.

        A folder that is not usable stops the daemon if the operator named it, or if
        there is something in it: without that, keys would start runs a second time,
        and clients might not have to authenticate any more. Only the demo goes on
        beside a daemon that uses the default folder: nobody misses its runs.
        """
        if path is None:
            return None
        try:
            opened = StateDir.open(path, wall_clock)
        except ShellstreamError as error:
            in_use = isinstance(error, StateDirBusy)
            is_demo = self._live.now.commands == DEMO.commands
            goes_on = is_demo if in_use else is_unused(path)
            if self._state_dir_option is not None or not goes_on:
                raise DaemonCannotStart(f"shellstream: {error}") from None
            _log.warn("{error}; this daemon keeps its runs in memory", error=error)
            return None
        for notice in opened.notices:
            _log.error("{notice}", notice=notice)
        _log.info("runs are kept in {path}", path=path)
        return opened

    def _start_auth_policy(self, folder: Path | None) -> AuthPolicy:
        # If another daemon has locked the folder, its tokens are good here as well.
        tokens = TokenStore(
            None if folder is None else TokenFile(folder),
            self._reactor,
            wall_clock,
            account(os.environ),
            self._audit_log.record,
            self._token_thread,
            self._state_dir is not None,
        )
        exposed = any(each.is_exposed for each in self._addresses())
        has_principals = bool(self._live.now.access.known)
        policy = AuthPolicy(tokens, self._insecure, exposed, has_principals)
        if folder is None and policy.admits_nobody and not self._on_terminal:
            raise DaemonCannotStart(
                "shellstream: other machines can connect, so clients need a token; "
                "without a state folder there is only one, which a terminal shows. "
                "Start it on a terminal, or with a --state-dir; to make a token for "
                f"that, type: {typed('shellstreamd')} --state-dir DIR tokens make NAME"
            )
        with stopping_on(TokensUnusable):
            policy.start(wall_clock, on_terminal=self._on_terminal)
        if policy.required:
            _log.info("{notice}", notice=policy.notice(folder))
        return policy

    def _revoke(self) -> None:
        """Disconnect clients that have lost the right to what they have open."""
        if self._had_anonymous and self.auth_policy.required:
            self.site.abort_requests_of(ANONYMOUS)
        self._had_anonymous = not self.auth_policy.required
        self._authenticator.abort_revoked()

    def _close(self) -> None:
        if self._audit_file is not None:
            self._audit_file.close()
        if self._state_dir is not None:
            self._state_dir.close()

    def _logs(self) -> FileLogs | MemoryLogs:
        if self._state_dir is None:
            return MemoryLogs()
        return FileLogs(
            self._state_dir, lambda: self._live.now.keep.bytes, self._file_threads
        )

    def _children(self) -> set[int]:
        pids = (run.record.pid for run in self.registry.active.values())
        return {pid for pid in pids if pid is not None}

    def _measurements(self) -> Measurements:
        return Measurements(
            self._reactor,
            self._live,
            self.registry,
            self._store,
            self._audit_log,
            self._notifier,
            self._watchdog,
            lambda: self.site,
            self.folder,
            self._file_threads,
        )

    def _make_notifier(self, database: Database) -> Notifier:
        processes = ProcessSender(
            self._reactor,
            lambda: self._launch_plans,
            self._scanner,
            self._launch_thread,
        )

        def secrets_of(run_id: str) -> Mapping[str, str]:
            run = self.registry.active.get(run_id)
            return {} if run is None else run.invocation.secrets

        notifier = Notifier(
            self._reactor,
            self._store,
            database.outbox,
            self.registry.reporter,
            RunOutputs(self.registry.find, secrets_of),
            self._audit_log.record,
            Senders(self._reactor, wall_clock, processes),
        )
        notifier.configure(Notifications.of(self._live.now))
        return notifier

    async def _spawn(self, command: Command, invocation: Invocation, run: Run) -> Child:
        if run.trace is not None:
            env = {**run.trace.variables, **invocation.env}
            invocation = evolve(invocation, env=env)
        alone = len(self.registry.active) == 1
        return await spawn(
            self._reactor,
            command,
            invocation,
            ChildProtocol(run, self._reactor),
            run.id,
            self._launch_plans[command.name],
            self._scanner,
            # The way through a thread takes longer, but no other run has to wait.
            None if alone else self._launch_thread,
            None if self._cgroups is None else self._cgroups.of(run.id),
        )
