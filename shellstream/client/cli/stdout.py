"""Our standard descriptors, written through at once."""

import asyncio
import os
import socket
import stat
import sys
from collections.abc import Callable
from fcntl import F_GETFL, fcntl
from io import FileIO

from shellstream.client.errors import CannotWrite


class OutputWriter:
    """
    A descriptor to write to. While nobody takes what is written, whoever writes
    waits, and nobody else: signals and the network go on.

    Whether it blocks is shared with all who have it open, such as the shell of the
    terminal; so pipes and terminals are opened once more, for us alone.
    """

    def __init__(self, fd: int, name: str) -> None:
        self._fd = self._given = fd
        self._name = name
        self._write: Callable[[memoryview], int] = self._direct
        self._blocks = False
        self._ours: socket.socket | FileIO | None = None
        try:
            mode = os.fstat(fd).st_mode
        except OSError as error:
            raise CannotWrite(f"{name}: {error.strerror}") from None
        if stat.S_ISSOCK(mode):
            self._socket = self._ours = socket.socket(fileno=os.dup(fd))
            self._write = self._send
        elif stat.S_ISFIFO(mode) or os.isatty(fd):
            self._reopen()

    def _reopen(self) -> None:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            self._ours = FileIO(os.open(f"/proc/self/fd/{self._fd}", flags), "w")
            self._fd = self._ours.fileno()
        except OSError:  # another user's terminal, no Linux, or nobody reads
            self._blocks = os.get_blocking(self._fd)

    async def write(self, data: bytes) -> None:
        """
        Write all of C{data}.

        @raise BrokenPipeError: if nobody reads.
        @raise CannotWrite: for any other reason.
        """
        left = memoryview(data)
        while left:
            try:
                if self._blocks:
                    loop = asyncio.get_running_loop()
                    count = await loop.run_in_executor(None, self._direct, left)
                else:
                    count = self._write(left)
                left = left[count:]
            except BlockingIOError:
                await self._writable()
            except (BrokenPipeError, ConnectionResetError):
                raise BrokenPipeError from None
            except OSError as error:
                raise CannotWrite(f"{self._name}: {error.strerror}") from None

    def close(self) -> None:
        """Give back what was opened here."""
        if self._ours is not None:
            self._ours.close()

    def watch(self, gone: Callable[[], object]) -> None:
        """Tell as soon as nobody reads, not only at the next byte, as tail(1)."""
        pipe = stat.S_ISFIFO(os.fstat(self._fd).st_mode)
        # A pipe that is open for reading too is never without a reader.
        to_write = fcntl(self._given, F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        if sys.platform == "linux" and pipe and to_write:
            # The writing end of a pipe is never readable: it can only break.
            asyncio.get_running_loop().add_reader(self._fd, gone)

    def _direct(self, data: memoryview) -> int:
        return os.write(self._fd, data)

    def _send(self, data: memoryview) -> int:
        return self._socket.send(data, socket.MSG_DONTWAIT)

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()

        def once() -> None:
            loop.remove_writer(self._fd)
            ready.set_result(None)

        loop.add_writer(self._fd, once)
        await ready


def occupy() -> None:
    """
    See that no connection of ours becomes a standard descriptor that was closed.

    @raise CannotWrite: if that is standard output.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            if fd == 1:
                raise CannotWrite("standard output is closed") from None
            taken = os.open(os.devnull, os.O_RDWR)
            assert taken == fd, taken  # the lowest that is free
