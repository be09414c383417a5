"""
Clients that vanished while something was on its way to them.

Keepalive notices them only where nothing is (tcp(7)): else the kernel repeats what
was sent for a quarter of an hour. TCP_USER_TIMEOUT is no cure: it counts the time
during which a client that is there takes nothing as well, and whoever pauses C{less}
is not to lose a stream. So one is looked at for how often it was repeated in vain.
"""

import socket
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Any

from attrs import define, field

from .channel import Channel

#: How many repetitions without an answer are enough: they begin after 0.2 s, or what
#: the way takes, and each waits for twice as long as the one before: 51 s.
REPEATED = 8

#: Seconds in which each connection is looked at once, some of them in each.
ROUND = 15


def repeated(transport: Any) -> int:
    """How often the kernel has repeated what it sent last, without an answer."""
    connection = getattr(transport, "socket", None)
    if not hasattr(socket, "TCP_INFO") or connection is None:  # macOS
        return 0
    try:
        # The third byte of struct tcp_info, tcpi_retransmits.
        info: bytes = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 3)
    except OSError:  # of another family, or closed
        return 0
    return info[2]


@define(eq=False)
class DeadPeerMonitor:
    """Resets the connections whose clients vanished; called each second."""

    _channels: Collection[Channel]
    _repeated: Callable[[Any], int] = repeated
    _left: Iterator[Channel] = field(factory=lambda: iter(()), init=False)

    def __call__(self) -> None:
        some = list(islice(self._left, len(self._channels) // ROUND + 1))
        for channel in some:
            if self._repeated(channel.transport) >= REPEATED:
                channel.transport.abortConnection()
        if not some:
            self._left = iter(tuple(self._channels))
