"""What connections, requests and their site need of one another."""

from collections.abc import Callable
from io import BytesIO
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from shellstream.config.http_limits import HttpLimits
from shellstream.model.errors import HeaderValue, ShellstreamError
from shellstream.security.audit import AuditEntry

from .access_log import AccessLog
from .connection_limits import ConnectionLimiter, SharedQuota
from .problem_details import Represent
from .request_syntax import Head


class ChannelRequest(Protocol):
    """What a connection needs of a request."""

    response_headers: dict[str, HeaderValue]
    content: BytesIO

    def receive_head(self, head: Head, size: int | None) -> None:
        """The head is here; so large a body will come, or L{None} for chunks."""

    def process(self) -> None:
        """Answer the request: all of it is here."""

    def expect_body(self, size: int) -> None:
        """At least so many more bytes of the body will come."""

    def refusal(self, error: ShellstreamError) -> AuditEntry:
        """The refusal of this request, for the audit."""


class SharedSite(Protocol):
    """What connections and requests need of L{server.site.Site}, which has the docs."""

    limits: HttpLimits
    reactor: IReactorTime
    resource: Any  # access control, which imports this room
    record: Callable[[AuditEntry], object]
    access_log: AccessLog
    represent: Represent
    is_scarce: Callable[[int], bool]
    is_proxy: Callable[[str], bool]
    connections: ConnectionLimiter
    channels: set[Any]
    lingering: int
    body_quota: SharedQuota
    head_quota: SharedQuota
    viewers: int
    sent: int
