"""
The HTTP that a L{Client} needs, for any event loop.

L{TreqWire} implements it with treq, for Twisted programs; L{AsyncioWire} does the same
on asyncio. A client awaits only what its wire returns, so it runs on either loop.
"""

from collections.abc import Mapping
from typing import Protocol

from shellstream import __version__

#: Seconds to wait for a connection.
CONNECT_TIMEOUT = 15.0

#: Bytes of a response to hold for a slow caller, before the server has to wait.
READ_AHEAD = 256 * 1024

#: Headers of every request. Compression would hold output back until a block is full.
ALWAYS = {
    "user-agent": f"shellstream/{__version__}",
    "accept-encoding": "identity",
}


class Response(Protocol):
    """
    The head of a response; its body is read piece by piece.

    @ivar headers: by their names in lower case; the last one of each name.
    """

    status: int
    phrase: str
    headers: Mapping[str, str]

    async def read(self, timeout: float | None = None) -> bytes:
        """
        Wait for the next bytes of the body; empty at its end. The server has to wait
        while the body is not read.

        @param timeout: seconds of silence after which the connection counts as broken.
        @raise CutShort: if the connection broke before the end of the body.
        """

    def close(self) -> None:
        """Close the connection. Harmless when repeated."""


class Wire(Protocol):
    """Sends requests, and tells the time."""

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        """
        Send a request, and wait for the head of the response. Redirects are not
        followed.

        @param timeout: seconds to wait for the head.
        @raise ClientError: if there is no response; its class tells why.
        """

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def seconds(self) -> float:
        """The time in seconds, by a monotonic clock."""
