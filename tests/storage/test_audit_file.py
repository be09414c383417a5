"""Tests for L{shellstream.storage.audit_file}."""

import os
import resource
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from shellstream.storage.audit_file import AuditFile, AuditUnusable, append_line


class AuditFileTests(SynchronousTestCase):
    """An L{AuditFile} holds whole lines, and does not grow for ever."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.open()

    def open(self, max_size: int = 1 << 20, keep: int = 2) -> AuditFile:
        file = AuditFile(self.path, max_size, keep)
        self.addCleanup(file.close)
        return file

    def texts(self) -> list[str]:
        """Return the contents of the file and of its rotated predecessors."""
        names = sorted(self.path.parent.glob(f"{self.path.name}*"))
        return [each.read_text("ascii") for each in names]

    def test_append(self) -> None:
        """Lines are appended, also by the next daemon."""
        self.file.write("a")
        self.file.write("b")
        self.open().write("c")
        self.assertEqual(self.texts(), ["a\nb\nc\n"])

    def test_private(self) -> None:
        """The file is private from its creation, for any umask; so is the next one."""
        self.addCleanup(os.umask, os.umask(0))
        file = self.open(max_size=1)
        file.write("a")
        file.write("b")
        paths = sorted(self.path.parent.glob(f"{self.path.name}*"))
        self.assertEqual([each.stat().st_mode & 0o777 for each in paths], [0o600] * 2)

    def test_mode_kept(self) -> None:
        """A file that the operator made readable to others stays readable."""
        self.path.touch(0o640)
        self.file.write("a")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o640)

    def test_rotated(self) -> None:
        """A file that is large enough is rotated; a limited number is kept."""
        file = self.open(max_size=4)
        for text in "abcdefg":
            file.write(text)
        self.assertEqual(self.texts(), ["g\n", "e\nf\n", "c\nd\n"])

    def test_large_line(self) -> None:
        """A line that is larger than that has a file for itself."""
        file = self.open(max_size=4)
        for text in ("a", "bbbbbbbb", "c"):
            file.write(text)
        self.assertEqual(self.texts(), ["c\n", "bbbbbbbb\n", "a\n"])

    def test_large_batch(self) -> None:
        """Lines that are together larger than that are in several files."""
        file = self.open(max_size=4)
        file.write("a\nb")
        file.write("c\nd\ne")
        self.assertEqual(self.texts(), ["e\n", "c\nd\n", "a\nb\n"])

    def test_moved_away(self) -> None:
        """When another program moves or deletes the file, a new one is begun."""
        self.file.write("a")
        self.path.rename(f"{self.path}-moved")
        self.file.write("b")
        self.assertEqual(self.texts(), ["b\n", "a\n"])
        self.path.unlink()
        self.file.write("c")
        self.assertEqual(self.texts(), ["c\n", "a\n"])

    def test_truncated(self) -> None:
        """When another program truncates the file, it goes on from there."""
        self.file.write("a")
        os.truncate(self.path, 0)
        self.file.write("b")
        self.assertEqual(self.texts(), ["b\n"])

    def test_torn(self) -> None:
        """A line that was cut off when the machine stopped ends before the next."""
        self.path.write_text('{"time":')
        self.file.write("a")
        self.file.write("b")
        self.assertEqual(self.texts(), ['{"time":\na\nb\n'])

    def test_torn_beside(self) -> None:
        """So does one that another program has cut off since."""
        self.file.write("a")
        with self.path.open("a") as other:
            other.write('{"ti')
        self.file.write("b")
        self.assertEqual(self.texts(), ['a\n{"ti\nb\n'])

    def limit(self, size: int) -> None:
        """No file may become larger than that, as if the disk was full."""
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    def test_full(self) -> None:
        """
        A line for which there is no room leaves nothing behind, and the next is whole.
        """
        self.file.write("a")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            self.limit(4)
            self.assertRaises(OSError, self.file.write, "bbbbbbbb")
            part = self.texts()
            self.limit(2)
            self.assertRaises(OSError, self.file.write, "bbbbbbbb")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        self.file.write("c")
        self.assertEqual(part, ["a\n"])
        self.assertEqual(self.texts(), ["a\nc\n"])

    def test_no_file(self) -> None:
        """A path that is not a regular file fails at once, without waiting."""
        os.mkfifo(self.path)
        error = self.assertRaises(OSError, self.file.open)
        self.assertIn("not a regular file", str(error))
        self.path.unlink()
        self.path.mkdir()
        self.assertRaises(IsADirectoryError, self.file.open)

    def test_cannot_be_rotated(self) -> None:
        """A file that cannot be moved away does not grow."""
        file = self.open(max_size=2, keep=1)
        file.write("a")
        before = Path(f"{self.path}.1")
        (before / "x").mkdir(parents=True)
        self.assertRaises(OSError, file.write, "b")
        self.assertEqual(self.path.read_text(), "a\n")
        (before / "x").rmdir()
        before.rmdir()
        file.write("b")
        self.assertEqual(self.texts(), ["b\n", "a\n"])


class AppendLineTests(SynchronousTestCase):
    """L{append_line} adds to the audit of a state folder, beside a daemon."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.path = self.folder / "audit.jsonl"

    def refused(self) -> str:
        return str(self.assertRaises(AuditUnusable, append_line, self.folder, "a"))

    def test_beside_daemon(self) -> None:
        """The first line creates the file, private; a daemon appends to the same."""
        self.addCleanup(os.umask, os.umask(0))
        append_line(self.folder, "a")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        file = AuditFile(self.path, 5, 1)
        self.addCleanup(file.close)
        file.write("b")
        append_line(self.folder, "c")
        file.write("d")
        self.assertEqual(Path(f"{self.path}.1").read_text(), "a\nb\nc\n")
        self.assertEqual(self.path.read_text(), "d\n")

    def test_torn(self) -> None:
        """A line that was cut off ends before the next."""
        self.path.write_text('{"time":')
        append_line(self.folder, "a")
        self.assertEqual(self.path.read_text(), '{"time":\na\n')

    def test_elsewhere(self) -> None:
        """A line follows the daemon's own symbolic link."""
        elsewhere = Path(self.mktemp()).absolute()
        (self.folder / "audit").symlink_to(elsewhere)
        append_line(self.folder, "a")
        append_line(self.folder, "b")
        self.assertEqual(elsewhere.read_text(), "a\nb\n")
        self.assertFalse(self.path.exists())

    def test_another_user(self) -> None:
        """
        A file that does not belong to the folder's owner is neither made nor changed.
        """
        found = os.stat(self.folder)
        home = os.stat_result((*found[:4], 4711, *found[5:]))
        with patch("shellstream.storage.audit_file.os.stat", return_value=home):
            self.assertIn("does not own this", self.refused())
            self.assertEqual(os.listdir(self.folder), [])
            self.path.touch()
            self.assertIn("does not own this", self.refused())
        self.assertEqual(self.path.read_text(), "")

    def test_for_the_owner(self) -> None:
        """A file that root creates belongs to the daemon's user."""
        given = []
        self.patch(os, "fchown", lambda fd, *owner: given.append(owner))
        home = os.stat(self.folder)
        self.patch(os, "geteuid", lambda: home.st_uid + 1)
        append_line(self.folder, "a")
        self.assertEqual(given, [(home.st_uid, home.st_gid)])

    def test_no_file(self) -> None:
        """A link in its place is not followed, and a pipe not waited for."""
        self.path.symlink_to(self.mktemp())
        self.assertIn("Too many levels of symbolic links", self.refused())
        self.path.unlink()
        os.mkfifo(self.path)
        self.assertIn("it is not a regular file", self.refused())
