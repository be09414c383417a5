"""The client's HTTP for asyncio programs: treq on a reactor around their loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from treq.client import HTTPClient
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer

from .treq_wire import TreqResponse, TreqWire, http_client


class AsyncioWire:
    """
    A L{Wire} on the running loop.

    Twisted's global reactor is neither used nor installed, since it runs only once: a
    program may call C{asyncio.run()} again and again.
    """

    def __init__(self, http: Callable[[Any], HTTPClient] = http_client) -> None:
        """
        @param http: makes the HTTP client for a reactor:
            C{lambda reactor: http_client(reactor, Trust("ca.pem").policy())}.
        """
        self._http = http
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wire: TreqWire

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout: float | None = None,  # the wire's contract
    ) -> TreqResponse:
        loop = _running_loop()
        if self._loop is not loop:
            reactors = _reactors(loop)
            reactor = await anext(reactors)
            self._wire, self._loop = TreqWire(reactor, self._http(reactor)), loop

            def to_future(waiting: "Deferred[Any]") -> "asyncio.Future[Any]":
                # Every response has this function, and so keeps its reactor open.
                assert reactors
                return waiting.asFuture(loop)

            self._wire.to_awaitable = to_future
        return await self._wire.request(method, url, headers, body, timeout)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def seconds(self) -> float:
        return asyncio.get_running_loop().time()


def _running_loop() -> asyncio.AbstractEventLoop:
    """@raise RuntimeError: if there is none, with what to do."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "no asyncio loop runs here; call this from a coroutine of asyncio.run(); "
            "in a Twisted program use Client(URL, TreqWire(reactor))"
        ) from None


async def _reactors(
    loop: asyncio.AbstractEventLoop,
) -> AsyncIterator[AsyncioSelectorReactor]:
    """
    Yields one reactor, and closes it when its loop ends or this iterator is dropped.

    A loop tells only asynchronous generators of its end (shutdown_asyncgens), so this
    is one.
    """
    reactor = AsyncioSelectorReactor(loop)
    reactor.installNameResolver(_Resolver(loop))
    try:
        yield reactor
    finally:
        reactor.disconnectAll()
        reactor.removeReader(reactor.waker)
        reactor.waker.connectionLost(None)


@implementer(IHostResolution)
class _Resolution:
    """A lookup that can be cancelled."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.task: asyncio.Task[None]

    def cancel(self) -> None:
        self.task.cancel()


@implementer(IHostnameResolver)
class _Resolver:
    """Resolves in the loop's threads: asyncio.run() ends these."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803  # the interface's names
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        resolving = self._resolve(resolutionReceiver, hostName, portNumber)
        resolution.task = self._loop.create_task(resolving)
        return resolution

    async def _resolve(self, to: IResolutionReceiver, name: str, port: int) -> None:
        try:
            found = await self._loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            found = []
        for family, _, _, _, address in found:
            kind = IPv6Address if family == socket.AF_INET6 else IPv4Address
            to.addressResolved(kind("TCP", *address))
        to.resolutionComplete()
