"""
Sending at once what Twisted would send in the next turn of the event loop.

Its sockets keep what is written until C{epoll} has said that they take it: that is
a third of a chunk's latency, and a copy of every byte. While a socket keeps nothing
it can be asked directly; what it does not take goes the usual way, so that order,
bounds, producers and errors stay Twisted's own.
"""

from collections.abc import Sequence

from twisted.internet.interfaces import ITransport
from twisted.internet.tcp import Connection


def write_now(transport: ITransport, parts: Sequence[bytes]) -> None:
    """
    Write, and send at once as much as the socket takes without waiting.

    A transport that is no plain socket, such as TLS, gets an ordinary write.
    """
    # The two buffers of FileDescriptor, and all that its doWrite() heeds.
    if isinstance(transport, Connection) and not (
        transport.dataBuffer
        or transport._tempDataBuffer
        or transport.disconnecting
        or transport._writeDisconnecting
        or not transport.connected
    ):
        try:
            sent = transport.socket.sendmsg(parts)
        except OSError:  # full, or gone: the transport finds out, and copes
            sent = 0
        if sent == sum(map(len, parts)):
            return
        parts = _rest(parts, sent)
    transport.writeSequence(parts)


def _rest(parts: Sequence[bytes], sent: int) -> Sequence[bytes]:
    """What is left of them behind the first C{sent} bytes."""
    for index, part in enumerate(parts):
        if sent < len(part):
            return [part[sent:], *parts[index + 1 :]]
        sent -= len(part)
    return ()
