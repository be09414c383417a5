"""
Reloading the configuration: all of it, or nothing.

Theory of operation
===================

SIGHUP asks for it. A thread reads the files and checks them, and has each part of the
daemon prepare what it derives from the configuration: how commands are started, the
audit file, the TLS context. If anything of that fails, nothing has changed, and the log
says why. Otherwise the reactor puts it in force in one turn, which only assigns: it
must not keep any stream waiting. Runs that wait in the queue follow afterwards, a few
in each turn.

The thread computes in Python, and so do the reactor's turns: only one of them at a
time. A thread that computes gives way after the switch interval, and the reactor waits
for that after each of its system calls, of which a turn with many streams has dozens.
So the interval is shorter meanwhile.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from attrs import define, evolve, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from shellstream.config.changes import Changes, compare, with_equal_commands
from shellstream.config.files import ConfigFiles, ConfigUnusable, Loaded
from shellstream.config.live import LiveConfig
from shellstream.config.loader import Config
from shellstream.model.errors import ShellstreamError

_log = Logger(namespace="shellstream")

T = TypeVar("T")

#: Seconds after which a thread that computes gives way during a reload. Measured with
#: 500 viewers and a thousand commands on two busy cores: with Python's own 5 ms the
#: last viewer had a chunk after 80 ms (median; 200 at most), with this after 35 (120),
#: and without a reload after 35 (140).
SWITCH_INTERVAL = 0.0002

#: The most lines of an error in the log.
MOST_LINES = 100


class Part(Protocol):
    """A part of the daemon that derives something from the configuration."""

    def prepare(self, config: Config) -> Callable[[], object]:
        """
        Make ready for another configuration. Called in a thread.

        @return: puts it in force. Called by the reactor after the configuration was
            replaced; it does not fail, and takes no time.
        @raise ShellstreamError: if it cannot be put in force.
        """


class Manager(Protocol):
    """Who has to know that the daemon reloads: see L{ServiceManager}."""

    def reloading(self) -> None: ...
    def ready(self) -> None: ...


@contextmanager
def giving_way() -> Iterator[None]:
    """Let this thread compute without keeping the reactor waiting."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


@define(eq=False)
class Reloader(Service):
    """
    Reloads the configuration at SIGHUP.

    One reload takes place at a time. Signals that come meanwhile lead to one more.

    @ivar _loaded: what was read last.
    @ivar _adapt: makes a configuration fit for this process.
    @ivar _in_thread: makes a blocking call.
    @ivar _parts: what has to be prepared.
    @ivar _follow: called once another configuration is in force.
    """

    _files: ConfigFiles
    _loaded: Loaded
    _live: LiveConfig
    _reactor: Any
    _adapt: Callable[[Config], Config]
    _in_thread: Callable[[Callable[[], Any]], Deferred[Any]]
    _parts: Sequence[Part]
    _follow: Callable[[], Awaitable[object]]
    _manager: Manager
    _wanted: bool = field(default=False, init=False)
    _busy: bool = field(default=False, init=False)
    _stopping: bool = field(default=False, init=False)
    #: The descriptors that were terminals at the start.
    _terminals: tuple[int, ...] = field(default=(), init=False)

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        # An ignored one, as nohup(1) leaves it, is not the end of the terminal's user.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            self._terminals = tuple(filter(os.isatty, (0, 1, 2)))
        signal.signal(signal.SIGHUP, self._hung_up)

    def stopService(self) -> None:
        super().stopService()
        self._stopping = True

    def _hung_up(self, number: int, frame: object) -> None:
        if self._terminals and not any(map(os.isatty, self._terminals)):
            # The kernel sends it, too, when the terminal of a daemon in the foreground
            # is closed: then nobody wants it to stay.
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self._reactor.callFromThread(self.request)

    def request(self) -> None:
        """Reload soon."""
        if self._stopping:
            _log.info("stopping already: the configuration is not reloaded")
            return
        self._wanted = True
        if not self._busy:
            self._busy = True
            reloading = Deferred.fromCoroutine(self._reload_while_wanted())
            reloading.addErrback(lambda failure: _log.failure("reloading", failure))

    async def _reload_while_wanted(self) -> None:
        try:
            while self._wanted and not self._stopping:
                self._wanted = False
                self._manager.reloading()
                try:
                    await self._reload()
                finally:
                    self._manager.ready()
        finally:
            self._busy = False

    async def _reload(self) -> None:
        before = self._live.now
        try:
            found = await self._in_thread(lambda: self._prepare(before))
        except ShellstreamError as error:
            _log_refusal(str(error).splitlines())
            return
        except Exception:  # noqa: BLE001  # the daemon goes on with what it has
            _log.failure("the configuration is not reloaded, and stays as it was")
            return
        if self._stopping:
            return
        loaded, config, changes, needs_restart, commits = found
        self._loaded, self._live.now = loaded, config
        for commit in commits:
            commit()
        if loaded.path is None:
            about = self._files.describe(loaded)
            _log.info("there is nothing to reload: {about}", about=about)
        else:
            _log.info("reloaded the configuration: {about}", about=loaded)
        for line in changes.lines():
            _log.info("{line}", line=line)
        for key in needs_restart:
            _log.warn(
                "{key} needs a restart, and stays as it was; the rest is in force",
                key=key,
            )
        await self._follow()

    def _prepare(
        self, before: Config
    ) -> tuple[Loaded, Config, Changes, list[str], list[Callable[[], object]]]:
        with giving_way():
            loaded = self._files.load()
            if loaded.path is None and self._loaded.path is not None:
                raise ConfigUnusable(
                    f"{self._loaded.path} is gone, and there is no other"
                )
            config = with_equal_commands(before, self._adapt(loaded.config))
            config, needs_restart = _without_restart(before, config)
            commits = [part.prepare(config) for part in self._parts]
            changes = compare(before, config)
        return loaded, config, changes, needs_restart, commits


def _without_restart(before: Config, after: Config) -> tuple[Config, list[str]]:
    """A configuration without what only a restart can change, and the keys of that."""
    if (before.tls is None) is (after.tls is None):
        return after, []
    return evolve(after, tls=before.tls), ["tls"]  # sockets speak it, or do not


def _log_refusal(lines: Sequence[str]) -> None:
    for line in lines[:MOST_LINES]:
        _log.error("not reloaded: {line}", line=line)
    if lines[MOST_LINES:]:
        more = len(lines) - MOST_LINES
        _log.error("not reloaded: and {more} lines more; try --check", more=more)
    _log.error("the daemon keeps the configuration that it has")
