"""Sends a run its standard input, over as many connections as it takes."""

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import NamedTuple, Protocol

from .errors import ContractViolation, Refused, ServerError
from .events import RunInfo
from .retry import MAX_DELAY, RETRYABLE, RetryPolicy, is_temporary

#: The most bytes of one request: few enough that a slow network sends them before the
#: client takes the server for dead.
CHUNK_SIZE = 1 << 18


class Tty(NamedTuple):
    """
    A terminal for a run: its size, 1 to 4096 each way, and its type as in C{TERM}.
    """

    rows: int = 24
    columns: int = 80
    term: str = "xterm"


class SendChunk(Protocol):
    """Sends a chunk of input; returns how many bytes of all input the run has taken."""

    def __call__(
        self, run: str, data: bytes, *, offset: int, eof: bool
    ) -> Awaitable[int]: ...


class StdinFeeder:
    """
    Sends input to a run, each byte once and in order, a chunk at a time.

    After any error it asks how much the run has taken, and continues from there. It
    ends without an error when the run takes no more.

    @ivar offset: bytes of input that the run is known to have taken.
    """

    def __init__(
        self,
        run: str,
        offset: int,
        *,
        send: SendChunk,
        show: Callable[[str], Awaitable[RunInfo]],
        seconds: Callable[[], float],
        retry: RetryPolicy,
    ) -> None:
        """
        @param show: asks for the state of the run.
        @param seconds: a monotonic clock.
        """
        self.offset = offset
        self._run = run
        self._send = send
        self._show = show
        self._seconds = seconds
        self._retry = retry

    async def feed(self, source: AsyncIterable[bytes], *, eof: bool = True) -> None:
        """
        Send all of C{source} without delay, and then its end, if C{eof} is set.

        More is read from it only when the run has taken the last chunk, so that no
        more than one is in memory.
        """
        async for data in source:
            for start in range(0, len(data), CHUNK_SIZE):
                chunk = data[start : start + CHUNK_SIZE]
                if not await self._send_chunk(chunk, eof=False):
                    return
        if eof:
            await self._send_chunk(b"", eof=True)

    async def _send_chunk(self, data: bytes, *, eof: bool) -> bool:
        """Send a chunk until the run has taken it; L{False} if it takes no more."""
        end = self.offset + len(data)
        while True:
            began = self._seconds()
            rest = data[self.offset - end :] if self.offset < end else b""
            try:
                taken = await self._send(self._run, rest, offset=self.offset, eof=eof)
            except RETRYABLE as caught:
                error = caught
                # 409: not at this offset, or not any more. Which, its state tells.
                conflict = isinstance(error, Refused) and error.status == 409
                if not (conflict or is_temporary(error)):
                    raise
            else:
                self._advance(taken, end, end)
                self._retry.succeeded()
                return True
            lasted = self._seconds() - began
            if not conflict:
                await self._wait(error)
            run = await self._show_run()
            stdin = run["stdin"]
            known = None if stdin is None else stdin["offset"]
            if known is not None and known > self.offset:
                self._advance(known, self.offset, end)
                self._retry.succeeded()
            elif lasted > MAX_DELAY:
                self._retry.succeeded()  # it was the command that did not read
            if run["ended"] is not None or stdin is None or not stdin["open"]:
                return False
            if self.offset == end and not eof:
                return True
            if conflict:
                await self._wait(error)

    async def _show_run(self) -> RunInfo:
        while True:
            try:
                run = await self._show(self._run)
            except RETRYABLE as error:
                if not is_temporary(error):
                    raise
                await self._wait(error)
            else:
                self._retry.server_responded()
                return run

    def _advance(self, offset: int, least: int, most: int) -> None:
        """@raise ContractViolation: if that offset is impossible."""
        if not least <= offset <= most:
            why = (
                f"{offset} bytes of its input are taken, where {least} to {most} are "
                "possible; does another client send input too?"
            )
            raise ContractViolation(f"run {self._run}", why)
        self.offset = offset

    async def _wait(self, error: ServerError) -> None:
        advice = f"{self.offset} bytes were taken"
        await self._retry.wait(error, f"input of run {self._run}", advice)
