"""The base of all resources."""

from collections.abc import Callable, Coroutine, Mapping
from inspect import iscoroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource as TwistedResource

from shellstream.model.errors import MethodNotAllowed, PathNotFound
from shellstream.security.authorization import Action
from shellstream.web.server.problem_details import json_line
from shellstream.web.server.request import Request

from .preconditions import (
    entity_tag,
    is_unchanged,
    refuse_if_match,
    respond_not_modified,
)

JSON = b"application/json"

#: What a response depends on, where it depends on C{Accept}.
VARY = "Accept, Origin"

#: The actions that a caller needs the right to. An empty rule lets every authenticated
#: caller in.
Rule = frozenset[Action]

Handler = Callable[[Request], "Coroutine[Deferred[Any], Any, None] | None"]
H = TypeVar("H", bound=Callable[..., Any])


def requires(*actions: Action) -> Callable[[H], H]:
    """Set the rule of a handler, C{render_METHOD}, of a L{Resource}."""

    def set_rule(handler: H) -> H:
        handler.rule = frozenset(actions)  # type: ignore[attr-defined]
        return handler

    return set_rule


class Resource(TwistedResource):
    """
    A resource: a handler for each method that it answers, marked with L{requires}.

    L{AccessControl} finds a handler and asks its rule; what the handler raises is
    answered by L{Request}.
    """

    @classmethod
    def rules(cls) -> Mapping[str, Rule]:
        """The rules by method. Other methods are not allowed."""
        return {
            name.removeprefix("render_"): handler.rule
            for name, handler in vars(cls).items()
            if name.startswith("render_") and hasattr(handler, "rule")
        }

    def handler_and_rule(self, request: Request) -> tuple[Handler, Rule]:
        """
        What answers a request, and what its caller must be allowed to do.

        @raise MethodNotAllowed: if nothing answers this method.
        """
        method = request.method.decode("ascii", "replace")
        handler: Handler | None = getattr(self, f"render_{method}", None)
        ruled = getattr(self, "render_GET", None) if method == "HEAD" else handler
        rule: Rule | None = getattr(ruled, "rule", None)
        if handler is None or rule is None:
            raise MethodNotAllowed(method, self.allowed(request))
        return handler, rule

    def answer(self, request: Request, handler: Handler) -> None:
        """Answer a request by a handler, now or later."""
        if request.method == b"POST":
            refuse_if_match(request)
        answering = handler(request)
        if iscoroutine(answering):
            done = Deferred.fromCoroutine(answering)
            done.addErrback(request.processingFailed).addErrback(lambda _: None)

    @requires()
    def render_OPTIONS(self, request: Request) -> None:
        allowed = ", ".join((*self.allowed(request), "OPTIONS"))
        request.set_headers({"Allow": allowed})
        request.respond_no_content()

    def allowed(self, request: Request) -> list[str]:
        """The methods that this resource answers, beside OPTIONS, which all do."""
        return [
            each
            for method in self.rules()
            for each in ((method, "HEAD") if method == "GET" else (method,))
        ]

    def getChild(self, path: bytes, request: Request) -> TwistedResource:
        if path:
            raise PathNotFound
        return self  # a slash at the end means nothing


def respond_json(request: Request, document: object) -> None:
    """Respond with a JSON document."""
    respond_document(request, JSON, json_line(document))


def respond_document(
    request: Request, media_type: bytes, body: bytes, cache_control: str = "no-store"
) -> None:
    """
    Respond with a whole document, or with 304 if the client has it already.

    @raise PreconditionFailed: see L{is_unchanged}.
    """
    if request.method in (b"GET", b"HEAD") and request.code == 200:
        tag = entity_tag(body)
        request.set_headers({"ETag": tag})
        if is_unchanged(request, tag):
            respond_not_modified(request)
            return
    request.respond(media_type, body, cache_control)


def to_root(request: Request) -> str:
    """
    The relative reference from a request's target to the root (RFC 3986, 4.2).

    Every address in an answer begins with it: a proxy may serve this daemon below a
    prefix of its own, which the daemon cannot know.
    """
    return "../" * (request.path.count(b"/") - 1)
