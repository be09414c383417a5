"""What goes into a run, over as many connections as it takes."""

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import NamedTuple, Protocol

from .errors import ContractViolation, Refused, ServerError
from .events import RunInfo
from .retry import MAX_DELAY, RETRYABLE, RetryPolicy, is_temporary

#: The most that is sent at once, in bytes: little enough to come through a slow
#: network before the server counts as silent.
CHUNK_SIZE = 1 << 18


class Tty(NamedTuple):
    """
    A terminal for a run: its size, and its type as C{TERM} names it.

    Rows and columns are 1 to 4096.
    """

    rows: int = 24
    columns: int = 80
    term: str = "xterm"


class SendChunk(Protocol):
    """Sends a piece of input; returns how much of it all is taken by then."""

    def __call__(
        self, run: str, data: bytes, *, offset: int, eof: bool
    ) -> Awaitable[int]: ...


class StdinFeeder:
    """
    Puts bytes into a run, each once and in order, a piece at a time.

    After anything but a plain yes it looks how much the run has taken, and goes on
    from there. It ends without an error when the run takes no more.

    @ivar offset: how much of its input the run is known to have taken, in bytes.
    """

    def __init__(
        self,
        run: str,
        offset: int,
        *,
        send: SendChunk,
        show: Callable[[str], Awaitable[RunInfo]],
        seconds: Callable[[], float],
        tries: RetryPolicy,
    ) -> None:
        """
        @param show: tells how the run stands.
        @param seconds: tells the time.
        """
        self.offset = offset
        self._run = run
        self._send = send
        self._show = show
        self._seconds = seconds
        self._tries = tries

    async def feed(self, source: AsyncIterable[bytes]) -> None:
        """
        Send what C{source} gives, the moment that it does, and that it has ended.

        The next is asked for when the run has taken the last, so nothing is held
        but that.
        """
        async for data in source:
            for start in range(0, len(data), CHUNK_SIZE):
                if not await self._put(data[start : start + CHUNK_SIZE], eof=False):
                    return
        await self._put(b"", eof=True)

    async def _put(self, data: bytes, *, eof: bool) -> bool:
        """Have a piece taken; L{False} if the run takes no more."""
        end = self.offset + len(data)
        while True:
            began = self._seconds()
            rest = data[self.offset - end :] if self.offset < end else b""
            try:
                taken = await self._send(self._run, rest, offset=self.offset, eof=eof)
            except RETRYABLE as error:
                refused = isinstance(error, Refused) and error.status == 409
                if not (refused or is_temporary(error)):
                    raise
                why = error
            else:
                self._take(taken, end, end)
                self._tries.well()
                return True
            lasted = self._seconds() - began
            if not refused:
                await self._wait(why)
            found = await self._look()
            stdin = found["stdin"]
            known = None if stdin is None else stdin["offset"]
            if known is not None and known > self.offset:
                self._take(known, self.offset, end)
                self._tries.well()
            elif lasted > MAX_DELAY:
                self._tries.well()  # nothing is broken: the command does not read
            if found["ended"] is not None or stdin is None or not stdin["open"]:
                return False
            if self.offset == end and not eof:
                return True
            if refused:
                await self._wait(why)

    async def _look(self) -> RunInfo:
        """How the run stands."""
        while True:
            try:
                found = await self._show(self._run)
            except RETRYABLE as error:
                if not is_temporary(error):
                    raise
                await self._wait(error)
            else:
                self._tries.reached()
                return found

    def _take(self, offset: int, least: int, most: int) -> None:
        """
        @raise Nonsense: if that cannot be.
        """
        if not least <= offset <= most:
            why = (
                f"{offset} bytes of its input are taken, where there can be "
                f"{least} to {most}; does somebody else send some, too?"
            )
            raise ContractViolation(f"run {self._run}", why)
        self.offset = offset

    async def _wait(self, error: ServerError) -> None:
        if not await self._tries.wait(error):
            what, then = f"input of run {self._run}", f"{self.offset} bytes were taken"
            raise self._tries.given_up(what, error, then) from error
