"""Access control: the one way that every request takes to its resource."""

from collections.abc import Callable

from twisted.web.resource import Resource as TwistedResource
from twisted.web.server import NOT_DONE_YET

from shellstream.model.errors import CrossSiteRequest
from shellstream.runs.authorized_runs import AuthorizedRuns
from shellstream.runs.interfaces import IRuns
from shellstream.security.audit import AuditEntry
from shellstream.security.authorization import STRANGER, Action, Caller
from shellstream.security.login_sessions import LoginSession
from shellstream.security.request_origin import RequestOrigin
from shellstream.web.console.frame import CSRF_FIELD
from shellstream.web.monitoring.health import asks_for_reasons
from shellstream.web.resources.base import Resource
from shellstream.web.resources.request_params import essence, from_body
from shellstream.web.resources.run_output import TRAILERS
from shellstream.web.server.authentication import Authenticator
from shellstream.web.server.request import CSRF_HEADER, Request, RequestContext

#: Paths that need no authentication. A prober's token may belong to another service.
PROBES = frozenset({b"healthz", b"livez", b"readyz"})
PUBLIC = frozenset({b"assets", b"login"}) | PROBES

#: Methods that change nothing (RFC 9110, 9.2.1).
_SAFE = (b"GET", b"HEAD", b"OPTIONS")

#: What a page of a listed origin may read of an answer, and ask for (Fetch, 3.3).
_STANDARD = ("Location", "Link", "Retry-After", "Content-Range", "ETag")
_EXPOSED = ", ".join(
    ("Shellstream-Run", "Shellstream-Stdin-Offset", *TRAILERS, *_STANDARD)
)
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE",
    # Also what libraries for EventSource and for requests send by themselves.
    "Access-Control-Allow-Headers": (
        "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, "
        "If-Match, If-None-Match, If-Range, Last-Event-ID, Pragma, Range, "
        "X-Requested-With"
    ),
    "Access-Control-Max-Age": "600",
}


class AccessControl(TwistedResource):
    """
    Root resource: checks host, origin and credentials before any path is resolved.

    @ivar tree: the resources behind it.
    """

    isLeaf = True

    def __init__(
        self,
        authenticator: Authenticator,
        runs: IRuns,
        record: Callable[[AuditEntry], object],
        tree: Resource,
    ) -> None:
        super().__init__()
        self._authenticator = authenticator
        self._runs = runs
        self._record = record
        self.tree = tree

    def render(self, request: Request) -> int:
        """
        Answer a request in six steps: host, origin, authenticate, csrf, route, rule.

        What a step finds out travels with the request, in its L{RequestContext}.

        @raise ShellstreamError: if a step refuses the request.
        """
        # Host. First of all the address, as any refusal is recorded with it.
        authenticator = self._authenticator
        request.address = authenticator.client_address(request)
        authenticator.check_host(request)
        authenticator.check_certificate(request)

        # Origin. What it forbids depends on the rule; but a browser sends a preflight
        # without credentials, so that is answered here.
        origin = authenticator.origin(request)
        if origin is RequestOrigin.LISTED:
            _share(request)
            preflight = request.header("access-control-request-method") is not None
            if preflight and request.method == b"OPTIONS":
                return _answer_preflight(request)

        # Authenticate. A request with a body was, before its body was accepted.
        if not hasattr(request, "context"):
            request.context = self._identify(request)
        context = request.context

        # CSRF.
        if context.session is not None:
            _check_csrf(request, context.session)

        # Route.
        resource: TwistedResource = self.tree
        while request.postpath:
            segment = request.postpath.pop(0)
            found = resource.children.get(segment)
            resource = found or resource.getChild(segment, request)
        assert isinstance(resource, Resource)

        # Rule.
        handler, rule = resource.handler_and_rule(request)
        starts = request.method not in _SAFE or Action.RUN in rule
        if origin is RequestOrigin.OTHER or (starts and origin is RequestOrigin.LINK):
            raise CrossSiteRequest
        # Before the handler looks anything up, so that a refusal tells nothing of what
        # exists.
        for action in rule:
            context.runs.require(action)

        resource.answer(request, handler)
        return NOT_DONE_YET

    def authorize_body(self, request: Request, *, is_input: bool) -> None:
        """
        Decide from its head whether a request may send its body.

        A body is held in memory, so strangers send none. The other steps follow once
        it is there.

        @param is_input: whether it is input for a run, which may be large.
        @raise ShellstreamError: if it may not.
        """
        request.address = self._authenticator.client_address(request)
        self._authenticator.check_host(request)
        self._authenticator.check_certificate(request)
        if self._authenticator.origin(request) is RequestOrigin.LISTED:
            _share(request)
        request.context = self._identify(request)
        if is_input:
            request.context.runs.require(Action.WRITE)

    def _identify(self, request: Request) -> RequestContext:
        authenticator = self._authenticator
        # Proxies ask OPTIONS of the root, to see whether anybody answers.
        asked = request.method == b"OPTIONS" and request.postpath == [b""]
        path = request.postpath[0]
        public = path in PUBLIC and not (
            path in PROBES and asks_for_reasons(request.uri)
        )
        if asked or public:
            caller = Caller(STRANGER, request.address)
            return RequestContext(AuthorizedRuns(self._runs, caller, self._record))
        session = authenticator.find_session(request)
        principal = authenticator.authenticate(request, session)
        authenticator.track(request, principal)
        caller = Caller(principal, request.address)
        runs = AuthorizedRuns(self._runs, caller, self._record)
        return RequestContext(runs, session)


def _check_csrf(request: Request, session: LoginSession) -> None:
    """
    Check that a page of ours sent a request that has a login cookie: a browser sends
    cookies along with the requests of any page.

    @raise CrossSiteRequest: if a page of another site may have sent it.
    """
    if request.method in _SAFE:
        return
    if request.header("authorization") is not None:  # no page can have it sent
        return
    token = request.header(CSRF_HEADER)
    if token is None:
        media_type = request.content_type
        if essence(media_type) == "application/x-www-form-urlencoded":
            fields = dict(from_body(media_type, request.content.getvalue()))
            token = str(fields.get(CSRF_FIELD, ""))
    if not session.csrf_matches(token or ""):
        raise CrossSiteRequest


def _share(request: Request) -> None:
    """Let the page that sent a request read the response."""
    origin = request.header("origin")
    assert origin is not None
    request.set_headers(
        {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _EXPOSED,
            "Vary": "Origin",
        }
    )


def _answer_preflight(request: Request) -> int:
    """Tell a browser what a page of a listed origin may send (Fetch, 3.3)."""
    request.set_headers(_PREFLIGHT)
    request.respond_no_content()
    return NOT_DONE_YET
