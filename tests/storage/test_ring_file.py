"""Tests for L{shellstream.storage.ring_file}."""

import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from shellstream.model.events import Chunk, Stream
from shellstream.output.log import LogDamaged
from shellstream.storage.ring_file import RingFile
from shellstream.storage.ring_format import (
    FRAME,
    RECORDS,
    SECTOR_HEAD,
    Extent,
    FileSignature,
    encode,
    sector_head,
)
from shellstream.storage.ring_recovery import recover
from tests.support.rings import pattern, replay, write

ROOT = Path(__file__).parents[2]  # trial runs in _trial_temp
RETAIN = 4096  # sectors of 512 bytes

#: What a sector of the smallest size holds.
ROOM = 512 - SECTOR_HEAD - FRAME


class FileTestCase(SynchronousTestCase):
    """A place for a file, and checks of its contents."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def file(self, retain: int = RETAIN, most: int = 1 << 50) -> RingFile:
        """A new one, in a file that may grow to C{most} bytes."""
        self.path.unlink(missing_ok=True)
        made = RingFile(self.path, retain, lambda more: made.stored + more <= most)
        self.addCleanup(made.close)
        return made

    def again(self) -> RingFile:
        """Return the file as the next daemon finds it after a kill."""
        found = RingFile.open(self.path)
        self.addCleanup(found.close)
        return found

    def assert_holds(self, file: RingFile, start: int, end: int) -> None:
        """
        Check that the file holds everything from C{start}, or before it, to C{end}.
        """
        self.assertLessEqual(file.start, start)
        self.assertEqual(file.end, end)
        self.assertEqual(replay(file), pattern(file.start, end - file.start))


class RingFileTests(FileTestCase):
    """A L{RingFile} keeps the newest output in a file that outlives its writer."""

    def test_small(self) -> None:
        """A little output takes a little file, which only its owner may read."""
        file = self.file(64 << 20)
        self.assertFalse(self.path.exists())
        file.append(Chunk(0, Stream.STDERR, 1_700_000_000_000_000, b"x" * 20))
        status = self.path.stat()
        size = SECTOR_HEAD + FRAME + 20
        self.assertEqual((status.st_size, file.stored), (size, size))
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o600)
        expected = [Chunk(0, Stream.STDERR, 1_700_000_000_000_000, b"x" * 20)]
        self.assertEqual(file.read(0, 100), expected)
        self.assertEqual(self.again().read(0, 100), expected)

    def test_silent(self) -> None:
        """A run without output has no file."""
        file = self.file()
        file.prepare_sync()()
        file.close()
        self.assertEqual((file.start, file.end, file.stored), (0, 0, 0))
        self.assertRaises(FileNotFoundError, RingFile.open, self.path)

    def test_no_other_file(self) -> None:
        """The file of another run is never overwritten."""
        file = self.file()
        self.path.write_bytes(b"precious")
        self.assertRaises(FileExistsError, write, file, 1)
        self.assertEqual(self.path.read_bytes(), b"precious")

    def test_no_folder(self) -> None:
        """A file that cannot be created is an error."""
        file = RingFile(self.path / "no" / "such", RETAIN)
        self.assertRaises(FileNotFoundError, write, file, 1)

    @settings(max_examples=40)
    @given(
        st.lists(st.integers(1, 1000) | st.sampled_from([5000, 300_000]), max_size=30),
        st.sampled_from([100, 1000, RETAIN, 100_000]),
        st.sampled_from([1, 37, 1 << 16]),
    )
    def test_keeps(self, sizes, retain, size) -> None:
        """The newest bytes are kept, in this process and after a kill."""
        file = self.file(retain)
        write(file, *sizes)
        self.assertEqual(file.end, sum(sizes))
        kept = replay(file, max(size, retain // 100))
        self.assertEqual(kept, pattern(file.start, len(kept)))
        if sizes:
            self.assert_holds(self.again(), file.start, file.end)
            self.assertEqual(file.stored, self.path.stat().st_size)
        file.close()

    def test_exactly(self) -> None:
        """No byte more and no byte less than asked for is promised."""
        file = self.file()
        for size in (300, 4000, 64, 1000, ROOM, ROOM + 1, 3000):
            write(file, size)
            self.assertEqual(file.start, max(0, file.end - RETAIN))

    def test_read_is_bounded(self) -> None:
        """No more is read than asked for, from any offset on."""
        file = self.file()
        write(file, 1000, 1000)
        for offset in (0, 1, ROOM - 1, ROOM, 999, 1000, 1999):
            found = file.read(offset, 10)
            data = b"".join(each.data for each in found)
            self.assertEqual(data, pattern(offset, min(10, len(data))))
            self.assertTrue(data)
            self.assertEqual(found[0].offset, offset)

    def test_single_bytes(self) -> None:
        """One read returns a limited number of records, at any offset."""
        file = self.file(64 << 20)
        write(file, *[1] * 3000)
        self.assertLessEqual(len(file.read(0, 3000)), RECORDS)
        self.assertEqual(replay(file), pattern(0, 3000))
        offsets = list(range(0, 3000, 30))  # of more readers than are remembered
        while offsets:
            reads = [file.read(offset, 1 + offset % 700) for offset in offsets]
            for offset, chunks in zip(offsets, reads, strict=True):
                data = b"".join(each.data for each in chunks)
                self.assertEqual(data, pattern(offset, len(data)))
            ends = [chunks[-1].end for chunks in reads]
            offsets = [end for end in ends if end < 3000]

    @given(st.lists(st.integers(1, 900), min_size=1, max_size=30), st.data())
    def test_goes_on(self, sizes, data) -> None:
        """A reader that goes on gets the same bytes as one that begins there."""
        file = self.file(1 << 20)
        write(file, *sizes)
        offset = 0
        while offset < file.end:
            chunks = file.read(offset, data.draw(st.integers(1, 1200)))
            self.assertEqual(chunks[0].offset, offset)
            read = b"".join(each.data for each in chunks)
            self.assertEqual(read, pattern(offset, len(read)))
            offset += len(read)
        file.close()

    def test_reserved(self) -> None:
        """Reserved room is taken on the disk, and freed by close()."""
        file = self.file()
        write(file, 100)
        self.assertEqual(file.reserve(1000), 0)
        self.assertEqual(self.path.stat().st_size, 3 * 512)
        self.assertEqual(file.stored, SECTOR_HEAD + FRAME + 100)
        self.assert_holds(self.again(), 0, 100)
        write(file, 1000)
        self.assertEqual(file.reserve(1000), 0)
        file.close()
        self.assertEqual(self.path.stat().st_size, file.stored)

    def test_granted_once(self) -> None:
        """A granted growth stays granted until it is used."""
        asked: list[int] = []

        def request_growth(more: int) -> bool:
            asked.append(more)
            return True

        file = RingFile(self.path, RETAIN, request_growth)
        self.addCleanup(file.close)
        write(file, 1000)
        for _ in range(9):
            self.assertEqual(file.reserve(1000), 0)
        self.assertEqual(len(asked), 2)
        write(file, 1000)
        self.assertEqual(len(asked), 2)

    def test_may_not_grow(self) -> None:
        """In a file that may not grow, new bytes replace the oldest."""
        file = self.file(most=2000)
        for _ in range(40):
            told = file.reserve(200)
            write(file, 200)
            self.assertLessEqual(file.start, told)
        self.assertLessEqual(self.path.stat().st_size, 2000)
        self.assertGreater(file.end - file.start, 512)
        self.assert_holds(self.again(), file.start, 8000)

    def test_two_sectors_at_least(self) -> None:
        """Every run gets two sectors, even if no growth is granted."""
        file = self.file(most=0)
        write(file, *[200] * 40)
        self.assertEqual(self.path.stat().st_size, 1024)
        self.assert_holds(self.again(), file.start, 8000)

    def test_close(self) -> None:
        """Closing frees the descriptor once; a sync after that does nothing."""
        file = self.file()
        write(file, 10)
        before = len(os.listdir("/dev/fd"))
        file.close()
        file.close()
        file.prepare_sync()()
        self.assertEqual(len(os.listdir("/dev/fd")), before - 1)
        size = SECTOR_HEAD + FRAME + 10
        self.assertEqual((file.start, file.end, file.stored), (0, 10, size))

    def test_sync(self) -> None:
        """A file can be synced more than once."""
        file = self.file()
        write(file, 10)
        file.prepare_sync()()
        write(file, 10)
        file.prepare_sync()()
        self.assert_holds(self.again(), 0, 20)


class RecoveryTests(FileTestCase):
    """Only written output is ever read from a file, however damaged it is."""

    def damaged(self, *changes: tuple[int, bytes]) -> RingFile:
        with self.path.open("r+b") as file:
            for position, data in changes:
                file.seek(position)
                file.write(data)
        return self.again()

    def test_geometry_from_the_file(self) -> None:
        """A file is opened without knowing its retain."""
        for retain in (100, RETAIN, 1 << 20, 64 << 20):
            file = self.file(retain)
            write(file, *[9000] * 40)
            self.assert_holds(self.again(), file.start, 360_000)

    def test_version_1(self) -> None:
        """A file of an earlier version is read, the oldest sector overwritten too."""
        fields, sector = struct.Struct("<2sBIHBIQqI"), 512
        data, there = pattern(0, 3000), bytearray(4 * sector)
        ends = []
        for number in range(6):  # in four places
            at, offset = number % 4 * sector, number * 440
            for size in (100, 340):
                record = (b"\xc5r", 9, 7, number, 1, size, offset, 5, 0xBAD)
                there[at : at + 34 + size] = fields.pack(*record) + data[offset:][:size]
                at, offset = at + 34 + size, offset + size
            ends.append(offset)
        self.path.write_bytes(there)
        found = self.again()
        self.assert_holds(found, ends[1], ends[5])
        self.assertEqual(found.read(ends[1] + 90, 20)[0].time, 5)

    def test_empty(self) -> None:
        """A file without output is empty."""
        self.path.touch()
        found = self.again()
        self.assertEqual((found.start, found.end, found.stored), (0, 0, 0))

    def test_useless(self) -> None:
        """A file without a valid record counts as damaged."""
        for content in (b"x", bytes(100_000), b"#!/bin/sh\n" * 500):
            self.path.write_bytes(content)
            self.assertRaises(LogDamaged, RingFile.open, self.path)

    def test_useless_and_large(self) -> None:
        """A signature is looked for only in places where it can be."""
        reads: list[int] = []

        def read(size: int, position: int) -> bytes:
            reads.append(position)
            return b"x" * size

        self.assertRaises(LogDamaged, recover, read, 64 << 20, b"")
        self.assertLess(len(reads), 1000)

    def test_truncated_anywhere(self) -> None:
        """A file that lost its end holds the rest."""
        file = self.file()
        write(file, 100, 300, 80, 900, 20)
        for size in range(self.path.stat().st_size - 1, 0, -7):
            os.truncate(self.path, size)
            try:
                found = self.again()
            except LogDamaged:
                self.assertLess(size, SECTOR_HEAD + FRAME + 100)
            else:
                self.assert_holds(found, 0, found.end)

    @settings(max_examples=150)
    @given(
        st.lists(st.integers(1, 700), min_size=5, max_size=40),
        st.data(),
    )
    def test_damaged_anywhere(self, sizes, data) -> None:
        """Damage is found at once or when read, and never read as output."""
        file = self.file(1000)
        write(file, *sizes)
        size = self.path.stat().st_size
        for _ in range(data.draw(st.integers(1, 3))):
            begin = data.draw(st.integers(0, size - 1))
            garbage = data.draw(st.binary(min_size=1, max_size=600))
            with self.path.open("r+b") as there:
                there.seek(begin)
                there.write(garbage[: size - begin])
        with self.path.open("r+b") as there:
            there.truncate(data.draw(st.sampled_from([size, size, size // 2])))
        try:
            found = RingFile.open(self.path)
        except LogDamaged:
            return
        self.assertLessEqual(found.end, file.end)
        try:
            kept = replay(found)
        except LogDamaged:
            return
        finally:
            found.close()
            file.close()
        self.assertEqual(kept, pattern(found.start, found.end - found.start))

    def test_first_sector_damaged(self) -> None:
        """Without the first sector, the others still tell how large they are."""
        file = self.file()
        write(file, *[100] * 35)
        found = self.damaged((0, bytes(512)))
        self.assert_holds(found, ROOM, 3500)

    def test_forged_sector(self) -> None:
        """Output that looks like the first record of a file is not taken for one."""
        retain = 64 << 20
        sector = FileSignature.of(retain, 0).sector
        lie = Chunk(0, Stream.STDOUT, 0, b"not what was written")
        small, size = FileSignature.of(0, 1), len(lie.data)
        forged = sector_head(small, Extent(0, 0, 0, size, SECTOR_HEAD), b"")
        forged += b"".join(encode(small, 0, lie, 0, size))
        file = self.file(retain)
        # It comes to lie where a sector of 512 bytes would begin.
        data = bytes(ROOM) + forged + bytes(2 * sector)
        file.append(Chunk(0, Stream.STDOUT, 0, data))
        found = self.damaged((0, bytes(SECTOR_HEAD)))
        room = sector - SECTOR_HEAD - FRAME
        self.assertEqual((found.start, found.end), (room, len(data)))
        self.assertEqual(replay(found), data[found.start :])

    def test_missing_sector(self) -> None:
        """A sector older than a missing one is not taken for its neighbour."""
        file = self.file()
        write(file, *[1] * 100)  # so short that the offsets alone could not tell
        found = self.damaged((512 * 3, bytes(512)))
        self.assertEqual(found.start, 4 * ((512 - SECTOR_HEAD) // (FRAME + 1)))
        self.assert_holds(found, found.start, 100)

    def test_damaged_inside(self) -> None:
        """Damage that recovery did not check fails when it is read."""
        file = self.file()
        write(file, 2000)
        found = self.damaged((512 + 100, b"damage"))
        self.assertEqual((found.start, found.end), (0, 2000))
        self.assertEqual(found.read(0, 1000)[-1].end, ROOM)
        damage = self.assertRaises(LogDamaged, found.read, ROOM, 1000)
        self.assertEqual(damage.resume, 2 * ROOM)
        self.assertEqual(found.read(2 * ROOM, 10)[0].data, pattern(2 * ROOM, 10))

    def test_much_damaged_inside(self) -> None:
        """The error of a damaged sector names the next intact one, or the end."""
        file = self.file()
        write(file, 5 * ROOM)
        file = self.again()
        self.damaged(*((512 * number + 100, b"damage") for number in (1, 2, 4)))
        for number, resume in ((1, 3), (2, 3), (4, 5)):
            damage = self.assertRaises(LogDamaged, file.read, number * ROOM, 1000)
            self.assertEqual(damage.resume, resume * ROOM)

    def test_all_damaged_inside(self) -> None:
        """An error does not take long, however many sectors are damaged."""
        file = self.file(8191)
        write(file, 20 * ROOM)
        file = self.again()
        self.damaged(*((512 * each + 100, b"damage") for each in range(1, 20)))
        damage = self.assertRaises(LogDamaged, file.read, ROOM, 1000)
        self.assertEqual(damage.resume, 18 * ROOM)

    def test_fast(self) -> None:
        """Recovery of 64 MiB only reads the headers of the sectors."""
        file = self.file(64 << 20)
        data = pattern(0, 1 << 20)
        while file.end < 80 << 20:
            file.append(Chunk(file.end, Stream.STDOUT, 0, data))
        began = time.perf_counter()
        found = self.again()
        self.assertLess(time.perf_counter() - began, 0.25)  # about 0.005
        self.assertLessEqual(found.start, file.start)
        self.assertEqual(found.end, file.end)

    def test_killed(self) -> None:
        """Everything that a killed writer reported as written is there."""
        script = (
            "import sys\n"
            "from pathlib import Path\n"
            "from shellstream.storage.ring_file import RingFile\n"
            "from tests.support.rings import write\n"
            "file = RingFile(Path(sys.argv[1]), 100_000)\n"
            "while True:\n"
            "    write(file, 1, 70_000, 333)\n"
            "    print(file.start, file.end, flush=True)\n"
        )
        for _ in range(3):
            self.path.unlink(missing_ok=True)
            argv = [sys.executable, "-c", script, str(self.path.absolute())]
            with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as child:
                assert child.stdout is not None
                for _ in range(7):
                    child.stdout.readline()
                child.send_signal(signal.SIGKILL)
                *_, last = [b"0 0", *child.stdout.read().splitlines()]
            start, end = map(int, last.split())
            found = self.again()
            self.assertGreaterEqual(found.end, end)
            kept = pattern(found.start, found.end - found.start)
            self.assertEqual(replay(found), kept)
            # The kill may have come between two more writes.
            self.assertLessEqual(found.start, start + found.end - end)


LIMITED = """
import errno, os, resource, sys
from pathlib import Path
from shellstream.storage.ring_file import RingFile
from tests.support.rings import pattern, replay, write

