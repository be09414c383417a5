"""
The measuring client, one for all peers and all metrics.

It does as little as possible, or it would be what is measured: one process, one buffer,
one C{epoll}, and bytes are compared where they were received.
"""

import errno
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import monotonic
from types import TracebackType
from typing import Protocol

from attrs import define, field, frozen

from tests.benchmarks.content import PIECE, Sink
from tests.benchmarks.decode import Decoder, Http, Raw, WebSocket
from tests.benchmarks.errors import Cut, Failed, Silent

#: Seconds of silence after which a stream counts as broken.
PATIENCE = 60.0

#: Room for the beginning of a unit that a decoder cannot decode yet.
_HEAD = 1 << 13
_BUFFER = bytearray(_HEAD + PIECE)
_VIEW = memoryview(_BUFFER)
_BODY = _VIEW[_HEAD:]


class Source(Protocol):
    """The source of a stream, and how to ask for it."""

    def open(self) -> "Opened":
        """Start connecting."""


@define(eq=False)
class Opened:
    """
    A descriptor that leads to a server.

    @ivar request: what to send when it is connected; empty for a pipe.
    @ivar close: frees everything. @raise Failed: if a program exited with an error.
    """

    fd: int
    request: bytes
    decoder: Decoder
    close: Callable[[], None]


@frozen
class Address:
    """A URL on this machine."""

    port: int
    path: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    def connect(self) -> socket.socket:
        connecting = socket.socket()
        connecting.setblocking(False)
        code = connecting.connect_ex(("127.0.0.1", self.port))
        if code not in (0, errno.EINPROGRESS):
            connecting.close()
            raise Failed(f"{self.url}: {os.strerror(code)}")
        return connecting


@frozen
class Get(Address):
    """A GET request, on a connection of its own."""

    def open(self) -> Opened:
        connecting = self.connect()
        request = f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n"
        return Opened(connecting.fileno(), request.encode(), Http(), connecting.close)


#: Any key will do: the answer to it is not checked here.
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@frozen
class Socket(Address):
    """A WebSocket that is only read."""

    binary: bool

    def open(self) -> Opened:
        connecting = self.connect()
        request = (
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        decoder = WebSocket(newline=not self.binary)
        return Opened(connecting.fileno(), request.encode(), decoder, connecting.close)


@frozen
class Pipe:
    """A program whose standard output is the stream."""

    argv: Sequence[str]

    def open(self) -> Opened:
        program = subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert program.stdout is not None
        pipe, decoder = program.stdout, Raw()

        def close() -> None:
            pipe.close()
            if not decoder.ended:
                program.kill()
            status = program.wait(PATIENCE)
            if decoder.ended and status:
                raise Failed(f"{os.path.basename(self.argv[0])} exited with {status}")

        return Opened(pipe.fileno(), b"", decoder, close)


@define(eq=False)
class Connection:
    """One stream, on its way from a source into a sink."""

    sink: Sink
    opened: Opened
    _rest: bytes = b""

    @property
    def answered(self) -> bool:
        """Return whether the server has begun to answer."""
        return self.opened.decoder.answered

    def send(self) -> None:
        """Send the request when connected."""
        try:
            sent = os.write(self.opened.fd, self.opened.request)
        except OSError as error:
            raise Failed(f"cannot ask: {error.strerror}") from None
        assert sent == len(self.opened.request)

    def receive(self) -> bool:
        """Read what is there; returns whether there may be more."""
        decoder = self.opened.decoder
        try:
            count = os.readv(self.opened.fd, [_BODY])
        except OSError as error:
            raise Cut(f"{error.strerror} while reading") from None
        now = monotonic()
        if not count:
            decoder.eof()
        else:
            start, end = _HEAD - len(self._rest), _HEAD + count
            _BUFFER[start:_HEAD] = self._rest
            start = decoder.decode(_VIEW, start, end, self.sink, now)
            if end - start > _HEAD:
                raise Cut("an endless header")
            self._rest = bytes(_VIEW[start:end])
        if decoder.ended:
            self.sink.ended()
        return not decoder.ended


@define(eq=False)
class Client:
    """Any number of open streams; each is read as soon as it has data."""

    _epoll: select.epoll = field(factory=select.epoll)
    _open: dict[int, Connection] = field(factory=dict)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with ExitStack() as on_exit:
            on_exit.callback(self._epoll.close)
            for connection in self._open.values():
                on_exit.callback(connection.opened.close)

    def __len__(self) -> int:
        return len(self._open)

    def open(self, source: Source, sink: Sink) -> Connection:
        """Start a stream."""
        opened = source.open()
        connection = self._open[opened.fd] = Connection(sink, opened)
        asks = select.EPOLLOUT if opened.request else select.EPOLLIN
        self._epoll.register(opened.fd, asks)
        return connection

    def turn(self) -> list[Connection]:
        """
        Wait for data, and read it; returns the connections that have ended.

        @raise Failed: if the content of a stream is wrong.
        """
        ready = self._epoll.poll(PATIENCE)
        if not ready:
            raise Silent(f"nothing came for {PATIENCE:.0f} s")
        ended = []
        for fd, event in ready:
            connection = self._open[fd]
            if event & select.EPOLLOUT:
                connection.send()
                self._epoll.modify(fd, select.EPOLLIN)
            elif not connection.receive():
                self.close(connection)
                ended.append(connection)
        return ended

    def until(self, done: Callable[[], bool]) -> None:
        """Read until C{done} is true."""
        while not done():
            if not self._open:
                raise Cut("all streams ended too early")
            self.turn()

    def leave(self, connection: Connection, *, unread: bool) -> None:
        """Stop reading a stream without closing it, or go on reading."""
        self._epoll.modify(connection.opened.fd, 0 if unread else select.EPOLLIN)

    def close(self, connection: Connection) -> None:
        """Close a stream."""
        del self._open[connection.opened.fd]
        self._epoll.unregister(connection.opened.fd)
        connection.opened.close()


def drain(source: Source, sink: Sink) -> float:
    """Read one stream to its end; returns the seconds that it took."""
    with Client() as client:
        began = monotonic()
        client.open(source, sink)
        while client:
            client.turn()
        return monotonic() - began


def drain_until_told(source: Source, sinks: Callable[[], Sink]) -> None:
    """
    Read the same stream again and again, in a process of its own.

    After SIGTERM it finishes the last one; it exits with 1 if the content was wrong.
    """
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while not told:
        drain(source, sinks())
