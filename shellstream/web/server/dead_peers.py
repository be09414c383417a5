"""
Clients that vanished while something was on its way to them.

Keepalive finds a dead peer only on a connection that is silent (tcp(7)): otherwise the
kernel repeats what it sent for a quarter of an hour. TCP_USER_TIMEOUT is no cure: it
also counts the time for which a living client takes nothing, and a reader who pauses
C{less} must not lose the stream. So the daemon asks the kernel how often it has
repeated what it sent last.
"""

import socket
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Any

from attrs import define, field

#: How many repetitions without an answer mean a dead peer. They begin after 0.2 s, or
#: the round-trip time, and each waits twice as long as the one before: 51 s in all.
REPEATED = 8

#: Seconds in which each connection is checked once: a fifteenth of them a second, so
#: that ten thousand connections never make the reactor stutter.
ROUND = 15


def repetitions(transport: Any) -> int:
    """How often the kernel has repeated what it sent last, without an answer."""
    connection = getattr(transport, "socket", None)
    if connection is None:  # not a TCP connection
        return 0
    try:
        # The third byte of struct tcp_info, tcpi_retransmits. Four are asked for: to
        # qemu-user all options of TCP are integers, and of a shorter one it hands over
        # the first byte alone, with whatever was in memory behind it.
        info: bytes = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 4)
    except OSError:  # of another family, or closed
        return 0
    return info[2]


@define(eq=False)
class DeadPeerMonitor:
    """Resets the connections whose clients vanished; called each second."""

    _connections: Collection[Any]
    _repetitions: Callable[[Any], int] = repetitions
    _unchecked: Iterator[Any] = field(factory=lambda: iter(()), init=False)

    def __call__(self) -> None:
        some = list(islice(self._unchecked, len(self._connections) // ROUND + 1))
        for each in some:
            if self._repetitions(each.transport) >= REPEATED:
                each.transport.abortConnection()
        if not some:
            self._unchecked = iter(tuple(self._connections))
