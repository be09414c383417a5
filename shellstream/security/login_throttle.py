"""A limit on wrong credentials from one client."""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address

from attrs import define, field

#: Failures that a client may have at once, and seconds until it may have one more.
BURST, EVERY = 10, 6.0

#: The most clients that are remembered: those that failed last.
MAX_ADDRESSES = 10_000


def client_network(address: str) -> str:
    """
    The network that counts as one client: an IPv4 address, or a /64 of IPv6, of which
    one machine can take any address.
    """
    # Those on UNIX sockets have an account in place of an address.
    if ":" not in address or address.startswith("unix:"):
        return address
    found = IPv6Address(address)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"


@define(eq=False)
class LoginThrottle:
    """
    A leaky bucket for each client.

    @ivar _seconds: the time of a clock that is never set.
    """

    _seconds: Callable[[], float]
    _empty_at: "OrderedDict[str, float]" = field(factory=OrderedDict, init=False)

    def record_failure(self, address: str) -> int:
        """
        Count a failure of an address.

        @return: 0, or the seconds after which it may try again.
        """
        # The bucket is stored as the time at which it will be empty: so it needs no
        # timer, and is one number.
        key, now = client_network(address), self._seconds()
        empty_at = max(self._empty_at.pop(key, now), now)
        if empty_at - now > (BURST - 1) * EVERY:
            self._empty_at[key] = empty_at
            return int(empty_at - now - (BURST - 1) * EVERY) + 1
        self._empty_at[key] = empty_at + EVERY  # at the end: failed last
        if len(self._empty_at) > MAX_ADDRESSES:
            self._empty_at.popitem(last=False)
        return 0
