"""Tests for L{shellstream.storage.ring}."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.storage.ring import Ring
from shellstream.storage.ring_format import FRAME, MOST_SMALL, Extent, FileSignature

SIZES = st.lists(st.sampled_from([1, 40, 479, 480, 481, 5000]) | st.integers(1, 2000))
RETAINS = st.sampled_from([0, 1, 100, 4096, 8191]) | st.integers(0, 10_000)


def append(ring: Ring, size: int, *, full: bool = False) -> list[Extent]:
    """Append and return all extents, as if no write failed."""
    floor, stop, done = ring.end - ring.retain, ring.end + size, []
    while ring.end < stop:
        extents = ring.allocate(stop - ring.end, floor, full=full)
        if not extents:
            break
        for extent in extents:
            ring.commit(extent)
        ring.give_back(extents)
        done += extents
    return done


def ring(retain: int, most: int = 1 << 50) -> Ring:
    """An empty one, in a file that may grow to C{most} bytes."""
    made = Ring(
        FileSignature.of(retain, 0), retain, lambda more: made.size + more <= most
    )
    return made


class RingTests(SynchronousTestCase):
    """A L{Ring} keeps the promised bytes, and allocates room for more."""

    @given(RETAINS, SIZES)
    def test_pieces(self, retain, sizes) -> None:
        """An append's extents cover it in order, and each stays within a sector."""
        tried = ring(retain)
        for size in sizes:
            offset = tried.end
            for extent in append(tried, size):
                self.assertEqual(extent.offset, offset)
                self.assertGreater(extent.size, 0)
                sector = tried.signature.sector
                self.assertEqual(extent.position // sector, (extent.stop - 1) // sector)
                offset += extent.size
            self.assertEqual(offset, tried.end)

    @given(RETAINS, SIZES)
    def test_keeps(self, retain, sizes) -> None:
        """Exactly the requested size is kept, unless headers outgrow the payload."""
        tried = ring(retain)
        for size in sizes:
            append(tried, max(size, 40))
            if size <= 2 * retain:
                self.assertEqual(tried.start, max(0, tried.end - retain))

    @given(RETAINS, SIZES, st.integers(0, 20_000), st.booleans())
    def test_map(self, retain, sizes, most, full) -> None:
        """Every kept byte is where the ring says, and is not overwritten."""
        tried, lies = ring(retain, most), {}
        for size in sizes:
            for extent in append(tried, size, full=full and tried.end > 2000):
                for index in range(0, extent.size, 32):
                    payload = extent.position + extent.head + FRAME
                    lies[payload + index] = extent.offset + index
            where = {offset: position for position, offset in lies.items()}
            for offset in range(tried.start, tried.end, 32):
                position, first, end = tried.sector_at(offset)
                self.assertTrue(first <= offset < end, (first, offset, end))
                if offset in where:
                    sector = where[offset] // tried.signature.sector
                    self.assertEqual(sector, position // tried.signature.sector)

    @given(RETAINS, SIZES, st.integers(0, 20_000))
    def test_bounded(self, retain, sizes, most) -> None:
        """The file never grows beyond its bound."""
        tried = ring(retain, most)
        sector = tried.signature.sector
        for size in [*sizes, *[1] * 200]:
            append(tried, size)
            limit = min(max(most, 2 * sector), 4 * retain + 4 * sector)
            self.assertLessEqual(tried.size, limit)
            self.assertLessEqual(tried.size, MOST_SMALL * sector)

    @given(RETAINS, SIZES)
    def test_untouched_until_done(self, retain, sizes) -> None:
        """An append overwrites nothing that was kept before it."""
        tried = ring(retain)
        for size in (size for size in sizes if size <= retain):
            append(tried, 40)
            kept = range(tried.start, tried.end)
            places = {tried.sector_at(offset)[0] for offset in kept}
            newest = tried.sector_at(tried.end - 1)[0]
            extents = tried.allocate(size, tried.end - retain, full=False)
            touched = {extent.position for extent in extents}
            self.assertFalse(touched & (places - {newest}))
            for extent in extents:
                tried.commit(extent)
            tried.give_back(extents)

    @given(RETAINS, SIZES, st.integers(0, 20_000), st.integers(1, 9000), st.booleans())
    def test_start_after(self, retain, sizes, most, size, full) -> None:
        """start_after() is an upper bound of the later start, and a close one."""
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
        self.assertGreaterEqual(tried.start + 2 * tried.signature.sector, told)
        if tried.start == before and not full:
            self.assertEqual(told, before)

    def test_start_after_while_empty(self) -> None:
        """The first bytes drop nothing."""
        self.assertEqual(ring(4096).start_after(4096, full=False), 0)

    def test_compact(self) -> None:
        """Memory does not grow with the size of the output."""
        tried = ring(1 << 20)
        for _ in range(5000):
            append(tried, 60_000)
        self.assertLess(len(tried._starts), 100)

    def test_what_was_not_written(self) -> None:
        """A place whose write failed is used by the next."""
        tried = ring(4096)
        append(tried, 20_000)
        floor = tried.end - tried.retain
        failed = tried.allocate(1500, floor, full=False)
        tried.commit(failed[0])
        tried.give_back(failed)
        again = tried.allocate(1000, floor, full=True)
        self.assertEqual(
            [each.position for each in again],
            [each.position for each in failed[1 : 1 + len(again)]],
        )
