"""Twisted's C{Site} with the limits of this daemon."""

from collections.abc import Callable, Container
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site as TwistedSite

from shellstream.config.http_limits import DEFAULT_HTTP_LIMITS, HttpLimits
from shellstream.security.audit import Entry
from shellstream.security.authorization import Principal

from .access_log import log_line
from .channel import Channel
from .connection_limits import ConnectionLimiter, SharedQuota
from .dead_peers import DeadPeerMonitor
from .request import Request


class Site(TwistedSite):
    """The resource tree, served by our L{Channel} and L{Request}."""

    noisy = False
    protocol = Channel  # type: ignore[assignment]  # Twisted's chooses HTTP/2 or 1.1
    requestFactory = Request

    # Whoever made the site sets these, before it is asked:
    resource: IResource
    #: Raises what is wrong with whoever sends a request, before its body is taken.
    welcome: Callable[[Request], object] | None = None
    #: Takes what belongs into the audit.
    note: Callable[[Entry], object]
    #: The names of parameters that the access log has no value of.
    secrets: Container[str] = ()

    def __init__(self, reactor: Any, bounds: HttpLimits = DEFAULT_HTTP_LIMITS) -> None:
        self.bounds = bounds
        self.crowd = ConnectionLimiter(bounds, reactor)
        #: How many of those that were not let in are still told so.
        self.lingering = 0
        #: The bytes of input that wait for runs to take them, or for their own rest.
        self.inputs = SharedQuota(bounds.inputs_size, bounds.inputs_per_address)
        #: How many answers have begun, and go on.
        self.viewers = 0
        self.channels = set[Channel]()
        super().__init__(
            Resource(),
            Request,
            reactor=reactor,
            timeout=bounds.header_timeout,
            logFormatter=log_line,
            parsePOSTFormSubmission=False,
        )
        self.note = lambda entry: None
        self._patrol = LoopingCall(DeadPeerMonitor(self.channels))
        self._patrol.clock = reactor

    def startFactory(self) -> None:
        super().startFactory()
        if not self._patrol.running:
            self._patrol.start(1.0, now=False)

    def stopFactory(self) -> None:
        if self._patrol.running:
            self._patrol.stop()
        super().stopFactory()

    def cut(self, principal: Principal) -> None:
        """Reset whatever somebody has open."""
        for channel in tuple(self.channels):
            for request in tuple(channel.requests):
                caller = request.caller
                if caller is not None and caller.principal is principal:
                    request.abort()

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on (ALPN). Twisted offers h2 where that is installed."""
        return [b"http/1.1"]
