"""How many wrong credentials one address may show."""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from attrs import define, field

#: How many may come at once, and seconds until one more may.
BURST, EVERY = 10, 6.0

#: How many addresses are remembered; those that failed last, if there are more.
MAX_ADDRESSES = 10_000


def network_of(address: str) -> str:
    """What one client can have many addresses of: of IPv6, a network of 64 bits."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(IPv6Address(int(found) >> 64 << 64))
    return address


@define(eq=False)
class LoginThrottle:
    """
    A leaky bucket for each address.

    @ivar _seconds: the time, which never jumps.
    """

    _seconds: Callable[[], float]
    _empty_at: "OrderedDict[str, float]" = field(factory=OrderedDict, init=False)

    def one_more(self, address: str) -> int:
        """
        An address has failed: 0, or the seconds after which it may do so again.
        """
        key, now = network_of(address), self._seconds()
        empty_at = max(self._empty_at.pop(key, now), now)
        if empty_at - now > (BURST - 1) * EVERY:
            self._empty_at[key] = empty_at
            return int(empty_at - now - (BURST - 1) * EVERY) + 1
        self._empty_at[key] = empty_at + EVERY
        if len(self._empty_at) > MAX_ADDRESSES:
            self._empty_at.popitem(last=False)
        return 0
