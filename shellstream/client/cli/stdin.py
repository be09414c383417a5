"""Standard input, on its way to a run."""

import asyncio
import os
import stat
from collections.abc import Callable

from shellstream.client.errors import CannotRead
from shellstream.client.feed import PIECE


def is_given(fd: int = 0) -> bool:
    """
    Whether a descriptor is input that somebody gave us: a pipe, a file, a socket;
    no terminal, which others type at, and not C{/dev/null}.
    """
    status = os.fstat(fd)
    return not (os.isatty(fd) or os.path.samestat(status, os.stat(os.devnull)))


class StdinReader:
    """
    An async iterator of what a descriptor gives, the moment that it is there.

    What comes while the last piece is under way is gathered for the next, up to so
    much; then whoever writes has to wait.
    """

    def __init__(
        self,
        fd: int,
        name: str,
        heed: Callable[[bytes], bytes] = lambda data: data,
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param heed: sees all that comes as soon as it does, however long the last
            piece is under way, and tells what of it is to be sent.
        @param ended: is called at the end of it, as early.
        """
        self._fd = fd
        self._name = name
        self._heed = heed
        self._ended = ended
        self._ours: int | None = None
        self._gathered = bytearray()
        self._over = self._reading = self._polled = False
        self._error: CannotRead | None = None
        self._news: asyncio.Future[None] | None = None
        if stat.S_ISFIFO(os.fstat(fd).st_mode) or os.isatty(fd):
            self._reopen()
        try:
            self._watch()
            self._polled = True
        except PermissionError:  # a file: there is always something, or the end
            self._reading = False

    def _reopen(self) -> None:
        # Once more, for us alone: see Out.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            self._fd = self._ours = os.open(f"/proc/self/fd/{self._fd}", flags)
        except OSError:  # another user's terminal, or no Linux
            return

    def __aiter__(self) -> "StdinReader":
        return self

    async def __anext__(self) -> bytes:
        while not self._gathered:
            if self._error is not None:
                raise self._error
            if self._over:
                raise StopAsyncIteration
            if not self._polled:
                self._read()
                continue
            self._watch()
            self._news = asyncio.get_running_loop().create_future()
            try:
                await self._news
            finally:
                self._news = None
        data = bytes(self._gathered)
        self._gathered.clear()
        if self._polled and not self._over:
            self._watch()
        return data

    def close(self) -> None:
        """Read no more. Harmless when repeated."""
        self._unwatch()
        if self._ours is not None:
            os.close(self._ours)
            self._ours = None
        self._over = True

    def _watch(self) -> None:
        if not self._reading:
            asyncio.get_running_loop().add_reader(self._fd, self._read)
            self._reading = True

    def _unwatch(self) -> None:
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._reading = False

    def _read(self) -> None:
        try:
            data = os.read(self._fd, PIECE - len(self._gathered))
        except BlockingIOError:  # another reader of this pipe was faster
            return
        except OSError as error:
            self._error = CannotRead(f"{self._name}: {error.strerror}")
            data = b""
        if data:
            self._gathered += self._heed(data)
        else:
            self._over = True
            self._ended()
        if self._over or len(self._gathered) >= PIECE:
            self._unwatch()
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
