"""The root of all resources, past which nobody comes unasked."""

from twisted.web.resource import IResource
from twisted.web.resource import Resource as TwistedResource
from twisted.web.server import NOT_DONE_YET

from shellstream.model.errors import CrossSiteRequest, Unauthenticated
from shellstream.output.negotiation import prefers_html
from shellstream.runs.authorized_runs import AuthorizedRuns
from shellstream.runs.interfaces import IRuns
from shellstream.security.authorization import Action, Caller, Grant, Principal
from shellstream.security.request_origin import Site
from shellstream.web.resources.base import set_headers
from shellstream.web.resources.pages import CSRF_FIELD, answer_page, login_page
from shellstream.web.resources.request_params import essence, from_body
from shellstream.web.resources.run_output import TRAILERS
from shellstream.web.server.authentication import Authenticator
from shellstream.web.server.request import Request

#: Where nobody has to say who they are.
PUBLIC = frozenset({b"healthz", b"login"})

#: Who has not said who they are: they may do nothing.
_STRANGER = Principal(
    name="stranger", grant=Grant(actions=frozenset()), credential="none"
)

#: The header by which a script of our page shows that it is ours.
CSRF_HEADER = "shellstream-csrf"

#: What every answer tells a browser: not to show or read it as part of another site,
#: and not to run what is in it (CSP level 3; Fetch, 3.7).
GUARDED = {
    # A script from elsewhere than the answer, as of a browser's console, may ask on.
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; "
    "frame-ancestors 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

#: What a page of a listed origin may read of an answer, and ask for (Fetch, 3.3).
_STANDARD = ("Location", "Link", "Retry-After", "Content-Range", "ETag")
_EXPOSED = ", ".join(
    ("Shellstream-Run", "Shellstream-Stdin-Offset", *TRAILERS, *_STANDARD)
)
_ALLOWED = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Range"


class AccessControl(TwistedResource):
    """Every request comes by here, before any resource is looked for."""

    def __init__(self, gate: Authenticator, runs: IRuns, inside: IResource) -> None:
        super().__init__()
        self._gate = gate
        self._runs = runs
        self.inside = inside

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        gate = request.gate = self._gate
        set_headers(request, GUARDED)
        gate.check_host(request)
        listed = gate.site(request) is Site.LISTED
        if listed:
            _share(request)
            if request.method == b"OPTIONS":
                return _Preflight()
        try:
            caller = self._caller(request, path)
        except Unauthenticated as error:
            if request.method == b"GET" and prefers_html(request.getHeader("accept")):
                request.note_refusal(error)
                return _AskFirst(error)
            raise
        known = caller or Caller(_STRANGER, gate.address(request))
        request.runs = AuthorizedRuns(self._runs, known, request.site.note)
        if caller is not None:
            gate.enter(request, caller.principal)
            self._check_csrf(request)
        found: IResource = self.inside.getChildWithDefault(path, request)
        return found

    def welcome(self, request: Request) -> None:
        """
        Whether somebody may send any input: asked before it is taken.

        @raise ShellstreamError: if not, as the whole request would.
        """
        gate = request.gate = self._gate
        gate.check_host(request)
        caller = self._caller(request, b"runs")
        assert caller is not None
        request.runs = AuthorizedRuns(self._runs, caller, request.channel.site.note)
        request.runs.require(Action.WRITE)

    def _caller(self, request: Request, path: bytes) -> Caller | None:
        if path in PUBLIC:  # a prober's token may be none of ours
            return None
        caller = self._gate.caller(request)
        if caller is None:
            raise Unauthenticated
        return caller

    def _check_csrf(self, request: Request) -> None:
        """
        A browser sends cookies along, whoever's page it was that had it ask.

        @raise CrossSiteRequest: if it cannot have been ours.
        """
        if request.method in (b"GET", b"HEAD"):
            return
        session = self._gate.session(request)
        if session is None or request.getHeader("authorization") is not None:
            return
        csrf_token = request.getHeader(CSRF_HEADER)
        if csrf_token is None:
            media_type = request.getHeader("content-type") or ""
            if essence(media_type) == "application/x-www-form-urlencoded":
                fields = dict(from_body(media_type, request.content.getvalue()))
                csrf_token = str(fields.get(CSRF_FIELD, ""))
        if not session.csrf_matches(csrf_token or ""):
            raise CrossSiteRequest


def _share(request: Request) -> None:
    """Let the page that asks read the answer."""
    origin = request.getHeader("origin")
    assert origin is not None
    headers = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": _EXPOSED,
        "Vary": "Origin",
    }
    set_headers(request, headers)


class _Preflight(TwistedResource):
    """What a browser asks before it lets a page of a listed origin ask (Fetch, 3.3)."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        headers = {
            "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE",
            "Access-Control-Allow-Headers": _ALLOWED,
            "Access-Control-Max-Age": "600",
        }
        set_headers(request, headers)
        request.setResponseCode(204)
        return b""


class _AskFirst(TwistedResource):
    """The page that asks for a token, in place of any that needs one."""

    isLeaf = True

    def __init__(self, error: Unauthenticated) -> None:
        super().__init__()
        self._error = error

    def render(self, request: Request) -> int:
        request.setResponseCode(self._error.status)
        set_headers(request, self._error.headers())
        answer_page(request, login_page(request.uri.decode("ascii", "replace")))
        return NOT_DONE_YET
