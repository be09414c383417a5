"""Tests for L{shellstream.output.short_output}."""

from zlib import crc32

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import Chunk, Stream
from shellstream.output.log import LogDamaged, OutputLog
from shellstream.output.short_output import MAX_SHORT, ShortOutput, decode, encode
from tests.support.logs import FakeLogStorage

SAID = st.tuples(
    st.sampled_from(Stream),
    st.integers(0, (1 << 64) - 1),
    st.binary(min_size=1, max_size=200),
)


def chunks_of(said: list[tuple[Stream, int, bytes]]) -> list[Chunk]:
    """These as the chunks of an output."""
    chunks: list[Chunk] = []
    for stream, time, data in said:
        offset = chunks[-1].end if chunks else 0
        chunks.append(Chunk(offset, stream, time, data))
    return chunks


class EncodingTests(SynchronousTestCase):
    """What a record has of an output."""

    @given(st.lists(SAID, max_size=8))
    def test_round_trip(self, said: list[tuple[Stream, int, bytes]]) -> None:
        """All chunks come back as they were; no output takes nothing."""
        chunks = chunks_of(said)
        self.assertEqual(decode(encode(chunks)), chunks)
        self.assertEqual(bool(encode(chunks)), bool(chunks))

    @given(st.lists(SAID, min_size=1, max_size=8), st.data())
    def test_damage(
        self, said: list[tuple[Stream, int, bytes]], draw: st.DataObject
    ) -> None:
        """A byte that is another, or missing, is found."""
        data = bytearray(encode(chunks_of(said)))
        where = draw.draw(st.integers(0, len(data) - 1))
        self.assertRaises(LogDamaged, decode, bytes(data[:where] or b"x"))
        data[where] ^= draw.draw(st.integers(1, 255))
        self.assertRaises(LogDamaged, decode, bytes(data))

    @given(st.binary(min_size=1))
    def test_impossible(self, data: bytes) -> None:
        """What no output leaves is damaged, though its checksum matches."""
        data += crc32(data).to_bytes(4, "big")
        self.assertRaises(LogDamaged, decode, data)


@define(eq=False)
class Case:
    """A log of a short output, and the files that it made."""

    retain: int = 1 << 20
    error: OSError | None = None
    files: list[FakeLogStorage] = field(factory=list)
    output: ShortOutput = field(init=False)
    log: OutputLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.output = ShortOutput(self.make_file, self.retain)
        self.log = OutputLog(1 << 16, self.output)

    def make_file(self) -> FakeLogStorage:
        if self.error is not None:
            raise self.error
        self.files.append(FakeLogStorage(self.retain))
        return self.files[-1]

    def say(self, data: bytes) -> None:
        self.log.append(Stream.STDOUT, 1, data)

    def in_record(self) -> list[bytes]:
        """The data of all chunks that the record has."""
        return [each.data for each in decode(self.output.encoded())]

    def in_file(self) -> bytes:
        """All that the file has; empty without a file."""
        return b"".join(chunk.data for each in self.files for chunk in each.chunks)


class MoveTests(SynchronousTestCase):
    """A short output needs no file, and a longer one moves into one as a whole."""

    def test_short(self) -> None:
        """What fits into the record is there, and can be read from any offset."""
        case = Case()
        case.say(b"hello ")
        case.say(b"world")
        self.assertEqual(
            [each.data for each in decode(case.output.encoded())][1:], [b"world"]
        )
        self.assertEqual(case.output.stored, len(case.output.encoded()))
        ended = ShortOutput(case.make_file, chunks=decode(case.output.encoded()))
        self.assertEqual((ended.start, ended.end), (0, 11))
        self.assertEqual(ended.read(8, 2)[0].data, b"rl")
        self.assertEqual(case.files, [])

    def test_long(self) -> None:
        """What does not fit is in the file with all before it, and in no record."""
        case = Case()
        case.say(b"x")
        case.say(b"y" * MAX_SHORT)
        case.say(b"z")
        self.assertEqual(case.in_file(), b"x" + b"y" * MAX_SHORT + b"z")
        self.assertEqual(case.output.encoded(), b"")
        self.assertEqual(case.output.end, MAX_SHORT + 2)

    def test_retained(self) -> None:
        """An output of which less is kept than fits into a record moves, too."""
        case = Case(retain=10)
        self.assertEqual(case.log.reserve(10), 0)
        case.say(b"x" * 11)
        self.assertEqual(len(case.files), 1)

    def test_settled(self) -> None:
        """Once its record is written, all that the record has not is in the file."""
        case = Case()
        case.say(b"one")
        case.output.encoded()
        case.output.settle()
        self.assertEqual(case.files, [])
        case.say(b"two")
        self.assertEqual(case.in_file(), b"onetwo")

    def test_said_meanwhile(self) -> None:
        """What was said while the record was written moves when that is done."""
        case = Case()
        case.say(b"one")
        case.output.encoded()
        case.say(b"two")
        self.assertEqual(case.in_file(), b"")
        case.output.settle()
        self.assertEqual(case.in_file(), b"onetwo")

    def test_no_file(self) -> None:
        """Without a file it keeps what it has, and the log goes on in memory."""
        case = Case(error=OSError(28, "No space left on device"))
        case.say(b"one")
        case.say(b"y" * MAX_SHORT)
        self.assertIs(case.log.storage_error, case.error)
        self.assertEqual(
            [each.data for each in decode(case.output.encoded())], [b"one"]
        )
        self.assertEqual(case.log.read(0)[0].data, b"one")
