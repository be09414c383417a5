"""The events of a run's life, as values."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache

from attrs import frozen

#: The time of day, in microseconds since 1970 (UTC). It may jump, even backwards, so
#: durations are measured with an C{IReactorTime} instead.
WallClock = Callable[[], int]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(time: int) -> str:
    """A time in microseconds since 1970, as RFC 3339 writes it in UTC."""
    seconds, micros = divmod(time, 1_000_000)
    return f"{_second(seconds)}.{micros:06}Z"


@lru_cache(64)  # a viewer gets many chunks of the same second
def _second(time: int) -> str:
    return f"{utc(time * 1_000_000):%Y-%m-%dT%H:%M:%S}"


def utc(time: int) -> datetime:
    """
    A time in microseconds since 1970 as a date, by arithmetic: functions of the C
    library end in 2038 where its C{time_t} has 32 bits (Debian 12 armhf).
    """
    return _EPOCH + timedelta(microseconds=time)


class Stream(Enum):
    """The file descriptor that a child wrote to."""

    STDOUT = "stdout"
    STDERR = "stderr"


@frozen
class Chunk:
    """
    Some bytes of the output, from C{offset} on.

    @ivar time: when the daemon read them, in microseconds since 1970 (UTC).
    """

    offset: int
    stream: Stream
    time: int
    data: bytes

    @property
    def end(self) -> int:
        """The offset of the first byte after this chunk."""
        return self.offset + len(self.data)

    def since(self, offset: int) -> "Chunk":
        """The part of this chunk that begins at C{offset}."""
        if offset == self.offset:
            return self  # all readers share one object: nothing is copied
        return Chunk(offset, self.stream, self.time, self.data[offset - self.offset :])

    def until(self, offset: int) -> "Chunk":
        """The part of this chunk before C{offset}."""
        if offset >= self.end:
            return self
        return Chunk(
            self.offset, self.stream, self.time, self.data[: offset - self.offset]
        )


@frozen
class Gap:
    """Bytes that are not kept any more: from C{offset} on, before C{end}."""

    offset: int
    end: int


@frozen
class ExitStatus:
    """
    How a child ended: with an exit code, or by a signal; the other is L{None}. Both are
    if other code has reaped it: then its output does not count as complete.

    @ivar cpu: seconds of processor time that it and its reaped children took.
    @ivar memory: its peak resident memory, in bytes.
    @ivar output_complete: whether all of its output could be read.
    """

    code: int | None
    signal: int | None
    cpu: float | None = None
    memory: int | None = None
    output_complete: bool = True


class State(Enum):
    """The state of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    EXITED = "exited"
    SIGNALED = "signaled"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    #: Whether no other state follows.
    ended: bool

    def __init__(self, value: str) -> None:
        self.ended = value not in ("queued", "running")


class Outcome(Enum):
    """
    How an ended run went: a success exited with the code 0, every other one is a
    failure.
    """

    SUCCESS = "success"
    FAILURE = "failure"


class Reason(Enum):
    """Why the daemon ended a run."""

    TIMEOUT = "timeout"
    IDLE_TIMEOUT = "idle-timeout"
    CANCELLED = "cancelled"
    DISCONNECTED = "disconnected"
    OUTPUT_LIMIT = "output-limit"
    SHUTDOWN = "shutdown"
    ERROR = "error"


class OnDisconnect(Enum):
    """What the daemon does with a run whose last viewer has left."""

    CANCEL = "cancel"
    KEEP = "keep"


@frozen
class End:
    """
    How a run ended.

    @ivar signal: its name for kill(1), such as C{TERM}; a number if it has no name.
    @ivar reason: L{None} if the command ended by itself.
    @ivar offset: the length of the whole output, in bytes.
    """

    state: State
    code: int | None
    signal: str | None
    reason: Reason | None
    offset: int
