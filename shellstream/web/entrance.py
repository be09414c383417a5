"""The root of all resources, past which nobody comes unasked."""

from collections.abc import Mapping
from typing import ClassVar

from twisted.web.resource import IResource
from twisted.web.resource import Resource as TwistedResource
from twisted.web.server import NOT_DONE_YET

from shellstream.access import Action, Caller, Grant, Principal
from shellstream.audit import Entry, What
from shellstream.errors import CrossSite, ShellstreamError, Unauthenticated
from shellstream.interfaces import IRuns
from shellstream.negotiation import prefers_html
from shellstream.origins import Site
from shellstream.permitted import Permitted

from .gate import Gate, cookie_name
from .given import essence, from_body, from_query
from .http import Request
from .output import TRAILERS
from .page import PROOF, answer_page, login_page
from .query import Query
from .resource import ANYBODY, Resource, Rule, query_of, set_headers

#: Where nobody has to say who they are.
PUBLIC = frozenset({b"healthz", b"login"})

#: Who has not said who they are: they may do nothing.
_STRANGER = Principal(
    name="stranger", grant=Grant(actions=frozenset()), credential="none"
)

#: The header by which a script of our page shows that it is ours.
PROOF_HEADER = "shellstream-csrf"

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


class Entrance(TwistedResource):
    """Every request comes by here, before any resource is looked for."""

    def __init__(self, gate: Gate, runs: IRuns, inside: IResource) -> None:
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
        request.runs = Permitted(self._runs, known, request.site.note)
        if caller is not None:
            gate.enter(request, caller.principal)
            self._check_proof(request)
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
        request.runs = Permitted(self._runs, caller, request.channel.site.note)
        request.runs.require(Action.WRITE)

    def _caller(self, request: Request, path: bytes) -> Caller | None:
        if path in PUBLIC:  # a prober's token may be none of ours
            return None
        caller = self._gate.caller(request)
        if caller is None:
            raise Unauthenticated
        return caller

    def _check_proof(self, request: Request) -> None:
        """
        A browser sends cookies along, whoever's page it was that had it ask.

        @raise CrossSite: if it cannot have been ours.
        """
        if request.method in (b"GET", b"HEAD"):
            return
        session = self._gate.session(request)
        if session is None or request.getHeader("authorization") is not None:
            return
        proof = request.getHeader(PROOF_HEADER)
        if proof is None:
            media_type = request.getHeader("content-type") or ""
            if essence(media_type) == "application/x-www-form-urlencoded":
                fields = dict(from_body(media_type, request.content.getvalue()))
                proof = str(fields.get(PROOF, ""))
        if not session.proven(proof or ""):
            raise CrossSite


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


class Login(Resource):
    """C{/login}: a token in exchange for a cookie."""

    rules: ClassVar[Mapping[str, Rule]] = {"GET": ANYBODY, "POST": ANYBODY}

    def render_GET(self, request: Request) -> None:
        query = Query(from_query(query_of(request)), ("next",))
        then = _path(query.text("next"))
        query.close()
        answer_page(request, login_page(then))

    def render_POST(self, request: Request) -> None:
        media_type = request.getHeader("content-type") or ""
        given = from_body(media_type, request.content.getvalue())
        query = Query(given, ("token", "next"))
        token, then = query.text("token") or "", _path(query.text("next"))
        query.close()
        gate = request.gate
        try:
            principal = gate.by_token(token.strip(), gate.address(request))
        except ShellstreamError as error:
            if not prefers_html(request.getHeader("accept")):
                raise
            request.note_refusal(error)
            request.setResponseCode(error.status)
            set_headers(request, error.headers())
            answer_page(request, login_page(then, str(error).partition(";")[0]))
            return
        by = Caller(principal, request.address)
        request.site.note(Entry.of(What.LOGIN, by))
        _set_cookie(request, gate.sessions.begin(principal))
        _go_to(request, then)


class Logout(Resource):
    """C{/logout}: the cookie is no good any more."""

    rules: ClassVar[Mapping[str, Rule]] = {"POST": ANYBODY}

    def render_POST(self, request: Request) -> None:
        cookie = request.getCookie(cookie_name(request))
        if cookie is not None:
            request.gate.sessions.end(cookie.decode("ascii", "replace"))
        _set_cookie(request, "")
        _go_to(request, "/login")


def _path(then: str | None) -> str:
    """Where to go; nowhere but to a path of ours (CWE-601)."""
    safe = then is not None and then.startswith("/") and then[1:2] not in ("/", "\\")
    return then if then is not None and safe and then.isprintable() else "/"


def _set_cookie(request: Request, value: str) -> None:
    request.addCookie(
        cookie_name(request),
        value.encode(),
        path=b"/",
        # A proxy before us may speak TLS; the browser says so of its own page.
        secure=request.isSecure()
        or (request.getHeader("origin") or "").startswith("https://"),
        httpOnly=True,
        sameSite=b"strict",
        max_age=None if value else b"0",
    )


def _go_to(request: Request, path: str) -> None:
    request.setResponseCode(303)
    request.setHeader(b"location", path.encode("ascii", "replace"))
    request.answer(b"text/plain; charset=utf-8", b"")
