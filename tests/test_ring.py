"""Tests for L{shellstream.ring}."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.events import Chunk, Stream
from shellstream.ring import (
    HEADER,
    SHIFTS,
    Header,
    LogDamaged,
    Mark,
    Piece,
    Ring,
    decode,
    encode,
    newest,
    scan,
)

MARK = Mark.of(4096, 0x5A17)
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
SIZES = st.lists(st.sampled_from([1, 40, 479, 480, 481, 5000]) | st.integers(1, 2000))
RETAINS = st.sampled_from([0, 1, 100, 4096]) | st.integers(0, 10_000)


def written(chunks: list[tuple[Stream, int, bytes]], offset: int) -> list[Chunk]:
    found = []
    for stream, time, data in chunks:
        found.append(Chunk(offset, stream, time, data))
        offset += len(data)
    return found


def sector(chunks: list[Chunk], turn: int = 7) -> bytes:
    """A sector that holds these, each in a record of its own."""
    lie = b""
    for chunk in chunks:
        piece = Piece(len(lie), turn, chunk.offset, len(chunk.data))
        lie += b"".join(encode(MARK, piece, chunk))
    return lie


class RecordTests(SynchronousTestCase):
    """What is written into a sector is read from it, or known to be damaged."""

    @given(CHUNKS, OFFSETS, st.binary(max_size=80))
    def test_round_trip(self, chunks, offset, rest) -> None:
        """All chunks are read again, whatever lies behind them."""
        there = written(chunks, offset)
        end = there[-1].end
        lie = sector(there) + rest
        self.assertEqual(decode(MARK, lie, offset, offset, end), there)
        self.assertEqual(newest(MARK, lie, offset), (offset, end))

    @given(CHUNKS, st.data())
    def test_any_part(self, chunks, data) -> None:
        """Reading begins and ends at any byte."""
        there = written(chunks, 10)
        whole = b"".join(each.data for each in there)
        begin = data.draw(st.integers(10, there[-1].end - 1))
        end = data.draw(st.integers(begin + 1, there[-1].end))
        found = decode(MARK, sector(there), 10, begin, end)
        self.assertEqual(found[0].offset, begin)
        read = b"".join(each.data for each in found)
        self.assertEqual(read, whole[begin - 10 : end - 10])

    @given(CHUNKS, st.data())
    def test_damage(self, chunks, data) -> None:
        """A changed byte is never taken for output: reading stops before it."""
        there = written(chunks, 0)
        lie = bytearray(sector(there))
        at = data.draw(st.integers(0, len(lie) - 1))
        lie[at] ^= data.draw(st.integers(1, 255))
        bad, passed = there[0], 0
        for bad in there:
            passed += HEADER + len(bad.data)
            if at < passed:
                break
        if bad is there[0]:
            with self.assertRaises(LogDamaged):
                decode(MARK, bytes(lie), 0, 0, there[-1].end)
        else:
            found = decode(MARK, bytes(lie), 0, 0, there[-1].end)
            self.assertEqual(found, there[: there.index(bad)])

    def test_intact_behind_damage(self) -> None:
        """Of a sector with a bad payload in it, what is newer is the intact part."""
        chunks = [(Stream.STDOUT, 0, b"a"), (Stream.STDOUT, 1, b"b")]
        there = written([*chunks, (Stream.STDERR, 2, b"cd")], 5)
        lie = sector(there).replace(b"b", b"x")
        self.assertEqual(newest(MARK, lie, 5), (7, 9))
        self.assertEqual(decode(MARK, lie, 5, 7, 9), there[2:])

    def test_earlier_turn(self) -> None:
        """What is left of an earlier turn is no record, even if its offset fits."""
        there = written([(Stream.STDOUT, 0, b"a"), (Stream.STDOUT, 1, b"b")], 0)
        lie = sector(there[:1], turn=9) + sector(there[1:], turn=8)
        self.assertEqual(len(list(scan(MARK, lie, 0))), 1)

    def test_other_file(self) -> None:
        """Output that is a record of some other file is not taken for one of this."""
        other = Mark.of(4096, 1)
        chunk = Chunk(0, Stream.STDOUT, 0, b"a")
        lie = b"".join(encode(other, Piece(0, 7, 0, 1), chunk))
        self.assertEqual(list(scan(MARK, lie, 0)), [])

    def test_follows(self) -> None:
        """One sector follows another if it is its next turn and its offset fits."""

        def head(turn: int, offset: int) -> Header:
            chunk = Chunk(offset, Stream.STDOUT, 0, b"a")
            found = Header.at(b"".join(encode(MARK, Piece(0, turn, offset, 1), chunk)))
            assert found is not None
            return found

        older = head(0xFFFF, 100)
        self.assertTrue(head(0x10000, 100 + MARK.sector - HEADER).follows(older))
        self.assertFalse(head(0x10000, 101 + MARK.sector - HEADER).follows(older))
        self.assertFalse(head(0x10000, 100).follows(older))
        self.assertFalse(head(1, 101).follows(older))

    @given(st.integers(0, 1 << 40))
    def test_sector(self, retain) -> None:
        """A sector is an eighth of what is kept or less, from 512 bytes to 256 KiB."""
        size = Mark.of(retain, 0).sector
        self.assertIn(size, [1 << shift for shift in SHIFTS])
        self.assertTrue(size == 512 or size <= retain / 8)
        self.assertTrue(size == 1 << 18 or 2 * size > retain / 8)


def append(ring: Ring, size: int, *, full: bool = False) -> list[Piece]:
    """All that an append writes where no write fails."""
    floor, stop, done = ring.end - ring.retain, ring.end + size, []
    while ring.end < stop:
        pieces = ring.place(stop - ring.end, floor, full=full)
        if not pieces:
            break
        for piece in pieces:
            ring.commit(piece)
        ring.settle(pieces)
        done += pieces
    return done


def ring(retain: int, most: int = 1 << 50) -> Ring:
    """An empty one, in a file that may grow to C{most} bytes."""
    made = Ring(Mark.of(retain, 0), retain, lambda more: made.size + more <= most)
    return made


class RingTests(SynchronousTestCase):
    """A L{Ring} knows where all is that is promised, and where more may go."""

    @given(RETAINS, SIZES)
    def test_pieces(self, retain, sizes) -> None:
        """An append's pieces are all of it in order, none over a sector's edge."""
        tried = ring(retain)
        for size in sizes:
            offset = tried.end
            for piece in append(tried, size):
                self.assertEqual(piece.offset, offset)
                self.assertGreater(piece.size, 0)
                sector = tried.mark.sector
                self.assertEqual(piece.position // sector, (piece.stop - 1) // sector)
                offset += piece.size
            self.assertEqual(offset, tried.end)

    @given(RETAINS, SIZES)
    def test_keeps(self, retain, sizes) -> None:
        """Exactly what was asked for is kept, unless headers outgrow the payload."""
        tried = ring(retain)
        for size in sizes:
            append(tried, max(size, 40))
            if size <= 2 * retain:
                self.assertEqual(tried.start, max(0, tried.end - retain))

    @given(RETAINS, SIZES, st.integers(0, 20_000), st.booleans())
    def test_map(self, retain, sizes, most, full) -> None:
        """Every byte that is kept is where it is said to be, overwritten by none."""
        tried, lies = ring(retain, most), {}
        for size in sizes:
            for piece in append(tried, size, full=full and tried.end > 2000):
                for index in range(0, piece.size, 32):
                    lies[piece.position + HEADER + index] = piece.offset + index
            where = {offset: position for position, offset in lies.items()}
            for offset in range(tried.start, tried.end, 32):
                position, first, end = tried.find(offset)
                self.assertTrue(first <= offset < end, (first, offset, end))
                if offset in where:
                    sector = where[offset] // tried.mark.sector
                    self.assertEqual(sector, position // tried.mark.sector)

    @given(RETAINS, SIZES, st.integers(0, 20_000))
    def test_bounded(self, retain, sizes, most) -> None:
        """The file is no larger than it may be, whatever is written."""
        tried = ring(retain, most)
        sector = tried.mark.sector
        for size in [*sizes, *[1] * 200]:
            append(tried, size)
            limit = min(max(most, 2 * sector), 4 * retain + 4 * sector)
            self.assertLessEqual(tried.size, limit)

    @given(RETAINS, SIZES)
    def test_untouched_until_done(self, retain, sizes) -> None:
        """Of what was kept before an append, it overwrites nothing."""
        tried = ring(retain)
        for size in (size for size in sizes if size <= retain):
            append(tried, 40)
            kept = range(tried.start, tried.end)
            places = {tried.find(offset)[0] for offset in kept}
            newest = tried.find(tried.end - 1)[0]
            pieces = tried.place(size, tried.end - retain, full=False)
            touched = {piece.position for piece in pieces}
            self.assertFalse(touched & (places - {newest}))
            for piece in pieces:
                tried.commit(piece)
            tried.settle(pieces)

    @given(RETAINS, SIZES, st.integers(0, 20_000), st.integers(1, 9000), st.booleans())
    def test_start_after(self, retain, sizes, most, size, full) -> None:
        """Where it will start is never less than told, and little less than that."""
        tried = ring(retain, most)
        for each in [*sizes, 600]:
            append(tried, each)
        told = tried.start_after(size, full=full)
        smaller = tried.start_after(size // 2 + 1, full=full)
        self.assertLessEqual(smaller, told)
        before, end = tried.start, tried.end + size
        append(tried, size, full=full)
        self.assertLessEqual(tried.start, told)
        if tried.end < end:  # one sector on a full disk: there is nothing to drop
            return
        self.assertGreaterEqual(tried.start + 2 * tried.mark.sector, told)
        if tried.start == before and not full:
            self.assertEqual(told, before)

    def test_start_after_while_empty(self) -> None:
        """Nothing is forgotten by the first bytes."""
        self.assertEqual(ring(4096).start_after(4096, full=False), 0)

    def test_compact(self) -> None:
        """What is remembered does not grow with what was written."""
        tried = ring(1 << 20)
        for _ in range(5000):
            append(tried, 60_000)
        self.assertLess(len(tried._starts), 100)

    def test_what_was_not_written(self) -> None:
        """A place whose write failed is used by the next."""
        tried = ring(4096)
        append(tried, 20_000)
        floor = tried.end - tried.retain
        failed = tried.place(1500, floor, full=False)
        tried.commit(failed[0])
        tried.settle(failed)
        again = tried.place(1000, floor, full=True)
        self.assertEqual(
            [each.position for each in again],
            [each.position for each in failed[1 : 1 + len(again)]],
        )
