"""C{/login} and C{/logout}: a session for browsers."""

from collections.abc import Mapping
from typing import ClassVar

from shellstream.model.errors import ShellstreamError
from shellstream.output.negotiation import prefers_html
from shellstream.security.audit import AuditAction, Entry
from shellstream.security.authorization import Caller
from shellstream.web.server.authentication import cookie_name
from shellstream.web.server.request import Request

from .base import ANYBODY, Resource, Rule, query_of, set_headers
from .pages import answer_page, login_page
from .query import Query
from .request_params import from_body, from_query


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
        request.site.note(Entry.of(AuditAction.LOGIN, by))
        _set_cookie(request, gate.sessions.create(principal))
        _go_to(request, then)


class Logout(Resource):
    """C{/logout}: the cookie is no good any more."""

    rules: ClassVar[Mapping[str, Rule]] = {"POST": ANYBODY}

    def render_POST(self, request: Request) -> None:
        cookie = request.getCookie(cookie_name(request))
        if cookie is not None:
            request.gate.sessions.remove(cookie.decode("ascii", "replace"))
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
