"""Tests for L{shellstream.storage.state.wal}: against the logs that SQLite writes."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from shellstream.storage.state.wal import WalState, look_at_wal

PAGE = 4096
FRAME = PAGE + 24


class WalTests(SynchronousTestCase):
    """Commits that SQLite does not find any more are noticed."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.copies = 0
        self.live = self.folder / "live.db"
        self.connection = sqlite3.connect(self.live, isolation_level=None)
        self.addCleanup(self.connection.close)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("CREATE TABLE t (x)")
        for number in range(5):
            self.connection.execute("INSERT INTO t VALUES (?)", [str(number) * 900])

    def killed(self) -> Path:
        """Copies of the files, as they are when the process is killed now."""
        self.copies += 1
        dead = self.folder / f"dead{self.copies}.db"
        for suffix in ("", "-wal", "-shm"):
            shutil.copyfile(f"{self.live}{suffix}", f"{dead}{suffix}")
        return dead

    def lost(self, dead: Path) -> bool:
        """Whether the look before SQLite has opened it tells of a loss."""
        before = look_at_wal(dead)
        with closing(sqlite3.connect(dead)) as connection:
            sql = "PRAGMA wal_checkpoint(PASSIVE)"
            (_, found, _) = connection.execute(sql).fetchone()
        return before.has_lost(found)

    def test_whole(self) -> None:
        """Nothing is lost: after a kill, and after an orderly end."""
        dead = self.killed()
        self.assertGreater(look_at_wal(dead).expected, 5)
        self.assertFalse(self.lost(dead))
        self.connection.close()
        self.assertFalse(self.lost(self.live))
        self.assertEqual(look_at_wal(self.folder / "never.db"), WalState())

    def test_copied(self) -> None:
        """A log whose commits are all in the main file may go."""
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        dead = self.killed()
        Path(f"{dead}-wal").unlink()
        self.assertFalse(self.lost(dead))

    def test_next_log(self) -> None:
        """Frames that an earlier log left behind are not missed."""
        for kind in ("RESTART", "TRUNCATE"):
            self.connection.execute(f"PRAGMA wal_checkpoint({kind})")
            self.assertFalse(self.lost(self.killed()))
            self.connection.execute("INSERT INTO t VALUES ('one more')")
            self.assertFalse(self.lost(self.killed()))

    def test_not_committed(self) -> None:
        """A transaction that was under way is not lost: nobody was told of it."""
        self.connection.execute("PRAGMA cache_size = 1")
        self.connection.execute("BEGIN")
        for _ in range(50):
            self.connection.execute("INSERT INTO t VALUES (randomblob(3000))")
        dead = self.killed()
        self.assertGreater(Path(f"{dead}-wal").stat().st_size, 20 * FRAME)
        self.assertFalse(self.lost(dead))

    def test_refused(self) -> None:
        """A commit that failed, and was written over in part, is not missed."""
        self.connection.execute("CREATE TABLE big (x)")
        dead = self.killed()
        self.connection.execute("INSERT INTO big VALUES (randomblob(9000))")
        later = self.killed()
        kept = Path(f"{dead}-wal").stat().st_size
        with open(f"{dead}-wal", "ab") as file:
            file.write(bytes(FRAME))  # of the transaction that is under way now
            file.write(Path(f"{later}-wal").read_bytes()[kept + FRAME :])
        self.assertFalse(self.lost(dead))

    def test_flipped(self) -> None:
        """A bit flipped anywhere is noticed: in the header, in a frame, in a page."""
        size = Path(f"{self.killed()}-wal").stat().st_size
        frames = range(32, size, FRAME)
        for position in (*range(32), *frames, *(each + 600 for each in frames)):
            with self.subTest(position=position):
                dead = self.killed()
                with open(f"{dead}-wal", "r+b") as file:
                    file.seek(position)
                    (old,) = file.read(1)
                    file.seek(position)
                    file.write(bytes([old ^ 4]))
                self.assertTrue(self.lost(dead))

    def test_cut(self) -> None:
        """A log that was cut is noticed, at each boundary, as is one that is gone."""
        size = Path(f"{self.killed()}-wal").stat().st_size
        for length in (None, 0, 31, 32, *range(32 + FRAME, size, FRAME), size - 1):
            with self.subTest(length=length):
                dead = self.killed()
                wal = Path(f"{dead}-wal")
                if length is None:
                    wal.unlink()
                else:
                    with wal.open("r+b") as file:
                        file.truncate(length)
                self.assertTrue(self.lost(dead))

    def test_no_index(self) -> None:
        """Without the index, or with a damaged one, the log alone has to tell."""
        for index in (None, b"", b"\xa5" * 32768):
            with self.subTest(index=index and index[:1]):
                dead = self.killed()
                shm = Path(f"{dead}-shm")
                if index is None:
                    shm.unlink()
                else:
                    shm.write_bytes(index)
                self.assertFalse(self.lost(dead))
