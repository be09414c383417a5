"""Requests for JSON documents, and the server's error messages."""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType, UnionType
from typing import (
    Any,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)
from urllib.parse import quote, urljoin

from shellstream.client.errors import (
    ContractViolation,
    CutShort,
    NoResponse,
    Refused,
    ServerFailed,
)
from shellstream.client.escape import printable

from .wire import Response, Wire

#: The most bytes to read of a document, and of an error message.
MAX_DOCUMENT, MAX_PROBLEM = 1 << 24, 1 << 16

#: The largest number to read; offsets and sizes are far smaller.
MAX_NUMBER = (1 << 63) - 1

_FOREIGN = "; is this a shellstream server?"

_T = TypeVar("_T")

#: Seconds to wait for a response that is not a stream.
REQUEST_TIMEOUT = 60.0


class _Object(dict[str, Any]):
    """A JSON object of a server: that a member is missing is the server's mistake."""

    url: str

    def __missing__(self, name: str) -> Any:
        raise ContractViolation(self.url, f"it has no {name!r}{_FOREIGN}")


class ServerApi:
    """
    Sends requests to one server.

    @ivar url: the server's.
    @ivar has_answered: whether it has ever answered.
    """

    def __init__(self, url: str, wire: Wire, headers: Mapping[str, str]) -> None:
        """@param headers: headers of every request."""
        self.url = url
        self._wire = wire
        self._headers = headers
        self.has_answered = False

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Response:
        """
        Send a request, and wait for the head of the response.

        @raise ClientError: if it is not a success.
        """
        url = self.url + path
        headers = {**self._headers, **headers}
        response = await self._wire.request(method, url, headers, body, REQUEST_TIMEOUT)
        self.has_answered = True
        await check_status(url, response)
        return response

    async def request_json(
        self,
        method: str,
        path: str,
        kind: type[_T],
        document: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> _T:
        """
        Ask for a JSON document. Its references to outputs and streams become URLs.

        @param kind: what it is: a C{TypedDict}. Its members are checked where they are
            there; to read one that is not there raises, too.
        @param document: a document to send.
        @raise ContractViolation: if it is something else.
        """
        body = b"" if document is None else json.dumps(document).encode()
        headers = {"accept": "application/json", **headers}
        if body:
            headers["content-type"] = "application/json"
        response = await self.request(method, path, headers, body)
        return parse(await read_body(response, MAX_DOCUMENT), kind, self.url + path)

    async def call(
        self,
        method: str,
        path: str,
        kind: type[_T],
        document: Mapping[str, Any] | None = None,
    ) -> _T:
        """The same; a GET is sent once more if its response was lost."""
        try:
            return await self.request_json(method, path, kind, document)
        except NoResponse:
            if method != "GET":
                raise
        return await self.request_json(method, path, kind, document)


def parse(body: bytes, kind: type[_T], url: str) -> _T:
    """
    Parse a JSON document of a server. Its references to outputs and streams become
    URLs.

    @param kind: what it is: a C{TypedDict}.
    @raise ContractViolation: if it is something else.
    """

    def to_object(found: dict[str, Any]) -> _Object:
        made = _Object(found)
        made.url = url
        return made

    try:
        found = json.loads(body, object_hook=to_object)
        resolve_references(found, url)
    except (ValueError, RecursionError):
        raise ContractViolation(url, f"it is not JSON{_FOREIGN}") from None
    wrong = _mismatch(found, kind, "it")
    if wrong is not None:
        raise ContractViolation(url, f"{wrong}{_FOREIGN}")
    return cast("_T", found)


def _mismatch(value: object, kind: Any, name: str) -> str | None:
    """What of a value is not of a type, in words; L{None} if nothing is."""
    if kind is Any:
        return None
    outer, inner = get_origin(kind), get_args(kind)
    if outer is UnionType:
        fits = any(_mismatch(value, each, name) is None for each in inner)
        return None if fits else f"{name} is of a wrong type"
    # Python takes JSON's true for an int.
    expected = {int: (int,), float: (int, float)}.get(kind, (outer or kind,))
    if is_typeddict(kind):
        expected = (dict,)
    if not isinstance(value, expected) or (
        isinstance(value, bool) and kind is not bool
    ):
        return f"{name} is of a wrong type"
    members: Iterable[tuple[object, Any, str]] = ()
    if is_typeddict(kind):
        types = get_type_hints(kind)
        members = ((value[key], types[key], repr(key)) for key in value if key in types)
    elif isinstance(value, dict):
        members = ((each, inner[1], name) for each in value.values())
    elif isinstance(value, list):
        members = ((each, inner[0], name) for each in value)
    elif isinstance(value, int) and abs(value) > MAX_NUMBER:
        return f"{name} is too large a number"
    wrongs = (_mismatch(*each) for each in members)
    return next((each for each in wrongs if each is not None), None)


def resolve_references(document: Any, base: str) -> None:
    """
    Make URLs of the references in a run, a command, or a list of these: the server
    writes them relative to the document's own URL (RFC 3986, 5).
    """
    if isinstance(document, list):
        for each in document:
            resolve_references(each, base)
    elif isinstance(document, dict):
        for name, value in document.items():
            if name in ("runs", "commands"):
                resolve_references(value, base)
            elif name in ("output", "stream") and isinstance(value, str):
                with suppress(ValueError):  # no reference at all
                    document[name] = urljoin(base, value)


def run_path(run: str) -> str:
    """The path of a run."""
    return f"/runs/{quote(run, safe='')}"


async def check_status(url: str, response: Response) -> None:
    """
    Check that a response is a success.

    @raise ClientError: with the server's message, if it is not.
    """
    if 200 <= response.status < 300:
        return
    try:
        body = await read_body(response, MAX_PROBLEM)
    except CutShort:
        body = b""  # half a message misleads; the status is enough
    text = f"{response.status} {one_line(response.phrase)}"
    detail = _detail(response.headers.get("content-type", ""), body)
    to = response.headers.get("location")
    if response.status < 400 and to:
        detail = f"it redirects to {one_line(to)}; use that URL if you trust it"
    cls = Refused if response.status < 500 else ServerFailed
    text = f"{text}: {detail}" if detail else text
    raise cls(url, response.status, text, is_ours=is_ours(response))


def is_ours(response: Response) -> bool:
    """Whether a response is a shellstream server's; a proxy may replace C{Server}."""
    media_type = response.headers.get("content-type", "").partition(";")[0]
    return (
        response.headers.get("server", "").startswith("shellstream/")
        or "shellstream-run" in response.headers
        or media_type == "application/problem+json"
    )


async def read_body(response: Response, most: int) -> bytes:
    """Read a response to its end, or up to C{most} bytes, and close it."""
    body = bytearray()
    try:
        while data := await response.read(REQUEST_TIMEOUT):
            body += data
            if len(body) > most:
                break
    finally:
        response.close()
    return bytes(body[:most])


def _detail(media_type: str, body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    if media_type.startswith("application/problem+json"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return ""
        return one_line(str(found.get("detail", ""))) if isinstance(found, dict) else ""
    if media_type.startswith("text/plain"):
        return one_line(text.strip().partition("\n")[0])
    if media_type.startswith("text/html"):  # of a proxy, or of another server
        # Spaces are stripped afterwards: a pattern that skips them could try for hours.
        title = re.search(r"(?is)<title>(.{0,1000}?)</title>", text)
        return "" if title is None else one_line(" ".join(title[1].split())[:200])
    return ""


def one_line(text: str) -> str:
    """A server's text as one line of bounded length."""
    return printable(text[:1000])
