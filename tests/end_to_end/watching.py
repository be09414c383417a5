"""A client of the end-to-end tests that keeps every byte it ever saw."""

import json
import struct
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


@define
class Frames:
    """
    What of an answer in frames came whole (PROTOCOL: 8 bytes of header, payload).

    @ivar start: the offset of the first byte of C{data}.
    @ivar controls: the control records, in order.
    """

    start: int = 0
    data: bytes = b""
    controls: list[dict[str, Any]] = field(factory=list)

    @classmethod
    def of(cls, wire: bytes) -> "Frames":
        """Read as many frames as there are; the rest of a cut one is left."""
        found, parts, position = cls(), [], 0
        while position + 8 <= len(wire):
            number, length = struct.unpack_from(">B3xI", wire, position)
            payload = wire[position + 8 : position + 8 + length]
            if len(payload) < length:
                break
            position += 8 + length
            if number:
                parts.append(payload)
                continue
            found.controls.append(json.loads(payload))
            if found.controls[-1]["type"] == "gap":
                assert not parts, "a gap in the middle"
                found.start = found.controls[-1]["end"]
        found.data = b"".join(parts)
        return found

    @property
    def end(self) -> dict[str, Any] | None:
        """The end record, if it came."""
        last = self.controls[-1] if self.controls else {}
        return last if last.get("type") == "end" else None


class Watcher(Protocol):
    """Asks by HTTP/1.0, so that the bytes behind the headers are the answer."""

    def __init__(
        self, request: str, noticed: Callable[[int], object] = lambda size: None
    ) -> None:
        self._request = request
        self._noticed = noticed
        self._wire = bytearray()
        self.gone: Deferred[None] = Deferred()

    @property
    def head(self) -> str:
        """The status line and headers, once they are there."""
        head, blank, _ = bytes(self._wire[:2000]).partition(b"\r\n\r\n")
        return head.decode() if blank else ""

    @property
    def body(self) -> bytes:
        return bytes(self._wire).partition(b"\r\n\r\n")[2]

    @property
    def run(self) -> str | None:
        """The id of the run, if the answer has got so far."""
        for line in self.head.splitlines():
            name, _, value = line.partition(": ")
            if name.lower() == "shellstream-run":
                return value
        return None

    def connectionMade(self) -> None:
        self.transport.write(self._request.encode() + b"\r\n")

    def dataReceived(self, data: bytes) -> None:
        self._wire += data
        self._noticed(len(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


async def watch(
    port: int, request: str, noticed: Callable[[int], object] = lambda size: None
) -> Watcher:
    """Send a request, a line or several, and keep what comes."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    watcher = Watcher(request, noticed)
    await connectProtocol(endpoint, watcher)
    return watcher


async def fetch(port: int, path: str) -> Watcher:
    """GET, up to the end of the answer."""
    watcher = await watch(port, f"GET {path} HTTP/1.0\r\n")
    await watcher.gone
    return watcher
