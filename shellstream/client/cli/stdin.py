"""Standard input, on its way to a run."""

import os
import stat
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from shellstream.client.errors import CannotRead
from shellstream.client.feed import CHUNK_SIZE


def is_redirected(fd: int = 0) -> bool:
    """
    Whether a descriptor is input for a command: a pipe, a file or a socket. A terminal
    is not, since it belongs to the shell's other programs too, nor is C{/dev/null}.
    """
    status = os.fstat(fd)
    return not (os.isatty(fd) or os.path.samestat(status, os.stat(os.devnull)))


@implementer(IReadDescriptor)
class StdinReader:
    """
    An async iterator over what a descriptor gives, without delay.

    Data that comes while the last chunk is being sent is collected for the next one,
    up to L{CHUNK_SIZE}; then the writer has to wait.
    """

    def __init__(
        self,
        reactor: Any,
        fd: int,
        name: str,
        filter_data: Callable[[bytes], bytes] = lambda data: data,
        on_eof: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param name: for error messages.
        @param filter_data: gets all data when it comes, however long the last chunk
            takes to send, and returns what to send of it.
        @param on_eof: called when the input ends, as early.
        """
        self._reactor = reactor
        self._fd = fd
        self._name = name
        self._filter_data = filter_data
        self._on_eof = on_eof
        self._opened: int | None = None
        self._collected = bytearray()
        self._ended = False
        self._error: CannotRead | None = None
        self._waiting: Deferred[None] | None = None
        mode = os.fstat(fd).st_mode
        reopens = stat.S_ISFIFO(mode) or os.isatty(fd)
        # epoll(7) refuses files; they always have data, or their end.
        self._pollable = reopens or stat.S_ISSOCK(mode)
        if reopens:
            self._reopen()
        self._watch()

    def _reopen(self) -> None:
        # A file description of our own: see OutputWriter.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            self._fd = self._opened = os.open(f"/proc/self/fd/{self._fd}", flags)
        except OSError:  # another user's terminal, or there is no /proc
            return

    def __aiter__(self) -> "StdinReader":
        return self

    async def __anext__(self) -> bytes:
        while not self._collected:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            if not self._pollable:
                self.doRead()
                continue
            self._watch()
            self._waiting = Deferred()
            try:
                await self._waiting
            finally:
                self._waiting = None
        data = bytes(self._collected)
        self._collected.clear()
        self._watch()
        return data

    def close(self) -> None:
        """Read no more. Harmless when repeated."""
        self._ended = True
        self._reactor.removeReader(self)
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None

    def _watch(self) -> None:
        if self._pollable and not self._ended:
            self._reactor.addReader(self)

    # IReadDescriptor

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return self._name

    def doRead(self) -> None:
        try:
            data = os.read(self._fd, CHUNK_SIZE - len(self._collected))
        except BlockingIOError:  # another reader of this pipe was faster
            return
        except OSError as error:
            self._error = CannotRead(f"{self._name}: {error.strerror}")
            data = b""
        if data:
            self._collected += self._filter_data(data)
        else:
            self._ended = True
            self._on_eof()
        if self._ended or len(self._collected) >= CHUNK_SIZE:
            self._reactor.removeReader(self)
        if self._waiting is not None and not self._waiting.called:
            self._waiting.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        # The reactor has seen that the last writer closed, and watches no more.
        # Another one may have opened a named pipe since, so only read(2) tells.
        self.doRead()
        self._watch()
