"""What all resources share."""

from collections.abc import Callable, Coroutine, Mapping
from inspect import iscoroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource as TwistedResource
from twisted.web.server import NOT_DONE_YET

from shellstream.errors import CrossSite, MethodNotAllowed, NothingHere

from .http import Request

JSON = b"application/json"

#: What keeps the way of a live answer free: browsers do not sniff, caches do
#: not store, proxies neither transform nor buffer.
LIVE = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}

Handler = Callable[[Request], "Coroutine[Deferred[Any], Any, None] | None"]


class Resource(TwistedResource):
    """A resource that raises what is wrong, for L{Request} to answer."""

    def render(self, request: Request) -> int:
        method = request.method.decode("ascii", "replace")
        handler: Handler | None = getattr(self, f"render_{method}", None)
        # Twisted's HEAD is GET, whether there is one or not.
        if handler is None or (method == "HEAD" and not hasattr(self, "render_GET")):
            raise MethodNotAllowed(method, self.allowed())
        answering = handler(request)
        if iscoroutine(answering):
            done = Deferred.fromCoroutine(answering)
            done.addErrback(request.processingFailed).addErrback(lambda _: None)
        return NOT_DONE_YET

    def allowed(self) -> list[str]:
        """The methods that this resource answers."""
        return ["GET", "HEAD"]

    def getChild(self, path: bytes, request: Request) -> TwistedResource:
        if path:
            raise NothingHere
        return self  # a slash at the end means nothing


def set_headers(request: Request, headers: Mapping[str, str]) -> None:
    """Set several headers of an answer."""
    for name, value in headers.items():
        request.setHeader(name, value)


def query_of(request: Request) -> bytes:
    """What follows the question mark."""
    return request.uri.partition(b"?")[2]


def check_origin(request: Request) -> None:
    """
    A page of another site may make its reader's browser send requests here.

    @raise CrossSite: if this is one (Fetch Metadata; RFC 6454).
    """
    site = request.getHeader("sec-fetch-site")
    origin = request.getHeader("origin")
    if site is not None:  # a browser knows best: proxies may rewrite Host
        foreign = site not in ("same-origin", "none")
    else:
        host = request.getHeader("host")
        foreign = origin is not None and origin.partition("://")[2] != host
    if foreign:
        raise CrossSite
