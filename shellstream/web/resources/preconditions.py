"""Entity tags, and requests that depend on them (RFC 9110, 8.8.3 and 13)."""

import re
from collections.abc import Callable
from hashlib import sha256

from shellstream.model.errors import PreconditionFailed
from shellstream.web.server.request import Request

#: A member of C{If-Match} or C{If-None-Match}. What is malformed is ignored.
_MEMBER = re.compile(r'\*|(?:W/)?"[^"]*"')


def entity_tag(body: bytes) -> str:
    """A strong entity tag: a hash of the representation."""
    return f'"{sha256(body).hexdigest()[:32]}"'


def is_unchanged(
    request: Request, tag: str, matches: Callable[[str], bool] | None = None
) -> bool:
    """
    Whether a client has the current representation already, so that 304 is the answer.

    @param tag: of the current representation.
    @param matches: whether C{If-Match} with another tag is still true; by default it
        is not.
    @raise PreconditionFailed: if the client wants no answer but to another state of
        the resource.
    """
    wanted = _members(request, "if-match")
    if wanted is not None:
        known = ("*", tag)
        if not any(each in known or (matches and matches(each)) for each in wanted):
            raise PreconditionFailed
    unwanted = _members(request, "if-none-match")
    if unwanted is None:
        return False
    # This comparison is the weak one (RFC 9110, 13.1.2).
    if "*" not in unwanted and tag not in {
        each.removeprefix("W/") for each in unwanted
    }:
        return False
    if request.method in (b"GET", b"HEAD"):
        return True
    raise PreconditionFailed


def refuse_if_match(request: Request) -> None:
    """
    Refuse C{If-Match} where nothing has an entity tag that it could name.

    @raise PreconditionFailed: rather than do what the client made depend on a tag.
    """
    if "if-match" in request.received and "*" not in (
        _members(request, "if-match") or ()
    ):
        raise PreconditionFailed


def respond_not_modified(request: Request) -> None:
    """Respond that a client has the current representation already (304)."""
    request.setResponseCode(304)
    headers = request.response_headers
    headers.pop("Content-Type", None)  # there is no content (RFC 9110, 15.4.5)
    headers.setdefault("Cache-Control", "no-store")
    request.finish()


def _members(request: Request, name: str) -> list[str] | None:
    if name not in request.received:
        return None
    return _MEMBER.findall(",".join(request.header_lines(name)))