path, limit = Path(sys.argv[1]), int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
file = RingFile(path, 1 << 19)
for size in map(int, sys.argv[3:]):
    told = file.reserve(size)
    try:
        write(file, size)
    except OSError as error:
        print(errno.errorcode[error.errno], file.end)
        sys.exit()
    assert file.start <= told, (file.start, told)
again = RingFile.open(path)
for each in file, again:
    assert replay(each) == pattern(each.start, each.end - each.start)
assert again.start <= file.start <= told, (again.start, file.start, told)
assert again.end == file.end
assert file.stored == path.stat().st_size
print("ok", file.start, file.end, file.stored)
"""


class FullTests(SynchronousTestCase):
    """If a disk or a quota is full, a file continues in the room that it has."""

    def run_limited(self, limit: int, *sizes: int, where: str = "") -> list[str]:
        """Write these sizes to a file limited to C{limit} bytes; return the results."""
        path = where or str(Path(self.mktemp()).absolute())
        argv = [sys.executable, "-c", LIMITED, path, str(limit), *map(str, sizes)]
        ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout.split()

    def test_at_an_edge(self) -> None:
        """A file of whole sectors drops its oldest."""
        said = self.run_limited(3 << 16, *[60_000] * 20)
        self.assertEqual((said[0], said[2]), ("ok", "1200000"))

    def test_inside(self) -> None:
        """A write that was cut in a sector is made again, elsewhere."""
        for limit in (150_000, 160_033, 131_072 + 20, 131_072 + 33):
            for sizes in ([60_000] * 20, [300] * 1000, [1, 200_000, 5, 90_000] * 3):
                with self.subTest(limit=limit, sizes=sizes[:4]):
                    said = self.run_limited(limit, *sizes)
                    self.assertEqual((said[0], said[2]), ("ok", str(sum(sizes))))
                    self.assertLessEqual(int(said[3]), limit)

    def test_no_room_at_all(self) -> None:
        """
        With room for less than two sectors nothing can be dropped, and the write fails.
        """
        self.assertEqual(self.run_limited(10, 20), ["EFBIG", "0"])
        self.assertEqual(self.run_limited(60_000, 50_000, 20_000), ["EFBIG", "50000"])

    def test_disk_full(self) -> None:
        """The same on a real disk that is really full."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        script = 'mount -t tmpfs -o size=256k none "$1" && shift && exec "$@"'
        sizes = [str(size) for size in [60_000, 300, 1] * 30]
        argv = [sys.executable, "-c", LIMITED, str(folder / "log"), "0", *sizes]
        unshare = shutil.which("unshare")
        if unshare is None:
            raise SkipTest("no unshare")
        probe = [unshare, "-rm", "sh", "-c", script, "sh", str(folder), "true"]
        if subprocess.run(probe, capture_output=True).returncode:
            raise SkipTest("no file system may be mounted here")
        ran = subprocess.run(
            [*probe[:-1], *argv], cwd=ROOT, capture_output=True, text=True
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        said = ran.stdout.split()
        self.assertEqual((said[0], said[2]), ("ok", str(60_301 * 30)))
