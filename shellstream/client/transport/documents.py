"""Answers that are short: documents, and what is wrong."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from shellstream.client.errors import (
    ContractViolation,
    CutShort,
    NoResponse,
    Refused,
    ServerFailed,
)
from shellstream.client.escape import printable

from .wire import Response, Wire

#: The most that is read of an answer that is a document, in bytes, and of one that
#: is an error.
MAX_DOCUMENT, MAX_PROBLEM = 1 << 24, 1 << 16

#: Seconds that a server may take for an answer that is no stream.
REQUEST_TIMEOUT = 60.0


class ServerApi:
    """
    Where short answers come from.

    @ivar heard: whether it has ever answered.
    """

    def __init__(self, url: str, wire: Wire, headers: Mapping[str, str]) -> None:
        """@param headers: what every request says."""
        self._url = url
        self._wire = wire
        self._headers = headers
        self.heard = False

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Response:
        """
        Ask, and wait for the head of an answer.

        @raise ClientError: if it is not what was asked for.
        """
        url = self._url + path
        headers = {**self._headers, **headers}
        answer = await self._wire.request(method, url, headers, body, REQUEST_TIMEOUT)
        self.heard = True
        await check_status(url, answer)
        return answer

    async def document(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """
        Ask for a JSON document.

        @param document: one to send.
        """
        body = b"" if document is None else json.dumps(document).encode()
        headers = {"accept": "application/json", **headers}
        if body:
            headers["content-type"] = "application/json"
        answer = await self.ask(method, path, headers, body)
        try:
            return json.loads(await read_body(answer, MAX_DOCUMENT))
        except (ValueError, RecursionError):
            why = "it is no JSON; is this a shellstream?"
            raise ContractViolation(self._url + path, why) from None

    async def call(
        self, method: str, path: str, document: Mapping[str, Any] | None = None
    ) -> Any:
        """The same; what only looks is asked for again if no answer came."""
        try:
            return await self.document(method, path, document)
        except NoResponse:
            if method != "GET":
                raise
        return await self.document(method, path, document)


async def check_status(url: str, answer: Response) -> None:
    """
    See that an answer is what was asked for.

    @raise ClientError: in the server's words, if it is anything else.
    """
    if 200 <= answer.status < 300:
        return
    try:
        body = await read_body(answer, MAX_PROBLEM)
    except CutShort:
        body = b""  # half an explanation misleads; the status tells enough
    text = f"{answer.status} {one_line(answer.phrase)}"
    detail = _detail(answer.headers.get("content-type", ""), body)
    to = answer.headers.get("location")
    if answer.status < 400 and to:
        detail = f"it sends us to {one_line(to)}; ask there, if you trust it"
    cls = Refused if answer.status < 500 else ServerFailed
    raise cls(url, answer.status, f"{text}: {detail}" if detail else text)


async def read_body(answer: Response, most: int) -> bytes:
    """An answer up to its end, or up to so many bytes; then it is closed."""
    body = bytearray()
    try:
        while data := await answer.read(REQUEST_TIMEOUT):
            body += data
            if len(body) > most:
                break
    finally:
        answer.close()
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
    return ""


def one_line(text: str) -> str:
    """A server's words, as far as they are worth a line."""
    return printable(text[:1000])
