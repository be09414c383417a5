"""Responses with a page of L{shellstream.web.console}, and what pages refer to."""

from http import HTTPStatus

from twisted.web.template import tags

from shellstream.model.errors import ShellstreamError, Unauthenticated
from shellstream.output.negotiation import prefers_html
from shellstream.web.console.assets import Asset, assets
from shellstream.web.console.frame import POLICY, Frame, render
from shellstream.web.console.login_page import login_page
from shellstream.web.server.request import Request

from .base import Resource, requires, respond_document, to_root


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
        # Another content would have another name.
        kept = "public, max-age=31536000, immutable"
        respond_document(request, media_type, body, kept)


def wants_page(request: Request) -> bool:
    """Whether the client is a browser that will show the answer."""
    return prefers_html(request.header("accept"))


def frame_of(request: Request) -> Frame:
    """What a page for the caller of a request has around it."""
    context = request.context
    if context.session is None:
        return Frame(to_root(request))
    session = context.session
    return Frame(to_root(request), session.principal.name, session.csrf_token)


def respond_with_page(request: Request, page: bytes) -> None:
    """Respond with a page of ours."""
    headers = {
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    request.set_headers(headers)
    respond_document(request, b"text/html; charset=utf-8", page)


def respond_with_login(
    request: Request, error: ShellstreamError, then: str, wrong: str = ""
) -> None:
    """Refuse a request of a browser with the page that asks for a token."""
    request.record_refusal(error)
    request.setResponseCode(error.status)
    if isinstance(error, Unauthenticated):
        request.set_headers(error.without_basic())
    else:
        request.set_headers(error.headers)
    respond_with_page(request, login_page(Frame(to_root(request)), then, wrong))


def respond_with_refusal(request: Request, error: ShellstreamError) -> None:
    """Tell somebody at a browser what cannot be shown, and why."""
    request.record_refusal(error)
    request.setResponseCode(error.status)
    request.set_headers(error.headers)
    title = HTTPStatus(error.status).phrase
    runs = tags.a("All runs", href=f"{to_root(request) or './'}#runs")
    parts = tags.h1(title), tags.p(str(error)), tags.p(runs)
    page = render(frame_of(request), f"{title} · shellstream", *parts)
    respond_with_page(request, page)


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
