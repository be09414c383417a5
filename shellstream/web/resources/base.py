"""What all resources share."""

from collections.abc import Callable, Coroutine, Mapping
from inspect import iscoroutine
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource as TwistedResource
from twisted.web.server import NOT_DONE_YET

from shellstream.model.errors import MethodNotAllowed, PathNotFound
from shellstream.security.authorization import Action
from shellstream.web.server.request import Request

JSON = b"application/json"

#: What an answer depends on, where it does on C{Accept}.
VARY = b"Accept, Origin"

#: What keeps the way of a live answer free: browsers do not sniff, caches do
#: not store, proxies neither transform nor buffer.
LIVE = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}

#: The actions that somebody must be allowed to do: none, for L{ANYBODY} who has said
#: who they are.
Rule = frozenset[Action]
ANYBODY: Rule = frozenset()
READS: Rule = frozenset({Action.READ})

Handler = Callable[[Request], "Coroutine[Deferred[Any], Any, None] | None"]


class Resource(TwistedResource):
    """A resource that raises what is wrong, for L{Request} to answer."""

    #: What it takes to be answered, by method; by one that is not here nobody is.
    rules: ClassVar[Mapping[str, Rule]] = {}

    def render(self, request: Request) -> int:
        method = request.method.decode("ascii", "replace")
        handler: Handler | None = getattr(self, f"render_{method}", None)
        rule = self.rules.get("GET" if method == "HEAD" else method)
        if handler is None or rule is None:
            raise MethodNotAllowed(method, self.allowed(request))
        starts = method not in ("GET", "HEAD") or Action.RUN in rule
        request.gate.check_origin(request, starts=starts)
        for action in rule:
            request.runs.require(action)
        answering = handler(request)
        if iscoroutine(answering):
            done = Deferred.fromCoroutine(answering)
            done.addErrback(request.processingFailed).addErrback(lambda _: None)
        return NOT_DONE_YET

    def allowed(self, request: Request) -> list[str]:
        """The methods that this resource answers."""
        return [
            each
            for method in self.rules
            for each in ((method, "HEAD") if method == "GET" else (method,))
        ]

    def getChild(self, path: bytes, request: Request) -> TwistedResource:
        if path:
            raise PathNotFound
        return self  # a slash at the end means nothing


def set_headers(request: Request, headers: Mapping[str, str]) -> None:
    """Set several headers of an answer."""
    for name, value in headers.items():
        request.setHeader(name, value)


def query_of(request: Request) -> bytes:
    """What follows the question mark."""
    return request.uri.partition(b"?")[2]
