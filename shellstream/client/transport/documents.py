"""Requests for JSON documents, and the server's error messages."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any
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

#: Seconds to wait for a response that is not a stream.
REQUEST_TIMEOUT = 60.0


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
        document: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """
        Ask for a JSON document. Its references to outputs and streams become URLs.

        @param document: a document to send.
        """
        body = b"" if document is None else json.dumps(document).encode()
        headers = {"accept": "application/json", **headers}
        if body:
            headers["content-type"] = "application/json"
        response = await self.request(method, path, headers, body)
        try:
            found = json.loads(await read_body(response, MAX_DOCUMENT))
            resolve_references(found, self.url + path)
        except (ValueError, RecursionError):
            why = "it is not JSON; is this a shellstream server?"
            raise ContractViolation(self.url + path, why) from None
        return found

    async def call(
        self, method: str, path: str, document: Mapping[str, Any] | None = None
    ) -> Any:
        """The same; a GET is sent once more if its response was lost."""
        try:
            return await self.request_json(method, path, document)
        except NoResponse:
            if method != "GET":
                raise
        return await self.request_json(method, path, document)


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
        title = re.search(r"(?is)<title>\s*(.{0,200}?)\s*</title>", text)
        return "" if title is None else one_line(" ".join(title[1].split()))
    return ""


def one_line(text: str) -> str:
    """A server's text as one line of bounded length."""
    return printable(text[:1000])
