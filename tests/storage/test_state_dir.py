"""Tests for L{shellstream.storage.state_dir}."""

import contextlib
import errno
import os
import pwd
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from time import time_ns
from unittest.mock import patch

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import OnDisconnect
from shellstream.model.run_record import RunRecord, next_id
from shellstream.storage.database import Database
from shellstream.storage.schema import DatabaseDamaged, DatabaseNewer
from shellstream.storage.state.aside import MAX_HISTORIES
from shellstream.storage.state_dir import (
    StateDir,
    StateDirBusy,
    StateDirUnusable,
    default_state_dir,
)
from tests.support.programs import ROOT

RUN = RunRecord(
    id="1", command="build", params={}, created=1, on_disconnect=OnDisconnect.KEEP
)


class StateDirTests(SynchronousTestCase):
    """A L{StateDir} is one daemon's own."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp(), "deep", "down").absolute()
        self.now = 1_700_000_000_000_000

    def open(self) -> StateDir:
        state = StateDir.open(self.path, lambda: self.now)
        self.addCleanup(self.close, state)
        return state

    def close(self, state: StateDir) -> None:
        """Close it, unless the test has."""
        with contextlib.suppress(OSError):
            state.close()
        state.database.close()

    def add(self, state: StateDir, *ids: str) -> None:
        """Runs that are in the history, and have a log."""
        with state.database.transaction():
            for run_id in ids:
                state.database.add(evolve(RUN, id=run_id), None)
        self.log(state, *ids)

    def log(self, state: StateDir, *ids: str) -> None:
        for run_id in ids:
            Path(state.log_path(run_id)).write_bytes(b"output")

    def damage(self) -> None:
        (self.path / "runs.db").write_bytes(b"rubbish" * 999)

    def unusable(self) -> str:
        """Why it cannot be opened."""
        return str(self.assertRaises(StateDirUnusable, self.open))

    def test_private(self) -> None:
        """A missing directory is made, and is private."""
        umask = os.umask(0)
        self.addCleanup(os.umask, umask)
        self.add(self.open(), "1")
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (self.path.parent, self.path, *self.path.iterdir())
        }
        folders = dict.fromkeys(["deep", "down", "output"], 0o700)
        names = ("lock", "pepper", "runs.db", "runs.db-shm", "runs.db-wal")
        files = dict.fromkeys(names, 0o600)
        self.assertEqual(modes, {**folders, **files})

    def test_again(self) -> None:
        """A reopened directory holds its runs."""
        state = self.open()
        self.add(state, "1")
        self.close(state)
        state = self.open()
        with state.database.transaction():
            self.assertEqual(state.database.get("1"), RUN)
        self.assertEqual((state.logs, state.notices), ({"1"}, []))

    def test_busy(self) -> None:
        """The error of a second daemon names the first one, and what to do."""
        self.open()
        error = self.assertRaises(StateDirBusy, self.open)
        self.assertEqual(
            str(error),
            f"{self.path} is used by another shellstream (process {os.getpid()}); "
            "stop it, or choose another --state-dir",
        )

    def test_busy_with_whom(self) -> None:
        """The lock of another daemon may not name its process."""
        with open(self.open().path / "lock", "r+b") as lock:
            lock.truncate()
        error = self.assertRaises(StateDirBusy, self.open)
        self.assertIn("is used by another shellstream; stop it", str(error))

    def test_killed(self) -> None:
        """A killed daemon leaves no lock."""
        code = (
            "import os, pathlib, shellstream.storage.state_dir as s; "
            f"s.StateDir.open(pathlib.Path({str(self.path.absolute())!r}), int); "
            "os.kill(os.getpid(), 9)"
        )
        killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
        self.assertEqual(killed.returncode, -9)
        self.assertEqual(self.open().notices, [])

    def test_unusable(self) -> None:
        """An unusable path is named with the reason."""
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(b"")
        self.assertIn(
            f"{self.path} cannot hold the state: File exists", self.unusable()
        )

    def test_of_another(self) -> None:
        """A directory of another user is left as it is."""
        self.path.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(self.path, 1, 1)
        with patch("os.geteuid", return_value=4711):
            said = self.unusable()
        self.assertIn("cannot hold the state: it belongs to another user", said)
        self.assertEqual(list(self.path.iterdir()), [])

    def test_denied(self) -> None:
        """Who may not use a folder is told whose it is."""
        self.path.mkdir(parents=True)
        owner = pwd.getpwuid(os.geteuid()).pw_name
        denied = PermissionError(errno.EACCES, "", str(self.path / "lock"))
        for user, said in (
            (4711, f" ({self.path} belongs to {owner}, and this runs as user 4711); "),
            (os.geteuid(), "; repair that"),
        ):
            with (
                patch("os.geteuid", return_value=user),
                patch("shellstream.storage.state_dir.check_folder", side_effect=denied),
            ):
                self.assertIn(f"Permission denied{said}", self.unusable())

    def test_strict_modes(self) -> None:
        """A folder that others may write, or with files of theirs, is not used."""
        self.close(self.open())
        (self.path / "lock").unlink()
        (self.path / "mine").write_bytes(b"not a number")
        for harm, name, said in (
            (lambda: self.path.chmod(0o775), "", "other users may write to it"),
            (lambda: (self.path / "lock").symlink_to("mine"), "lock", "not a regular"),
            (
                lambda: os.link(self.path / "mine", self.path / "lock"),
                "lock",
                "no lock",
            ),
        ):
            with self.subTest(said=said):
                harm()
                self.assertIn(
                    f"{self.path / name} cannot hold the state", self.unusable()
                )
                self.path.chmod(0o700)
                (self.path / "lock").unlink(missing_ok=True)
        self.assertEqual((self.path / "mine").read_bytes(), b"not a number")
        self.open()

    def test_read_only(self) -> None:
        """A read-only directory fails at the start, not at the first run."""
        self.close(self.open())
        denied = PermissionError(errno.EROFS, "", str(self.path / "lock"))
        with patch("os.open", side_effect=denied):
            said = self.unusable()
        self.assertIn(f"{self.path}/lock cannot hold the state: Read-only", said)

    def test_no_database(self) -> None:
        """What stands in the place of the database is reported in words."""
        (self.path / "runs.db").mkdir(0o755, parents=True)
        said = self.unusable()
        self.assertIn("runs.db cannot hold the state: it is not a regular file", said)
        (self.path / "runs.db").rmdir()
        self.open()  # the lock was given back

    def test_newer(self) -> None:
        """A database of a later version is left as it is."""
        self.path.mkdir(parents=True)
        with contextlib.closing(sqlite3.connect(self.path / "runs.db")) as newer:
            newer.execute("PRAGMA user_version = 1000")
        self.assertRaises(DatabaseNewer, self.open)
        self.assertFalse((self.path / "aside").exists())

    def test_damaged(self) -> None:
        """
        A damaged history is moved aside with its outputs, and the operator is told.
        """
        state = self.open()
        self.add(state, "1")
        self.close(state)
        self.damage()
        state = self.open()
        (aside,) = self.path.glob("aside/2023-11-14T221320.000000Z-*")
        self.assertEqual(
            state.notices,
            [
                "the run history was damaged (file is not a database) and has been "
                f"moved to {aside}, its outputs too; starting with an empty one"
            ],
        )
        self.assertEqual((aside / "output" / "1.log").read_bytes(), b"output")
        self.assertTrue((aside / "runs.db").read_bytes().startswith(b"rubbish"))
        self.assertEqual((state.logs, os.listdir(self.path / "output")), (set(), []))
        with state.database.transaction():
            self.assertIsNone(state.database.get("1"))

    def test_damaged_often(self) -> None:
        """Nothing that was put aside is deleted; too much of it stops the start."""
        for count in range(MAX_HISTORIES):
            self.path.mkdir(0o700, parents=True, exist_ok=True)
            self.damage()
            state = self.open()
            told = f"{count} histories, 0 outputs. They may be the only copies"
            self.assertEqual(told in state.notices[0], count > 0)
            self.close(state)
        self.damage()
        self.assertIn("aside cannot hold the state: it holds 16", self.unusable())
        self.assertEqual(len(list(self.path.glob("aside/*/runs.db"))), MAX_HISTORIES)
        self.assertEqual((self.path / "runs.db").read_bytes()[:7], b"rubbish")

    def killed(self, state: StateDir) -> None:
        """Go on in a copy of the folder, as a killed daemon leaves it."""
        copy = Path(self.mktemp()).absolute()
        shutil.copytree(state.path, copy)
        self.path = copy

    def test_lost_commits(self) -> None:
        """Commits that cannot be read are told; outputs without a run are kept."""
        state = self.open()
        self.add(state, "1")
        self.killed(state)
        self.assertEqual(self.open().notices, [])
        self.killed(state)
        wal = self.path / "runs.db-wal"
        data = bytearray(wal.read_bytes())
        data[len(data) // 2] ^= 1
        wal.write_bytes(data)
        again = self.open()
        (said,) = again.notices
        self.assertIn("the last changes of the run history cannot be read", said)
        (copy,) = self.path.glob("aside/wal/*")
        self.assertIn(f"a copy of their file is {copy}", said)
        self.assertEqual(copy.read_bytes(), data)
        with again.database.transaction():
            known, removed = again.database.known(again.logs), again.database.removed()
        self.assertEqual(again.sweep(known, removed), ["1"])
        self.assertEqual(os.listdir(self.path / "aside" / "output"), ["1.log"])

    def test_gone(self) -> None:
        """A history that was there before is missed, and its outputs put aside."""
        for empty in (False, True):
            with self.subTest(empty=empty):
                self.path = Path(self.mktemp()).absolute()
                state = self.open()
                self.add(state, "1")
                self.killed(state)
                (self.path / "runs.db").unlink()
                if empty:
                    (self.path / "runs.db").touch()
                again = self.open()
                (said,) = again.notices
                self.assertIn("runs.db is gone; starting with an empty one", said)
                (aside,) = self.path.glob("aside/*")
                self.assertIn(f"has been moved to {aside}", said)
                self.assertTrue((aside / "output" / "1.log").exists())
                self.assertTrue((aside / "runs.db-wal").exists())
                self.assertEqual(again.logs, set())

    def test_unreadable(self) -> None:
        """A disk that fails to read is not damage: all stays as it is."""
        self.close(self.open())
        (self.path / "aside").mkdir()
        failing = OSError(errno.EIO, "", str(self.path / "runs.db-wal"))
        (self.path / "runs.db-wal").write_bytes(b"\0" * 99)
        with patch("shellstream.storage.state_dir.look_at_wal", side_effect=failing):
            self.assertIn("Input/output error", self.unusable())
        self.assertEqual(os.listdir(self.path / "aside"), [])

    def test_seems_damaged(self) -> None:
        """What SQLite takes for damage may be a disk that fails: all stays."""
        state = self.open()
        self.add(state, "1")
        self.close(state)
        damage, opened = DatabaseDamaged("malformed"), Database.open
        failing = OSError(errno.EIO, "", str(self.path / "runs.db"))
        module = "shellstream.storage.state_dir"
        with (
            patch(f"{module}.Database.open", side_effect=damage),
            patch(f"{module}.read_through", side_effect=failing),
        ):
            self.assertIn(
                "runs.db cannot hold the state: Input/output", self.unusable()
            )
        again = [damage, opened(str(self.path / "runs.db"))]
        with patch(f"{module}.Database.open", side_effect=again):
            self.assertEqual(self.open().notices, [])

    def test_damaged_row(self) -> None:
        """A damaged row goes aside with its output, the other runs stay."""
        state = self.open()
        self.add(state, "1", "2")
        self.close(state)
        with contextlib.closing(sqlite3.connect(self.path / "runs.db")) as other:
            other.execute("UPDATE runs SET command = 'bui1d' WHERE id = '1'")
            other.commit()
        state = self.open()
        self.assertIn("1 runs in the history were damaged (1)", state.notices[0])
        (row,) = (self.path / "aside" / "runs.jsonl").read_text().splitlines()
        self.assertIn("bui1d", row)
        self.assertEqual(os.listdir(self.path / "aside" / "output"), ["1.log"])
        self.assertEqual(os.listdir(self.path / "output"), ["2.log"])
        with state.database.transaction():
            self.assertIsNone(state.database.get("1"))
            self.assertEqual(state.database.get("2"), evolve(RUN, id="2"))
        self.close(state)
        self.assertIn("0 histories, 1 outputs", self.open().notices[0])

    def test_remove_logs(self) -> None:
        """Logs are removed with their runs, also damaged ones; a log may be missing."""
        state = self.open()
        self.log(state, "1", "2")
        aside = state.set_aside_log("1")
        self.assertEqual(Path(aside).read_bytes(), b"output")
        self.assertFalse(Path(state.log_path("1")).exists())
        self.log(state, "1")
        state.remove_logs(["1", "3"])
        self.assertEqual(os.listdir(self.path / "output"), ["2.log"])

    def test_never_recorded(self) -> None:
        """After a kill, a young run of this folder that is unknown was not recorded."""
        state = self.open()
        now = time_ns() // 1000
        ours = next_id(now + 1_000_000, None, state.pepper)
        self.assertFalse(state.never_recorded(ours))  # there was no last daemon
        state.database.close()
        os.close(state._lock)  # as a kill does
        state = self.open()
        for run_id, never in (
            (ours, True),
            (next_id(now + 1_000_000, None, b"another folder"), False),
            (next_id(now - 60_000_000, None, state.pepper), False),
            ("no-id", False),
        ):
            self.assertIs(state.never_recorded(run_id), never, run_id)
        self.close(state)
        # It has not ended what it found: the next one looks again, however late.
        later = (now + 60_000_000) * 1000
        os.utime(self.path / "runs.db", ns=(later, later))
        state = self.open()
        self.assertTrue(state.never_recorded(ours))
        error = self.assertRaises(StateDirBusy, self.open)
        self.assertIn(f"(process {os.getpid()})", str(error))
        state.unrecorded_gone()
        self.close(state)
        self.assertFalse(self.open().never_recorded(ours))

    def test_sweep(self) -> None:
        """
        Logs of forgotten runs are deleted, logs without a run put aside, and those of
        new runs left alone.
        """
        state = self.open()
        self.log(state, "1", "2", "3", "5")
        state.set_aside_log("3")
        (self.path / "output" / "README").write_bytes(b"")
        self.close(state)
        state = self.open()
        self.log(state, "4")
        self.assertEqual(state.logs, {"1", "2", "3", "5"})
        self.assertEqual(state.sweep({"2"}, {"5"}), ["1", "3"])
        left = sorted(os.listdir(self.path / "output"))
        self.assertEqual(left, ["2.log", "4.log", "README"])
        aside = sorted(os.listdir(self.path / "aside" / "output"))
        self.assertEqual(aside, ["1.log", "3.log.damaged"])
        self.assertEqual(state.sweep(set(), set()), [])

    def test_aside_twice(self) -> None:
        """An output that is put aside never takes the place of another."""
        state = self.open()
        for _ in range(3):
            self.log(state, "1")
            state.logs = {"1"}
            state.sweep(set(), set())
        aside = sorted(os.listdir(self.path / "aside" / "output"))
        self.assertEqual(aside, ["1.log", "1.log.1", "1.log.2"])


class DefaultTests(SynchronousTestCase):
    """L{default_state_dir} finds the default place of the state."""

    def setUp(self) -> None:
        self.home = str(Path(self.mktemp()).absolute())
        os.mkdir(self.home)

    def test_systemd(self) -> None:
        """systemd's folder is the first choice; of several, the first."""
        environ = {"STATE_DIRECTORY": "/var/lib/a:/b", "XDG_STATE_HOME": "/x"}
        self.assertEqual(default_state_dir(environ), Path("/var/lib/a"))

    def test_xdg(self) -> None:
        """The desktop's is next, and ignored where it is relative."""
        environ = {"XDG_STATE_HOME": "/x", "HOME": self.home}
        self.assertEqual(default_state_dir(environ), Path("/x/shellstream"))
        environ["XDG_STATE_HOME"] = "x"
        self.assertEqual(
            default_state_dir(environ), Path(self.home, ".local/state/shellstream")
        )

    def test_nowhere(self) -> None:
        """Without a home directory there is no default."""
        for home in ("", "/", "here", "/nonexistent"):
            with self.subTest(home=home):
                self.assertIsNone(default_state_dir({"HOME": home}))
        self.assertIsNone(default_state_dir({}))
