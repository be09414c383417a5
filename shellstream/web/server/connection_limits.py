"""How many connections one client, and all clients together, may have open."""

import socket
import struct
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper
from twisted.protocols.policies import ProtocolWrapper

from shellstream.config.http_limits import HttpLimits
from shellstream.model.errors import Busy, ShellstreamError, TooManyConnections
from shellstream.security.login_throttle import client_network
from shellstream.security.principals import UNIX

_log = Logger()

#: Seconds after which a client that was refused may try again.
RETRY_AFTER = 5

#: Seconds between two lines of the log about connections that were refused.
LOG_INTERVAL = 60.0


def transport_peer(transport: Any) -> IAddress:
    """The peer of the socket itself, whatever a PROXY header says of it."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    peer: IAddress = transport.getPeer()
    return peer


def unix_peer(transport: Any) -> str:
    """
    L{UNIX}, a colon, and the number of the user that connected to a UNIX socket
    (C{SO_PEERCRED}, unix(7)).
    """
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    connected = getattr(transport, "socket", None)
    if connected is None:  # in memory
        return UNIX
    size = struct.calcsize("3i")
    shown = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, _ = struct.unpack("3i", shown)
    return f"{UNIX}:{uid}"


def announces_peer(transport: Any) -> bool:
    """Whether a PROXY header will say who the client is (endpoint C{haproxy:})."""
    while isinstance(transport, ProtocolWrapper):
        if isinstance(transport, HAProxyProtocolWrapper):
            return True
        transport = transport.transport
    return False


def client_of(peer: IAddress) -> str | None:
    """The network that counts as one client; L{None} for a UNIX socket."""
    host: str | None = getattr(peer, "host", None)
    return None if host is None else client_network(host)


@define(eq=False)
class SharedQuota:
    """
    An amount that clients share, and of which no single one gets everything.

    @ivar limit: the whole amount.
    @ivar each: how much of it one client may use.
    @ivar used: how much is in use.
    """

    limit: int
    each: int
    used: int = field(default=0, init=False)
    _by_client: dict[str, int] = field(factory=dict, init=False)

    def change(self, limit: int, each: int) -> None:
        """Share another amount; nothing is taken from those who use more than that."""
        self.limit, self.each = limit, each

    def used_by(self, client: str | None) -> int:
        """How much a client uses; those without an address are not counted."""
        return 0 if client is None else self._by_client.get(client, 0)

    def allows(self, client: str | None, amount: int = 1) -> bool:
        """Whether a client may use so much more, as far as its own use decides."""
        return self.used_by(client) + amount <= self.each

    def acquire(self, client: str | None, amount: int = 1, spare: int = 0) -> bool:
        """
        Let a client use so much more; returns whether there was enough.

        @param spare: how much must be left then.
        """
        if self.used + amount + spare > self.limit or not self.allows(client, amount):
            return False
        self.used += amount
        if client is not None:
            self._by_client[client] = self.used_by(client) + amount
        return True

    def release(self, client: str | None, amount: int = 1) -> None:
        """A client uses so much less."""
        self.used -= amount
        if client is not None:
            left = self._by_client.pop(client) - amount
            if left:
                self._by_client[client] = left

    @property
    def clients(self) -> int:
        """How many clients use some of it."""
        return len(self._by_client)


@define(eq=False)
class ConnectionLimiter:
    """
    Admits connections, up to a number for each client and for all together.

    @ivar admitted: the connections that are open.
    """

    _limits: HttpLimits
    _clock: IReactorTime
    admitted: SharedQuota = field(init=False)
    _refused: int = field(default=0, init=False)
    _log_call: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.admitted = SharedQuota(self._limits.connections, self._limits.per_address)

    def follow(self, limits: HttpLimits) -> None:
        """Other limits hold from now on; open connections stay."""
        self.admitted.change(limits.connections, limits.per_address)

    def admit(
        self, client: str | None, *, scarce: bool = False
    ) -> ShellstreamError | None:
        """
        Count a new connection; returns why it is refused, if it is.

        @param client: see L{client_of}; L{None} while it is not known.
        @param scarce: whether there are hardly any descriptors left.
        """
        if not scarce and self.admitted.acquire(client):
            return None
        self._refused += 1
        if self._log_call is None:  # a line for each would be a flood of its own
            self._log_refused()
        if not self.admitted.allows(client):
            return TooManyConnections(self.admitted.used_by(client), RETRY_AFTER)
        return Busy(f"{self.admitted.used} connections are open already", RETRY_AFTER)

    def release(self, client: str | None) -> None:
        """A connection that was admitted for a client has closed."""
        self.admitted.release(client)

    def _log_refused(self) -> None:
        self._log_call = None
        if self._refused:
            _log.warn(
                "too many connections: {refused} refused; {count} are open, from "
                "{clients} addresses",
                refused=self._refused,
                count=self.admitted.used,
                clients=self.admitted.clients,
            )
            self._refused = 0
            self._log_call = self._clock.callLater(LOG_INTERVAL, self._log_refused)
