"""Tests for L{shellstream.daemon.lifecycle.socket_activation}."""

import os
import socket

from twisted.trial.unittest import SynchronousTestCase

from shellstream.daemon.lifecycle.socket_activation import handed_over


class HandedOverTests(SynchronousTestCase):
    """Sockets that systemd has opened."""

    def environ(self, count: int, pid: int | None = None) -> dict[str, str]:
        """The variables of a process."""
        return {"LISTEN_FDS": str(count), "LISTEN_PID": str(pid or os.getpid())}

    def test_kinds(self) -> None:
        """Each is taken over as what it is, and stays open."""
        for family, domain in (
            (socket.AF_INET, "INET"),
            (socket.AF_INET6, "INET6"),
            (socket.AF_UNIX, "UNIX"),
        ):
            with socket.socket(family) as opened:
                found = handed_over(self.environ(1), opened.fileno())
                self.assertEqual(found, [f"systemd:domain={domain}:index=0"])
                os.fstat(opened.fileno())

    def test_none(self) -> None:
        """Without sockets, or with those of another process, there are none."""
        self.assertEqual(handed_over({}), [])
        self.assertEqual(handed_over(self.environ(0)), [])
        self.assertEqual(handed_over(self.environ(1, pid=1)), [])
