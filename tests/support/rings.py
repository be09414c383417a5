"""Ring files with a known content."""

from shellstream.model.events import Chunk, Stream
from shellstream.storage.ring_file import RingFile


def pattern(offset: int, size: int) -> bytes:
    """Return the output of these tests at an offset: no two parts look alike."""
    numbers = range(offset // 4, (offset + size) // 4 + 1)
    whole = b"".join((each * 2654435761 % (1 << 32)).to_bytes(4) for each in numbers)
    return whole[offset % 4 :][:size]


def write(file: RingFile, *sizes: int) -> None:
    for size in sizes:
        data = pattern(file.end, size)
        file.append(Chunk(file.end, Stream.STDOUT, file.end, data))


def replay(file: RingFile, size: int = 1 << 16) -> bytes:
    """Read all output that is kept."""
    offset, found = file.start, b""
    while offset < file.end:
        for chunk in file.read(offset, size):
            assert chunk.offset == offset, (chunk, offset)
            offset, found = chunk.end, found + chunk.data
    return found
