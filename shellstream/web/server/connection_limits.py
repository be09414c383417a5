"""Who is connected, and who is turned away since too many are."""

from ipaddress import IPv6Address, ip_address

from attrs import define, field
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.logger import Logger

from shellstream.config.http_limits import HttpLimits
from shellstream.model.errors import Busy, ShellstreamError, TooManyConnections

_log = Logger()

#: Seconds after which it may be worth to try again.
RETRY_AFTER = 5

#: Seconds between two lines of the log about those who were turned away.
INTERVAL = 60.0


def client_network(peer: IAddress) -> str | None:
    """
    Who is counted as one: an address, and of IPv6 all that one network has, as
    anybody may take any of these; L{None} for a socket of this machine.
    """
    host: str | None = getattr(peer, "host", None)
    if host is None or ":" not in host:
        return host
    address = ip_address(host)
    assert isinstance(address, IPv6Address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


@define(eq=False)
class SharedQuota:
    """
    Something of which there is only so much, and of which nobody gets all.

    @ivar limit: how much there is.
    @ivar each: how much one origin may have.
    @ivar taken: how much is in use.
    """

    limit: int
    each: int
    taken: int = field(default=0, init=False)
    _by_origin: dict[str, int] = field(factory=dict, init=False)

    def of(self, where: str | None) -> int:
        """How much an origin has."""
        return 0 if where is None else self._by_origin.get(where, 0)

    def has(self, where: str | None, amount: int = 1) -> bool:
        """Whether an origin may have so much more, as far as that depends on it."""
        return self.of(where) + amount <= self.each

    def take(self, where: str | None, amount: int = 1) -> bool:
        """Give so much more to an origin, if it may have it and it is there."""
        if self.taken + amount > self.limit or not self.has(where, amount):
            return False
        self.taken += amount
        if where is not None:
            self._by_origin[where] = self.of(where) + amount
        return True

    def give_back(self, where: str | None, amount: int = 1) -> None:
        """An origin needs so much no more."""
        self.taken -= amount
        if where is not None:
            left = self._by_origin.pop(where) - amount
            if left:
                self._by_origin[where] = left

    @property
    def origins(self) -> int:
        """How many have something."""
        return len(self._by_origin)


@define(eq=False)
class ConnectionLimiter:
    """All connections, counted by where they come from."""

    _bounds: HttpLimits
    _clock: IReactorTime
    inside: SharedQuota = field(init=False)
    _refused: int = field(default=0, init=False)
    _telling: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.inside = SharedQuota(self._bounds.connections, self._bounds.per_address)

    def enter(self, peer: IAddress, *, last: bool = False) -> ShellstreamError | None:
        """
        Take one more in, or say why not.

        @param last: whether there are hardly any descriptors left.
        """
        where = client_network(peer)
        if not last and self.inside.take(where):
            return None
        self._note()
        if not self.inside.has(where):
            return TooManyConnections(self.inside.of(where), RETRY_AFTER)
        return Busy(f"{self.inside.taken} connections are open already", RETRY_AFTER)

    def leave(self, peer: IAddress) -> None:
        """One who was taken in has gone."""
        self.inside.give_back(client_network(peer))

    def _note(self) -> None:
        # A line for each would be a flood of its own.
        self._refused += 1
        if self._telling is None:
            self._tell()

    def _tell(self) -> None:
        self._telling = None
        if self._refused:
            _log.warn(
                "too many connections: {refused} refused; {count} are open, from "
                "{origins} addresses",
                refused=self._refused,
                count=self.inside.taken,
                origins=self.inside.origins,
            )
            self._refused = 0
            self._telling = self._clock.callLater(INTERVAL, self._tell)
