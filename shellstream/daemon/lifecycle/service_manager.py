"""What systemd is told of the daemon: the protocol of sd_notify(3)."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_log = Logger(namespace="shellstream")

#: Seconds between two reports at most. Each is sent only if it says something new, or
#: the manager waits for it.
INTERVAL = 5.0

#: Seconds for which a report extends the time that the manager allows for stopping. A
#: busy machine may deliver the next one late.
EXTENSION = 4 * INTERVAL

#: As much as the kernel takes of messages that the manager has not read yet: a manager
#: that is busy must not lose one.
_BUFFER = 8 * 2**20


def notify_socket(environ: Mapping[str, str]) -> str | None:
    """
    The address of the service manager's socket; L{None} where none listens.

    A name that begins with C{@} is an abstract one (unix(7)).
    """
    given = environ.get("NOTIFY_SOCKET", "")
    if not given.startswith(("/", "@")):
        return None  # unset, or of a virtual machine's host (vsock)
    return f"\0{given[1:]}" if given.startswith("@") else given


def watchdog_interval(environ: Mapping[str, str], pid: int) -> float | None:
    """
    The seconds after which the manager takes this process for dead, by its silence
    (sd_watchdog_enabled(3)); L{None} if it does not watch it.
    """
    text = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", str(pid))
    if meant != str(pid) or not text.isdecimal() or not int(text):
        return None
    return int(text) / 1e6


@define(eq=False)
class ServiceManager(Service):
    """
    Tells systemd that the daemon is ready, loads its configuration again, or stops; and
    while the reactor runs, that it is alive. Elsewhere it tells nobody anything.

    It has to start after all other services.

    @ivar _describe: what the daemon does now, in a few words for
        C{systemctl status}.
    """

    _reactor: Any
    _describe: Callable[[], str]
    _address: str | None
    _watchdog: float | None = None
    _socket: socket.socket | None = field(default=None, init=False)
    _reporting: LoopingCall | None = field(default=None, init=False)
    _status: str = field(default="", init=False)
    _stopping: bool = field(default=False, init=False)

    @classmethod
    def of(
        cls, reactor: Any, describe: Callable[[], str], environ: Mapping[str, str]
    ) -> "ServiceManager":
        """The manager that these variables of the environment name, if any."""
        watchdog = watchdog_interval(environ, os.getpid())
        return cls(reactor, describe, notify_socket(environ), watchdog)

    def startService(self) -> None:
        super().startService()
        if self._address is None:
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        # Until then nobody would be answered.
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> None:
        super().stopService()
        self._stopping = True
        self._send("STOPPING=1")
        self.report()

    def reloading(self) -> None:
        """The configuration is loaded again; L{ready} has to follow in any case."""
        # Compared with the time at which the manager asked for it, on the same clock.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def ready(self) -> None:
        """The daemon serves its clients, with the configuration that it has loaded."""
        self._send("READY=1")

    def report(self) -> None:
        """Send what the daemon does now, and what the manager waits for."""
        lines = []
        if self._watchdog is not None:
            lines.append("WATCHDOG=1")
        if self._stopping:
            # The daemon ends its runs itself, each with its own grace time.
            lines.append(f"EXTEND_TIMEOUT_USEC={EXTENSION * 1e6:.0f}")
        status = self._describe()
        if self._stopping:
            status = f"stopping; {status}"
        if status != self._status:
            lines.append(f"STATUS={status}")
            self._status = status
        if lines:
            self._send(*lines)

    def _begin(self) -> None:
        self.ready()
        # Half of the time, as sd_watchdog_enabled(3) advises.
        interval = min(INTERVAL, (self._watchdog or INTERVAL * 2) / 2)
        self._reporting = LoopingCall(self.report)
        self._reporting.clock = self._reactor
        self._reporting.start(interval)  # until the process ends

    def _send(self, *lines: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:  # not a reason to end: the manager may come back
            _log.warn(
                "cannot tell the service manager {lines}: {why}",
                lines=", ".join(lines),
                why=error.strerror,
            )
