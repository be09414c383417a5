"""Connects to a host by whichever of its addresses answers first (RFC 8305)."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, FailureGroup, race
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from .wire import CONNECT_TIMEOUT

#: Seconds until the next address is tried beside a slow one: what RFC 8305, section 5,
#: recommends.
_DELAY = 0.25


@implementer(IStreamClientEndpoint)
class HappyEyeballsEndpoint:
    """
    Tries the addresses of a host one after the other, each beside those that are slow.
    After one that refuses, the next is tried at once.

    Twisted's L{HostnameEndpoint<twisted.internet.endpoints.HostnameEndpoint>} would do,
    but its C{LoopingCall} imports, and so installs, the global reactor.
    """

    def __init__(self, reactor: Any, host: str, port: int) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":  # noqa: N803  # the interface's name
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        if isIPAddress(self._host) or isIPv6Address(self._host):
            hosts: Sequence[str] = [self._host]
        else:
            addresses = _Addresses()
            resolver = self._reactor.nameResolver
            resolver.resolveHostName(addresses, self._host, self._port)
            hosts = await addresses.found
        if not hosts:
            raise DNSLookupError(self._host)
        return await self._first(hosts, factory)

    def _first(
        self, hosts: Sequence[str], factory: IProtocolFactory
    ) -> "Deferred[IProtocol]":
        """Connect to the first of these addresses that answers."""
        host, *others = hosts
        kind = TCP6ClientEndpoint if isIPv6Address(host) else TCP4ClientEndpoint
        endpoint = kind(self._reactor, host, self._port, timeout=CONNECT_TIMEOUT)
        attempt = endpoint.connect(factory)
        if not others:
            return attempt
        rest: Deferred[Any] = Deferred(lambda _: timer.cancel())
        timer = self._reactor.callLater(_DELAY, rest.callback, None)
        rest.addCallback(lambda _: self._first(others, factory))

        def failed(reason: Failure) -> Failure:
            if timer.active():
                timer.reset(0)
            return reason

        attempt.addErrback(failed)
        winner = race([attempt, rest])
        return winner.addCallbacks(lambda found: found[1], _first_failure)


def _first_failure(reason: Failure) -> Failure:
    reason.trap(FailureGroup)
    return reason.value.failures[0]  # type: ignore[union-attr,no-any-return]


@implementer(IResolutionReceiver)
class _Addresses:
    """
    Collects the addresses of a name.

    @ivar found: fires with all of them, in the order in which to try them.
    """

    def __init__(self) -> None:
        self.found: Deferred[list[str]] = Deferred(self._cancel)
        self._hosts: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N803  # the interface's name
        self._resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        assert isinstance(address, IPv4Address | IPv6Address)
        host = address.host
        # A link-local address, which mDNS has for names in .local, needs its interface.
        if isinstance(address, IPv6Address) and address.scopeID and "%" not in host:
            host = f"{host}%{address.scopeID}"
        self._hosts.append(host)

    def resolutionComplete(self) -> None:
        self.found.callback(self._hosts)

    def _cancel(self, found: object) -> None:
        self._resolution.cancel()
