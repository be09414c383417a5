"""A loss of power, at any point: what L{storage.ring_file} then finds."""

from pathlib import Path

from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import Chunk, Stream
from shellstream.output.log import LogDamaged
from shellstream.storage.ring_file import RingFile
from shellstream.storage.ring_format import FRAME, SECTOR_HEAD, WHOLE
from tests.support.rings import write

#: What is kept. The sectors of the larger one hold records that are not checked whole.
RETAINS = st.sampled_from([2048, 16 * WHOLE])

#: What a disk writes in one piece, in bytes.
BLOCK = 512

BOOT, NEXT_BOOT = b"b" * 16, b"c" * 16


def sparse(offset: int, size: int) -> bytes:
    """Output that differs in few places: an old page in it is hard to see."""
    marks = range(offset // 512, (offset + size) // 512 + 1)
    whole = b"".join(each.to_bytes(4).ljust(512, b".") for each in marks)
    return whole[offset % 512 :][:size]


@define
class Disk:
    """
    A disk and the page cache above it: since the last sync, each block of a file may
    have reached the disk as it was after any write.
    """

    path: Path
    durable: bytes = b""
    since: list[bytes] = field(factory=list)

    def note(self) -> None:
        self.since.append(self.path.read_bytes())

    def synced(self) -> None:
        self.durable, self.since = self.path.read_bytes(), []

    def lose_power(self, draw: st.DataObject) -> None:
        """Leave any mixture in the file."""
        versions = [self.durable, *self.since]
        most = max(map(len, versions))
        left = b""
        picks = st.sampled_from([*versions, bytes(most)])
        for begin in range(0, most, BLOCK):
            block = draw.draw(picks)[begin : begin + BLOCK]
            synced = self.durable[begin : begin + BLOCK]
            # Zeros are there only where nothing was synced.
            written = any(block) or not any(synced)
            left += (block if written else synced).ljust(BLOCK, b"\0")
        size = draw.draw(st.integers(len(self.durable), most))
        self.path.write_bytes(left[:size])


STEPS = st.lists(
    st.integers(1, 900) | st.sampled_from(["sync", "sync is cut", 2500, 9000]),
    max_size=14,
)


def found_in(file: RingFile) -> dict[int, bytes]:
    """All that can be read, by its offset."""
    found, offset = {}, file.start
    while offset < file.end:
        try:
            chunks = file.read(offset, 1 << 16)
        except LogDamaged as damage:
            assert damage.resume is not None
            assert damage.resume > offset
            offset = damage.resume
            continue
        for chunk in chunks:
            found[chunk.offset] = chunk.data
            offset = chunk.end
    return found


class PowerLossTests(SynchronousTestCase):
    """After a loss of power no wrong byte is shown, and what was synced is there."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def play(self, steps: list[int | str], retain: int = 2048) -> tuple[RingFile, Disk]:
        self.path.unlink(missing_ok=True)
        file, disk = RingFile(self.path, retain, boot=BOOT), Disk(self.path)
        self.addCleanup(file.close)
        for step in steps:
            if isinstance(step, int):
                data = sparse(file.end, step)
                file.append(Chunk(file.end, Stream.STDOUT, 0, data))
                disk.note()
            elif file.end:
                before = file.synced
                file.prepare_sync()()
                if step == "sync":
                    disk.synced()
                else:  # the sums are written; the power goes before all is on the disk
                    file.synced = before
                    disk.note()
                    break
        return file, disk

    @settings(max_examples=300, deadline=None)
    @given(STEPS, RETAINS, st.data())
    def test_power_loss(self, steps, retain, data) -> None:
        """All that was synced and is not overwritten is found, and no wrong byte."""
        file, disk = self.play(steps, retain)
        if not disk.since:
            return
        disk.lose_power(data)
        try:
            found = RingFile.open(self.path, NEXT_BOOT)
        except (LogDamaged, FileNotFoundError):
            self.assertLessEqual(file.synced, file.start)
            return
        self.addCleanup(found.close)
        there = found_in(found)
        for offset, each in there.items():
            self.assertEqual(each, sparse(offset, len(each)))
        kept = set[int]()
        for offset, each in there.items():
            kept.update(range(offset, offset + len(each)))
        missing = set(range(file.start, file.synced)) - kept
        self.assertFalse(missing, missing and (min(missing), max(missing)))

    @settings(max_examples=100, deadline=None)
    @given(STEPS, st.data())
    def test_disk_lost(self, steps, data) -> None:
        """
        If only the disk lost power, or was copied meanwhile, and the machine goes on:
        no wrong byte, as long as records are checked whole.
        """
        _, disk = self.play(steps)
        if not disk.since:
            return
        disk.lose_power(data)
        try:
            found = RingFile.open(self.path, BOOT)
        except (LogDamaged, FileNotFoundError):
            return
        self.addCleanup(found.close)
        for offset, each in found_in(found).items():
            self.assertEqual(each, sparse(offset, len(each)))

    def test_hole(self) -> None:
        """Newer output that reached the disk does not hide older, which was synced."""
        room = 512 - SECTOR_HEAD - FRAME
        self.play([room, room, "sync", room, room, "sync is cut"])
        whole = self.path.read_bytes()
        self.path.write_bytes(whole[:1024] + bytes(512) + whole[1536:])
        found = RingFile.open(self.path, NEXT_BOOT)
        self.addCleanup(found.close)
        expected = {at: sparse(at, room) for at in (0, room, 3 * room)}
        self.assertEqual(found_in(found), expected)

    def test_kill(self) -> None:
        """In the same boot everything is there, synced or not."""
        file, _ = self.play([700, "sync", 600, 2000])
        found = RingFile.open(self.path, BOOT)
        self.addCleanup(found.close)
        self.assertEqual((found.start, found.end), (0, 3300))
        self.assertEqual(b"".join(found_in(found).values()), sparse(0, 3300))
        self.assertEqual(file.synced, 700)

    def test_never_synced(self) -> None:
        """
        After a loss of power no long record is shown that was never synced; a short
        one is, if it is there.
        """
        self.play([WHOLE + 1], 16 * WHOLE)
        self.assertRaises(LogDamaged, RingFile.open, self.path, NEXT_BOOT)
        self.play([WHOLE // 2], 16 * WHOLE)
        found = RingFile.open(self.path, NEXT_BOOT)
        self.addCleanup(found.close)
        self.assertEqual((found.start, found.end), (0, WHOLE // 2))

    def test_unknown_boot(self) -> None:
        """Where the system names no boot, any start may follow a loss of power."""
        file = RingFile(self.path, 1 << 20, boot=b"")
        self.addCleanup(file.close)
        write(file, 2 * WHOLE)
        file.prepare_sync()()
        write(file, 2 * WHOLE)
        found = RingFile.open(self.path, b"")
        self.addCleanup(found.close)
        self.assertEqual((found.start, found.end), (0, 2 * WHOLE))

    def test_long_record(self) -> None:
        """A lost page in the middle of a long record is found by its sum."""
        file = RingFile(self.path, 1 << 20, boot=BOOT)
        self.addCleanup(file.close)
        data = b"y\n" * (5 * WHOLE)
        file.append(Chunk(0, Stream.STDOUT, 0, data))
        file.prepare_sync()()
        whole = self.path.read_bytes()
        # A change between the bytes that a record's own check looks at.
        for at in (2 * WHOLE, 2 * WHOLE + 1):
            self.path.write_bytes(whole[:at] + b"x" + whole[at + 1 :])
            self.assertRaises(LogDamaged, RingFile.open, self.path, NEXT_BOOT)
            self.assertRaises(LogDamaged, RingFile.open, self.path, BOOT)
        self.path.write_bytes(whole)
        found = RingFile.open(self.path, NEXT_BOOT)
        self.addCleanup(found.close)
        self.assertEqual(b"".join(found_in(found).values()), data)

    def test_later_sum(self) -> None:
        """What a later sum refutes is not believed since an earlier one is right."""
        file = RingFile(self.path, 1 << 20, boot=BOOT)
        self.addCleanup(file.close)
        for at in (0, 2 * WHOLE):
            file.append(Chunk(at, Stream.STDOUT, 0, sparse(at, 2 * WHOLE)))
            file.prepare_sync()()
        whole = self.path.read_bytes()
        for at in (3 * WHOLE, 3 * WHOLE + 1):
            self.path.write_bytes(whole[:at] + b"x" + whole[at + 1 :])
            for boot in (BOOT, NEXT_BOOT):
                found = RingFile.open(self.path, boot)
                self.addCleanup(found.close)
                self.assertEqual((found.start, found.end), (0, 2 * WHOLE))
