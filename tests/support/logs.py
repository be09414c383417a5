"""A stand-in for a log's storage."""

from attrs import define, field

from shellstream.model.events import Chunk
from shellstream.output.log import LogDamaged


@define
class FakeLogStorage:
    """A L{LogStorage} in memory, of C{retain} bytes, which fails when told to."""

    retain: int = 1 << 30
    chunks: list[Chunk] = field(factory=list)
    end: int = 0
    closed: int = 0
    refuses: OSError | None = None
    lost: OSError | LogDamaged | None = None

    @property
    def start(self) -> int:
        return max(0, self.end - self.retain)

    @property
    def stored(self) -> int:
        return sum(len(each.data) for each in self.chunks)

    def append(self, chunk: Chunk) -> None:
        assert chunk.offset == self.end
        if self.refuses is not None:
            raise self.refuses
        self.chunks.append(chunk)
        self.end = chunk.end

    def read(self, offset: int, size: int) -> list[Chunk]:
        assert self.start <= offset < self.end
        assert not self.closed
        if self.lost is not None:
            raise self.lost
        found = next(each for each in self.chunks if each.end > offset)
        return [found.since(offset).until(offset + size)]

    def reserve(self, size: int) -> int:
        return max(0, self.end + size - self.retain)

    def close(self) -> None:
        self.closed += 1
