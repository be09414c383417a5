"""An HTTP client that keeps every byte that it received."""

import json
import struct
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tests.support.decoders import Told, frames


@define
class RunOutput:
    """
    What a response says about a run; of a cut response, its complete records.

    @ivar start: the offset of the first byte of C{data}.
    @ivar controls: the control records, in order.
    """

    start: int = 0
    data: bytes = b""
    controls: list[dict[str, Any]] = field(factory=list)

    @classmethod
    def of(cls, form: str, wire: bytes) -> "RunOutput":
        """Read all complete records of a response in this format."""
        if form == "plain":
            return cls(data=wire)
        found, parts = cls(), []
        for record in _RECORDS[form](wire):
            if isinstance(record, bytes):
                parts.append(record)
                continue
            found.controls.append(record)
            if record["type"] == "gap":
                assert not parts, "a gap in the middle"
                found.start = record["end"]
        found.data = b"".join(parts)
        return found

    @property
    def end(self) -> dict[str, Any] | None:
        """The end record; L{None} if it did not come."""
        last = self.controls[-1] if self.controls else {}
        return last if last.get("type") == "end" else None


def _frames(wire: bytes) -> Iterator[bytes | dict[str, Any]]:
    """The records of C{frames}: a header of 8 bytes, then the payload."""
    position = 0
    while position + 8 <= len(wire):
        number, length = struct.unpack_from(">B3xI", wire, position)
        payload = wire[position + 8 : position + 8 + length]
        if len(payload) < length:
            return
        position += 8 + length
        yield payload if number else json.loads(payload)


def _ndjson(wire: bytes) -> Iterator[bytes | dict[str, Any]]:
    """The records of C{ndjson}: one object in each line."""
    *lines, _incomplete = wire.split(b"\n")
    for line in lines:
        record = json.loads(line)
        if "type" in record:
            yield record
        elif "text" in record:
            yield record["text"].encode()
        else:
            yield b64decode(record["base64"])


_RECORDS = {"frames": _frames, "ndjson": _ndjson}


class Watcher(Protocol):
    """
    Sends a request and keeps the response. It is meant for HTTP/1.0, where the bytes
    after the headers are the body.

    @ivar headed: fires when the headers have come, or the connection has ended.
    @ivar gone: fires when the connection has ended.
    """

    def __init__(
        self,
        request: str | bytes,
        noticed: Callable[[int], object] = lambda size: None,
    ) -> None:
        self._request = request.encode() if isinstance(request, str) else request
        self._noticed = noticed
        self._wire = bytearray()
        self._waiting: list[tuple[bytes, Deferred[None]]] = []
        self.headed: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()

    @property
    def head(self) -> str:
        """The status line and headers; empty until all have come."""
        head, blank, _ = bytes(self._wire[:2000]).partition(b"\r\n\r\n")
        return head.decode() if blank else ""

    @property
    def status(self) -> int:
        return int(self.head.split(" ")[1])

    @property
    def body(self) -> bytes:
        return bytes(self._wire).partition(b"\r\n\r\n")[2]

    @property
    def run(self) -> str | None:
        """The id of the run; L{None} until the headers name it."""
        for line in self.head.splitlines():
            name, _, value = line.partition(": ")
            if name.lower() == "shellstream-run":
                return value
        return None

    def seen(self, text: bytes) -> Deferred[None]:
        """Fires once C{text} has come."""
        found: Deferred[None] = Deferred()
        self._waiting.append((text, found))
        self._look()
        return found

    def leave(self) -> None:
        """Close the connection in the middle of the response."""
        self.transport.abortConnection()

    def connectionMade(self) -> None:
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._wire += data
        if not self.headed.called and self.head:
            self.headed.callback(None)
        self._look()
        self._noticed(len(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.headed.called:
            self.headed.callback(None)
        for text, found in self._waiting:
            came = bytes(self._wire[-2000:])
            why = f"the connection ended before {text!r} came: {came!r}"
            found.errback(AssertionError(why))
        self.gone.callback(None)

    def _look(self) -> None:
        waiting, self._waiting = self._waiting, []
        for text, found in waiting:
            if text in self._wire:
                found.callback(None)
            else:
                self._waiting.append((text, found))


async def watch(
    port: int,
    request: str | bytes,
    noticed: Callable[[int], object] = lambda size: None,
) -> Watcher:
    """Send a request, given as its bytes; C{noticed} is called with each size."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    watcher = Watcher(request, noticed)
    await connectProtocol(endpoint, watcher)
    return watcher


def get(path: str, **headers: str) -> str:
    """A GET request; underscores in the names of headers stand for hyphens."""
    lines = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
    return f"GET {path} HTTP/1.0\r\n{lines}\r\n"


def post(path: str, body: object = None, **headers: str) -> str:
    """A POST request with a JSON document, or without a body."""
    text = "" if body is None else json.dumps(body)
    if text:
        headers["Content_Type"] = "application/json"
    headers["Content_Length"] = str(len(text))
    return get(path, **headers).replace("GET", "POST", 1) + text


async def ask(port: int, request: str | bytes) -> Watcher:
    """Send a request, and wait until the connection has ended."""
    watcher = await watch(port, request)
    await watcher.gone
    return watcher


async def fetch(port: int, path: str) -> Watcher:
    """Send a GET request, and wait until the connection has ended."""
    return await ask(port, get(path))


def kept_bytes(whole: bytes, wire: bytes) -> bytes:
    """
    The bytes of C{whole} that a response in frames still has.

    It must have each byte at its offset, or cover it with a gap.
    """
    _, *records, end = frames(wire)
    left, offset = [], 0
    for record in records:
        if isinstance(record, Told):
            assert record.offset == offset, (record.offset, offset)
            offset += len(record.data)
            assert record.data == whole[record.offset : offset], record.offset
            left.append(record.data)
        else:
            assert (record["type"], record["offset"]) == ("gap", offset), record
            offset = record["end"]
    assert end["type"] == "end", end
    assert offset == end["offset"] == len(whole), (offset, end)
    return b"".join(left)


async def fetch_output(port: int, run: str | None) -> RunOutput:
    """Return the kept output of a run that has ended."""
    assert run is not None, "the response named no run"
    answer = await fetch(port, f"/runs/{run}/output?format=frames")
    account = RunOutput.of("frames", answer.body)
    assert account.end is not None, (answer.head, account.controls)
    return account
