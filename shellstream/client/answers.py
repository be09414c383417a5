"""Answers that are short: documents, and what is wrong."""

import json

from .errors import CutShort, Refused, ServerFailed
from .wire import Answer

#: The most that is read of an answer that is a document, in bytes, and of one that
#: is an error.
MAX_DOCUMENT, MAX_PROBLEM = 1 << 24, 1 << 16

#: Seconds that a server may take for an answer that is no stream.
PATIENCE = 60.0


async def check(url: str, answer: Answer) -> None:
    """
    See that an answer is what was asked for.

    @raise ClientError: in the server's words, if it is anything else.
    """
    if 200 <= answer.status < 300:
        return
    try:
        body = await whole(answer, MAX_PROBLEM)
    except CutShort:
        body = b""  # half an explanation misleads; the status tells enough
    text = f"{answer.status} {line(answer.phrase)}"
    detail = _detail(answer.headers.get("content-type", ""), body)
    to = answer.headers.get("location")
    if answer.status < 400 and to:
        detail = f"it sends us to {line(to)}; ask there, if you trust it"
    cls = Refused if answer.status < 500 else ServerFailed
    raise cls(url, answer.status, f"{text}: {detail}" if detail else text)


async def whole(answer: Answer, most: int) -> bytes:
    """An answer up to its end, or up to so many bytes; then it is closed."""
    body = bytearray()
    try:
        while data := await answer.read(PATIENCE):
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
        return line(str(found.get("detail", ""))) if isinstance(found, dict) else ""
    if media_type.startswith("text/plain"):
        return line(text.strip().partition("\n")[0])
    return ""


def line(text: str) -> str:
    """A server's words as one line that cannot steer a terminal."""
    return "".join(each if each.isprintable() else " " for each in text[:1000])
