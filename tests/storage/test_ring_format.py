"""Tests for L{shellstream.storage.ring_format}."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import Chunk, Stream
from shellstream.output.log import READ_SIZE, LogDamaged
from shellstream.storage.ring_format import (
    FRAME,
    RECORDS,
    SECTOR_HEAD,
    SHIFTS,
    Cursor,
    Extent,
    FileSignature,
    Header,
    decode,
    encode,
    scan,
    sector_head,
    seek,
)
from shellstream.storage.ring_recovery import end_of

SIGNATURE = FileSignature.of(4096, 0x5A17)
CHUNKS = st.lists(
    st.tuples(
        st.sampled_from(Stream),
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.binary(min_size=1, max_size=60),
    ),
    min_size=1,
    max_size=5,
)
OFFSETS = st.integers(0, (1 << 64) - 1000)


def written(chunks: list[tuple[Stream, int, bytes]], offset: int) -> list[Chunk]:
    found = []
    for stream, time, data in chunks:
        found.append(Chunk(offset, stream, time, data))
        offset += len(data)
    return found


def sector(chunks: list[Chunk], sequence: int = 7) -> bytes:
    """A sector that holds these, each in a record of its own."""
    return head(sequence, chunks[0].offset) + records(chunks, sequence)


def head(sequence: int, offset: int) -> bytes:
    extent = Extent(0, sequence, offset, 1, SECTOR_HEAD)
    return sector_head(SIGNATURE, extent, b"a boot")


def records(chunks: list[Chunk], sequence: int) -> bytes:
    return b"".join(
        b"".join(encode(SIGNATURE, sequence, chunk, 0, len(chunk.data)))
        for chunk in chunks
    )


def first(offset: int) -> Cursor:
    """The first record of a sector."""
    return Cursor(SECTOR_HEAD, offset)


class RecordTests(SynchronousTestCase):
    """A sector decodes to its records, or is an error."""

    @given(CHUNKS, OFFSETS, st.binary(max_size=80))
    def test_round_trip(self, chunks, offset, rest) -> None:
        """All chunks are decoded, whatever bytes follow."""
        there = written(chunks, offset)
        end = there[-1].end
        lie = sector(there) + rest
        found, after = decode(SIGNATURE, lie, first(offset), offset, end)
        self.assertEqual((found, after.offset), (there, end))
        self.assertEqual(end_of(SIGNATURE, lie, offset, 0), end)

    @given(CHUNKS, st.data())
    def test_any_part(self, chunks, data) -> None:
        """Reading begins and ends at any byte."""
        there = written(chunks, 10)
        whole = b"".join(each.data for each in there)
        begin = data.draw(st.integers(10, there[-1].end - 1))
        end = data.draw(st.integers(begin + 1, there[-1].end))
        lie = sector(there)
        place = seek(SIGNATURE, lie, first(10), begin)
        found, after = decode(SIGNATURE, lie, place, begin, end)
        self.assertEqual(found[0].offset, begin)
        if end < there[-1].end:
            self.assertEqual(after, seek(SIGNATURE, lie, place, end))
        read = b"".join(each.data for each in found)
        self.assertEqual(read, whole[begin - 10 : end - 10])

    @given(CHUNKS, st.data())
    def test_seek(self, chunks, data) -> None:
        """Any byte's record is found from each record before it, as by a scan."""
        there = written(chunks, 10)
        lie = sector(there)
        places = [
            Cursor(at, head.offset) for at, head in scan(SIGNATURE, lie, first(10))
        ]
        offset = data.draw(st.integers(10, there[-1].end - 1))
        wanted = max(each for each in places if each.offset <= offset)
        begin = data.draw(st.sampled_from(places[: places.index(wanted) + 1]))
        self.assertEqual(seek(SIGNATURE, lie, begin, offset), wanted)
        self.assertRaises(LogDamaged, seek, SIGNATURE, lie, begin, there[-1].end)

    def test_many(self) -> None:
        """One call decodes a limited number of records."""
        there = written([(Stream.STDOUT, 0, b"x")] * 1000, 0)
        lie = sector(there)
        found, after = decode(SIGNATURE, lie, first(0), 0, 1000)
        self.assertEqual((found, after.offset), (there[:RECORDS], RECORDS))
        place = seek(SIGNATURE, lie, first(0), 500)
        found, _ = decode(SIGNATURE, lie, place, 500, 1000)
        self.assertEqual(found, there[500 : 500 + RECORDS])

    @given(CHUNKS, st.data())
    def test_damage(self, chunks, data) -> None:
        """A changed byte is never taken for output: reading stops before it."""
        there = written(chunks, 0)
        lie = bytearray(sector(there))
        at = data.draw(st.integers(SECTOR_HEAD, len(lie) - 1))
        lie[at] ^= data.draw(st.integers(1, 255))
        bad = there[0]
        passed = SECTOR_HEAD
        for bad in there:
            passed += FRAME + len(bad.data)
            if at < passed:
                break
        if bad is there[0]:
            with self.assertRaises(LogDamaged):
                decode(SIGNATURE, bytes(lie), first(0), 0, there[-1].end)
        else:
            found, _ = decode(SIGNATURE, bytes(lie), first(0), 0, there[-1].end)
            self.assertEqual(found, there[: there.index(bad)])

    def test_intact_behind_damage(self) -> None:
        """What is behind a damaged payload can be read."""
        chunks = [(Stream.STDOUT, 0, b"a"), (Stream.STDOUT, 1, b"b")]
        there = written([*chunks, (Stream.STDERR, 2, b"cd")], 5)
        lie = sector(there).replace(b"b", b"x")
        self.assertEqual(end_of(SIGNATURE, lie, 5, 0), 9)
        place = seek(SIGNATURE, lie, first(5), 7)
        self.assertEqual(decode(SIGNATURE, lie, place, 7, 9)[0], there[2:])

    def test_earlier_sequence(self) -> None:
        """A record of an earlier sequence is ignored, even if its offset fits."""
        there = written([(Stream.STDOUT, 0, b"a"), (Stream.STDOUT, 1, b"b")], 0)
        lie = sector(there[:1], sequence=9) + records(there[1:], sequence=8)
        self.assertEqual(len(list(scan(SIGNATURE, lie, first(0)))), 1)
        self.assertRaises(LogDamaged, seek, SIGNATURE, lie, first(0), 1)

    def test_other_file(self) -> None:
        """Output that is a record of some other file is not taken for one of this."""
        other = FileSignature.of(4096, 1)
        chunk = Chunk(0, Stream.STDOUT, 0, b"a")
        lie = head(7, 0) + b"".join(encode(other, 7, chunk, 0, 1))
        self.assertEqual(list(scan(SIGNATURE, lie, first(0))), [])

    def test_read_size(self) -> None:
        """Two of a log's reads or appends fill a large sector."""
        self.assertEqual(2 * (READ_SIZE + FRAME) + SECTOR_HEAD, 1 << max(SHIFTS))

    def test_follows(self) -> None:
        """One sector follows another if it is its next sequence and its offset fits."""

        def begins(sequence: int, offset: int) -> Header:
            found = Header.at(head(sequence, offset))
            assert found is not None
            return found

        older, room = begins(0xFFFF, 100), SIGNATURE.sector - SECTOR_HEAD - FRAME
        self.assertTrue(begins(0x10000, 100 + room).follows(older))
        self.assertFalse(begins(0x10000, 101 + room).follows(older))
        self.assertFalse(begins(0x10000, 100).follows(older))
        self.assertFalse(begins(1, 101).follows(older))

    @given(st.integers(0, 1 << 40))
    def test_sector(self, retain) -> None:
        """A sector is an eighth of retain or less, from 512 bytes to 256 KiB."""
        size = FileSignature.of(retain, 0).sector
        self.assertIn(size, [1 << shift for shift in SHIFTS])
        self.assertTrue(size == 512 or size <= retain / 8)
        self.assertTrue(size == 1 << 18 or 2 * size > retain / 8)
