"""What a client sends in a request: its headers, and its body within limits."""

import re
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.web.server import Request as TwistedRequest

from shellstream.model.errors import BodyTooLarge, Busy, ContentCodingUnsupported

from .channel import Channel
from .connection_limits import RETRY_AFTER, client_of
from .interfaces import SharedSite
from .request_syntax import Head, HeaderValues

#: Where input for a run goes. Its body may be larger than others.
_STDIN = re.compile(rb"/runs/[^/?]*/stdin/*(?:\?.*)?", re.S)

#: The most segments of a path: resources have four at most. What follows them is one
#: more, which no resource has.
MAX_SEGMENTS = 16

#: The most cookies of a request; a browser keeps about 180 for one host.
MAX_COOKIES = 300

#: The headers of a request that has none yet, or whose headers are not needed any more.
#: It must never be mutated.
NO_HEADERS = dict[Any, Any]()


class ReceivedRequest(TwistedRequest):
    """
    A request with a bounded body.

    @ivar received: its headers. Twisted's own C{requestHeaders}, and what sets the
        headers of a response there, are not used: each costs ten calls a header.
    """

    # As in L{Channel}, so that the instances' dictionaries share their keys.
    __slots__ = (
        *("_adapterCache", "_parsePOSTFormSubmission", "channel", "client", "context"),
        *("cookies", "host", "notifications", "postpath", "queued", "received_cookies"),
        *("requestHeaders", "responseHeaders", "site", "transport"),
    )

    channel: Channel  # until the client leaves
    site: SharedSite  # type: ignore[assignment]  # Twisted's Site, and ours
    content: BytesIO
    postpath: list[bytes]
    uri = b""  # until the head is complete
    received: HeaderValues = NO_HEADERS
    _is_input = False
    _held = 0

    def header(self, name: str) -> str | None:
        """A header of the request, by its name in lower case; the last of several."""
        values = self.received.get(name)
        return None if values is None else _text(values[-1])

    def header_lines(self, name: str) -> list[str]:
        """All headers of a name."""
        values = self.received.get(name)
        return [] if values is None else [_text(each) for each in values]

    def getHeader(self, key: Any) -> Any:
        # Twisted's getPassword() calls it.
        values = self.received.get(key.decode("ascii").lower())
        return None if values is None else values[-1].encode("latin-1")

    def getCookie(self, key: bytes) -> bytes | None:
        lines = self.received.get("cookie", ())
        # A cookie takes a microsecond, and 16,000 fit into a header.
        if sum(line.count(";") for line in lines) > MAX_COOKIES:
            return None
        cookies = (each.lstrip() for line in lines for each in line.split(";"))
        name = f"{key.decode('ascii')}="
        found = [each[len(name) :] for each in cookies if each.startswith(name)]
        return found[-1].encode("latin-1") if found else None

    @property
    def content_type(self) -> str:
        """The media type of the body, with its parameters; empty if it is not told."""
        return self.header("content-type") or ""

    def receive_head(self, head: Head, size: int | None) -> None:
        """
        Take in the head, and decide whether the body may come.

        @param size: of the body, in bytes; L{None} if it comes in chunks.
        @raise ShellstreamError: if it may not.
        """
        self.site = self.channel.site
        self.content = BytesIO()
        self.received = head.headers
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path = self.uri.partition(b"?")[0]
        segments = self.path[1:].split(b"/", MAX_SEGMENTS)
        self.postpath = [unquote_to_bytes(each) for each in segments]
        if size != 0:
            self._check_coding()
        if _STDIN.fullmatch(self.uri) is not None:
            self._is_input = True
        if size != 0 or self._is_input:
            self.site.resource.authorize_body(self, is_input=self._is_input)
        if size:
            self.expect_body(size)

    def _check_coding(self) -> None:
        """@raise ContentCodingUnsupported: if the body is compressed."""
        for coding in self.header_lines("content-encoding"):
            if coding.strip().lower() not in ("", "identity"):
                raise ContentCodingUnsupported(coding)

    def handleContentChunk(self, data: bytes) -> None:
        self.expect_body(len(data))
        self._hold(len(data))
        super().handleContentChunk(data)

    def expect_body(self, size: int) -> None:
        """
        At least so many more bytes of the body will come.

        @raise BodyTooLarge: if these are too many.
        """
        size += self.content.tell()
        limits = self.site.limits
        if not self._is_input:
            if size > limits.body_size:
                raise BodyTooLarge(limits.body_size)
        elif size > limits.input_size:
            how = "send it in pieces, each with its offset"
            raise BodyTooLarge(limits.input_size, how)

    def _hold(self, size: int) -> None:
        """@raise Busy: if there is no memory for so much more of a body."""
        quota, spare = self.site.body_quota, 0
        why = "too many requests with a body are here already"
        if self._is_input:
            # A command may never read its input. Other requests need what is left then.
            why = "commands have to read what was sent to them already"
            spare = quota.limit - self.site.limits.inputs_of_all
        if not quota.acquire(client_of(self.client), size, spare):
            raise Busy(why, RETRY_AFTER)
        self._held += size

    def release_body(self) -> None:
        if self._held:
            self.site.body_quota.release(client_of(self.client), self._held)
            self._held = 0


def _text(value: str) -> str:
    """A header's value, of any encoding (RFC 9110, 5.5): UTF-8 if it can be."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return value
