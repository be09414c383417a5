"""What happens in a run, as values."""

from enum import Enum

from attrs import frozen


class Stream(Enum):
    """Which of the child's file descriptors some output came from."""

    STDOUT = "stdout"
    STDERR = "stderr"


@frozen
class Chunk:
    """Bytes read from the child in one go, and where they start in the output."""

    offset: int
    stream: Stream
    data: bytes

    @property
    def end(self) -> int:
        """The offset of the first byte after this chunk."""
        return self.offset + len(self.data)

    def since(self, offset: int) -> "Chunk":
        """The part of this chunk that begins at C{offset}."""
        if offset == self.offset:
            return self
        return Chunk(offset, self.stream, self.data[offset - self.offset :])


@frozen
class ExitStatus:
    """How a child ended: by itself with C{code}, or killed by C{signal}."""

    code: int | None
    signal: int | None


class Reason(Enum):
    """Why a run ended where that was not its own doing."""

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    DISCONNECTED = "disconnected"
    SHUTDOWN = "shutdown"
