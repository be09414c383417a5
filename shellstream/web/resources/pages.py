"""Responses with a page of L{shellstream.web.console}, and what pages refer to."""

from collections.abc import Mapping
from http import HTTPStatus

from twisted.web.template import tags

from shellstream.model.errors import HeaderValue, ShellstreamError, Unauthenticated
from shellstream.output.negotiation import accepts_gzip, prefers_html
from shellstream.web.console.assets import Asset, assets
from shellstream.web.console.frame import POLICY, Frame, render
from shellstream.web.console.login_page import login_page
from shellstream.web.server.problem_details import as_problem
from shellstream.web.server.request import Request, RequestContext

from .base import Resource, requires, respond_document, to_root
from .request_params import essence

HTML = b"text/html; charset=utf-8"

#: The headers of each page.
_PAGE: Mapping[str, HeaderValue] = {
    "Content-Type": HTML.decode(),
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Assets(Resource):
    """C{/assets}: the parent of the files that pages refer to."""

    def __init__(self) -> None:
        super().__init__()
        for name, each in assets().items():
            self.putChild(name.encode(), OneAsset(each))


class OneAsset(Resource):
    """C{/assets/NAME}: one of them."""

    def __init__(self, asset: Asset) -> None:
        super().__init__()
        self._asset = asset

    @requires()
    def render_GET(self, request: Request) -> None:
        media_type, body = self._asset.media_type, self._asset.body
        request.set_headers({"Vary": "Accept-Encoding"})
        # It holds no secret, whose length would tell of it (as with BREACH).
        if accepts_gzip(request.header("accept-encoding")):
            request.set_headers({"Content-Encoding": "gzip"})
            body = self._asset.compressed
        # Another content would have another name.
        kept = "public, max-age=31536000, immutable"
        respond_document(request, media_type, body, kept)


def wants_page(request: Request) -> bool:
    """Whether the client is a browser that will show the answer."""
    return prefers_html(request.header("accept"))


def frame_of(request: Request) -> Frame:
    """What a page for the caller of a request has around it."""
    # It may have been refused before anybody asked who sent it.
    context: RequestContext | None = getattr(request, "context", None)
    session = None if context is None else context.session
    if session is None:
        return Frame(to_root(request))
    return Frame(to_root(request), session.principal.name, session.csrf_token)


def respond_with_page(request: Request, page: bytes) -> None:
    """Respond with a page of ours."""
    request.set_headers(_PAGE)
    respond_document(request, HTML, page)


def respond_with_login(
    request: Request, error: ShellstreamError, then: str, wrong: str
) -> None:
    """Refuse the token that somebody at a browser has typed."""
    request.record_refusal(error)
    request.setResponseCode(error.status)
    if isinstance(error, Unauthenticated):
        request.set_headers(error.without_basic())
    else:
        request.set_headers(error.headers)
    respond_with_page(request, login_page(Frame(to_root(request)), then, wrong))


def represent(
    request: Request, error: ShellstreamError
) -> tuple[Mapping[str, HeaderValue], bytes]:
    """
    The response to a refused request: a page for somebody at a browser, which asks for
    a token where one is missing; a problem document for a program.
    """
    is_json = essence(request.content_type) == "application/json"
    if request.is_of_script or is_json or not wants_page(request):
        headers, body = as_problem(request, error)
        if isinstance(error, Unauthenticated) and request.is_of_script:
            headers = {**headers, **error.without_basic()}
        return headers, body
    if isinstance(error, Unauthenticated):
        # What a form has sent is lost.
        is_get = request.method == b"GET"
        then = request.uri.decode("ascii", "replace") if is_get else "/"
        page = login_page(Frame(to_root(request)), then)
        return {**_PAGE, **error.without_basic()}, page
    title = HTTPStatus(error.status).phrase
    words = str(error)
    back = tags.a("All commands and runs", href=to_root(request) or "./")
    parts = tags.h1(title), tags.p(f"{words[:1].upper()}{words[1:]}."), tags.p(back)
    page = render(frame_of(request), f"{title} · shellstream", *parts, class_="refused")
    return {**_PAGE, **error.headers}, page


def respond_see_other(request: Request, path: str) -> None:
    """
    Send the browser on to another page, by GET (303).

    @param path: a path of ours, without the slash before it.
    """
    request.setResponseCode(303)
    # A relative reference. The dot keeps "http:" in a path from being its scheme.
    where = f"./{to_root(request)}{path}"
    request.set_headers({"Location": where.encode("ascii", "replace").decode()})
    request.respond(b"text/plain; charset=utf-8", b"")
