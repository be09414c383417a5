"""A resolver that looks nothing up."""

from collections.abc import Sequence
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer


@implementer(IHostResolution)
@define
class FakeResolution:
    """Remembers whether it was cancelled."""

    name: str = "h"
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@implementer(IHostnameResolver)
@define
class FakeResolver:
    """
    A resolver to these hosts; with L{None} it never answers. An address may have a
    zone, as a number.
    """

    hosts: Sequence[str] | None
    resolution: FakeResolution = field(factory=FakeResolution, init=False)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Any = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        resolutionReceiver.resolutionBegan(self.resolution)
        if self.hosts is not None:
            for each in self.hosts:
                resolutionReceiver.addressResolved(_address(each, portNumber))
            resolutionReceiver.resolutionComplete()
        return self.resolution


def _address(host: str, port: int) -> IPv4Address | IPv6Address:
    if ":" not in host:
        return IPv4Address("TCP", host, port)
    # As getaddrinfo(3) has it, with the zone apart.
    host, _, zone = host.partition("%")
    return IPv6Address("TCP", host, port, 0, int(zone or 0))
