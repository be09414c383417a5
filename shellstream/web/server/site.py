"""Twisted's C{Site} with the limits of this daemon."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.web.server import Site as TwistedSite

from shellstream.config.http_limits import DEFAULT_HTTP_LIMITS, HttpLimits
from shellstream.security.audit import AuditEntry
from shellstream.security.authorization import Principal

from .access_log import NO_NAMES, AccessLog, LoggedNames
from .channel import Channel
from .connection_limits import ConnectionLimiter, SharedQuota
from .dead_peers import DeadPeerMonitor
from .problem_details import Represent, as_problem
from .request import Request

#: Seconds between two calls of L{DeadPeerMonitor}.
_MONITOR_INTERVAL = 1.0


class Site(TwistedSite):
    """
    The resource tree, served by L{Channel} and L{Request}.

    @ivar limits: what clients may take.
    @ivar record: puts an entry into the audit.
    @ivar access_log: gets a line for each response.
    @ivar represent: makes the response to a refused request.
    @ivar is_scarce: whether a new connection's descriptor is among the last ones.
    @ivar is_proxy: whether a peer may begin with a PROXY header, where one is expected.
    @ivar connections: counts the open connections.
    @ivar lingering: how many refused connections linger: see L{server.channel}.
    @ivar body_quota: the bytes of bodies that are in memory, among them input that no
        run has taken yet.
    @ivar head_quota: the bytes of heads that are not complete.
    @ivar viewers: how many streamed responses go on.
    @ivar sent: the bytes of all contents that were sent.
    @ivar responses: how many responses had each status.
    """

    noisy = False
    protocol = Channel  # type: ignore[assignment]  # Twisted's chooses HTTP/2 or 1.1

    def __init__(
        self,
        resource: Any,
        reactor: Any,
        limits: HttpLimits = DEFAULT_HTTP_LIMITS,
        *,
        record: Callable[[AuditEntry], object] = lambda entry: None,
        represent: Represent = as_problem,
        names: LoggedNames = NO_NAMES,
        is_scarce: Callable[[int], bool] = lambda fd: False,
        is_proxy: Callable[[str], bool] = lambda peer: False,
    ) -> None:
        self.limits = limits
        self.record = record
        self.access_log = AccessLog(reactor, names)
        self.represent = represent
        self.is_scarce = is_scarce
        self.is_proxy = is_proxy
        self.connections = ConnectionLimiter(limits, reactor)
        self.channels = set[Channel]()
        self.lingering = 0
        self.body_quota, self.head_quota = SharedQuota(0, 0), SharedQuota(0, 0)
        self.viewers = self.sent = 0
        self.responses = Counter[int]()
        super().__init__(
            resource,
            Request,
            reactor=reactor,
            timeout=limits.header_timeout,
            parsePOSTFormSubmission=False,  # resources read bodies, within limits
        )
        self._monitoring = LoopingCall(DeadPeerMonitor(self.channels))
        self._monitoring.clock = reactor
        self.follow(limits, names)

    def follow(self, limits: HttpLimits, names: LoggedNames) -> None:
        """Other limits hold from now on, and the logs may show other names."""
        self.limits = limits
        self.access_log.show(names)
        self.connections.follow(limits)
        self.body_quota.change(limits.inputs_size, limits.inputs_per_address)
        heads = limits.heads_size
        self.head_quota.change(heads, max(limits.header_size, heads * 3 // 4))
        for channel in self.channels:
            channel.allowed_host = None  # the daemon may have other names now

    def log(self, request: Any) -> None:
        self.responses[request.code] += 1
        if self._monitoring.running:
            self.access_log.add(request)

    # Twisted's own two begin a log of their own, with a call each second for its time.

    def startFactory(self) -> None:
        if not self._monitoring.running:
            self._monitoring.start(_MONITOR_INTERVAL, now=False)

    def stopFactory(self) -> None:
        if self._monitoring.running:
            self._monitoring.stop()
        self.access_log.flush()

    def abort_requests_of(self, principal: Principal) -> None:
        """Reset all that a principal has open."""
        for channel in tuple(self.channels):
            for request in tuple(channel.requests):
                caller = request.caller
                if caller is not None and caller.principal is principal:
                    request.abort()
