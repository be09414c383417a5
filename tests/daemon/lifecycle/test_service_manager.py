"""Tests for L{shellstream.daemon.lifecycle.service_manager}."""

import os
import socket
import time
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.daemon.lifecycle.service_manager import (
    EXTENSION,
    INTERVAL,
    ServiceManager,
    notify_socket,
    watchdog_interval,
)
from tests.support.programs import socket_path


class _Reactor(Clock):
    def callWhenRunning(self, begin: Any) -> None:
        """It runs already."""
        begin()


class EnvironmentTests(SynchronousTestCase):
    """The manager is the one that the environment names."""

    def test_socket(self) -> None:
        """A path, an abstract name, or a kind of address that is none of a file."""
        self.assertEqual(notify_socket({"NOTIFY_SOCKET": "/run/x"}), "/run/x")
        self.assertEqual(notify_socket({"NOTIFY_SOCKET": "@x"}), "\0x")
        self.assertIsNone(notify_socket({"NOTIFY_SOCKET": "vsock:2:1234"}))
        self.assertIsNone(notify_socket({}))

    def test_watchdog(self) -> None:
        """The variables count for the process that they name only."""
        set_ = {"WATCHDOG_USEC": "3000000"}
        self.assertEqual(watchdog_interval(set_, 7), 3)
        self.assertEqual(watchdog_interval({**set_, "WATCHDOG_PID": "7"}, 7), 3)
        self.assertIsNone(watchdog_interval({**set_, "WATCHDOG_PID": "8"}, 7))
        self.assertIsNone(watchdog_interval({"WATCHDOG_USEC": "0"}, 7))
        self.assertIsNone(watchdog_interval({"WATCHDOG_USEC": "soon"}, 7))
        self.assertIsNone(watchdog_interval({}, 7))


class ServiceManagerTests(SynchronousTestCase):
    """What is told, and when."""

    def setUp(self) -> None:
        self.clock = _Reactor()
        self.status = "idle"

    def manager(
        self, address: str | None = None, watchdog: int | None = None
    ) -> ServiceManager:
        """A daemon under a manager that listens at an address."""
        self.manager_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager_socket.close)
        address = address or socket_path(self)  # type: ignore[arg-type]
        self.manager_socket.bind(address)
        self.manager_socket.setblocking(False)
        environ = {"NOTIFY_SOCKET": address.replace("\0", "@")}
        if watchdog is not None:
            environ["WATCHDOG_USEC"] = str(watchdog * 1_000_000)
        manager = ServiceManager.of(self.clock, lambda: self.status, environ)
        manager.startService()
        return manager

    def told(self) -> list[str]:
        """Every message since the last time."""
        found = []
        while True:
            try:
                found.append(self.manager_socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def test_ready(self) -> None:
        """It is ready once the reactor runs, and says what it does."""
        self.manager()
        self.assertEqual(self.told(), ["READY=1", "STATUS=idle"])

    def test_abstract(self) -> None:
        """The socket of the manager may have an abstract name."""
        self.manager(f"\0shellstream-test-{os.getpid()}")
        self.assertEqual(self.told(), ["READY=1", "STATUS=idle"])

    def test_status(self) -> None:
        """What it does is told when it changes, and only then."""
        self.manager()
        self.told()
        self.clock.pump([INTERVAL] * 3)
        self.assertEqual(self.told(), [])
        self.status = "1 run"
        self.clock.advance(INTERVAL)
        self.assertEqual(self.told(), ["STATUS=1 run"])

    def test_watchdog(self) -> None:
        """It is heard of twice within the time of the watchdog."""
        self.manager(watchdog=2)
        self.told()
        self.clock.pump([0.5] * 4)
        self.assertEqual(self.told(), ["WATCHDOG=1"] * 2)

    def test_reload(self) -> None:
        """A reload begins with the time, by the clock that the manager reads."""
        manager = self.manager()
        self.told()
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        manager.reloading()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        manager.ready()
        reloading, ready = self.told()
        first, _, stamp = reloading.partition("\nMONOTONIC_USEC=")
        self.assertEqual((first, ready), ("RELOADING=1", "READY=1"))
        self.assertLessEqual(before, int(stamp))
        self.assertLessEqual(int(stamp), after)

    def test_stop(self) -> None:
        """While it stops, it asks for time again and again, and is watched."""
        manager = self.manager(watchdog=10)
        self.told()
        manager.stopService()
        extension = f"WATCHDOG=1\nEXTEND_TIMEOUT_USEC={EXTENSION:.0f}000000"
        self.assertEqual(
            self.told(), ["STOPPING=1", f"{extension}\nSTATUS=stopping; idle"]
        )
        self.clock.pump([INTERVAL] * 2)
        self.assertEqual(self.told(), [extension] * 2)

    def test_gone(self) -> None:
        """A manager that has gone is noted in the log, and does no harm."""
        manager = self.manager()
        Path(self.manager_socket.getsockname()).unlink()
        manager.ready()
        self.assertEqual(self.told(), ["READY=1", "STATUS=idle"])

    def test_none(self) -> None:
        """Elsewhere it tells nobody anything, and asks nothing."""
        self.status = "unasked"
        manager = ServiceManager.of(self.clock, self.fail, {})
        manager.startService()
        manager.reloading()
        manager.ready()
        self.assertEqual(self.clock.getDelayedCalls(), [])
