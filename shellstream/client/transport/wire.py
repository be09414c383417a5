"""
What a L{Client} asks of HTTP, whoever does it.

It is treq, by L{TreqWire}, which waits for
Deferreds; L{AsyncioWire} is the same for
who runs on asyncio. A client awaits nothing but what its wire gives it, so it runs
wherever its wire does.
"""

from collections.abc import Mapping
from typing import Protocol

from shellstream import __version__

#: Seconds until a server that does not take our connection counts as away.
CONNECT_TIMEOUT = 15.0

#: What is read ahead of who takes it, in bytes, before the server has to wait.
READ_AHEAD = 256 * 1024

#: What every request says: no compression, which would hold output back.
ALWAYS = {
    "user-agent": f"shellstream/{__version__}",
    "accept-encoding": "identity",
}


class Response(Protocol):
    """
    An answer to a request, as far as its headers; the rest is read.

    @ivar headers: by their names in lower case; of several the last.
    """

    status: int
    phrase: str
    headers: Mapping[str, str]

    async def read(self, timeout: float | None = None) -> bytes:
        """
        What has come, at least a byte, the moment that it is there; none at the
        end of the answer. While nobody reads, the server soon has to wait.

        @param timeout: seconds of silence that mean that the way is broken.
        @raise CutShort: if the answer ended before its end.
        """

    def close(self) -> None:
        """Want no more of it. Harmless when repeated."""


class Wire(Protocol):
    """HTTP, and the time."""

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        """
        Ask, and wait for the headers of the answer. No redirect is followed.

        @param timeout: seconds to wait for them.
        @raise ClientError: if none came, by its kind.
        """

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def seconds(self) -> float:
        """The time, as a clock that never jumps shows it."""
