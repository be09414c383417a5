"""C{/login} and C{/logout}: login sessions of browsers."""

from shellstream.model.errors import ShellstreamError
from shellstream.security.audit import AuditAction, AuditEntry
from shellstream.security.authorization import Caller
from shellstream.web.console.frame import Frame
from shellstream.web.console.login_page import login_page
from shellstream.web.server.authentication import Authenticator, cookie_name
from shellstream.web.server.request import Request

from .base import Resource, requires, to_root
from .pages import (
    respond_see_other,
    respond_with_login,
    respond_with_page,
    wants_page,
)
from .query import Query
from .request_params import from_body


class Login(Resource):
    """C{/login}: a token in exchange for a cookie."""

    def __init__(self, authenticator: Authenticator) -> None:
        super().__init__()
        self._authenticator = authenticator

    @requires()
    def render_GET(self, request: Request) -> None:
        query = Query.of(request, "next")
        then = _path(query.text("next"))
        query.validate()
        respond_with_page(request, login_page(Frame(to_root(request)), then))

    @requires()
    def render_POST(self, request: Request) -> None:
        params = from_body(request.content_type, request.content.getvalue())
        form = Query(params, ("token", "next"))
        token, then = form.text("token") or "", _path(form.text("next"))
        form.validate()
        try:
            principal = self._authenticator.check_token(token.strip(), request.address)
        except ShellstreamError as error:
            if not wants_page(request):
                raise
            wrong = str(error).partition(";")[0]
            respond_with_login(request, error, then, wrong)
            return
        caller = Caller(principal, request.address)
        request.site.record(AuditEntry.by_caller(AuditAction.LOGIN, caller))
        _set_cookie(request, self._authenticator.sessions.create(principal))
        respond_see_other(request, then[1:])


class Logout(Resource):
    """C{/logout}: ends the session of the cookie."""

    def __init__(self, authenticator: Authenticator) -> None:
        super().__init__()
        self._authenticator = authenticator

    @requires()
    def render_POST(self, request: Request) -> None:
        cookie = request.getCookie(cookie_name(request))
        if cookie is not None:
            self._authenticator.sessions.remove(cookie.decode("ascii", "replace"))
        _set_cookie(request, "")
        respond_see_other(request, "login")


def _path(then: str | None) -> str:
    """Where to go after a login: only to a path of ours (CWE-601)."""
    safe = then is not None and then.startswith("/") and then[1:2] not in ("/", "\\")
    return then if then is not None and safe and then.isprintable() else "/"


def _set_cookie(request: Request, value: str) -> None:
    request.addCookie(
        cookie_name(request),
        value.encode(),
        path=b"/",
        # A proxy before us may speak TLS: the Origin of our own page shows it.
        secure=request.isSecure()
        or (request.header("origin") or "").startswith("https://"),
        httpOnly=True,
        sameSite=b"strict",
        max_age=None if value else b"0",  # the browser forgets it (RFC 6265, 5.2.2)
    )
