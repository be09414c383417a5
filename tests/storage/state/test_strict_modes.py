"""Tests for L{shellstream.storage.state.strict_modes}."""

import os
import stat
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from shellstream.storage.state.strict_modes import (
    FolderUnsafe,
    check_content,
    check_folder,
)

ME = os.geteuid()


class StrictModesTests(SynchronousTestCase):
    """Only the owner and root may be able to change a state folder."""

    def setUp(self) -> None:
        self.above = Path(os.path.realpath(self.mktemp()))
        self.folder = self.above / "state"
        self.folder.mkdir(parents=True)
        self.above.chmod(0o755)
        self.folder.chmod(0o755)

    def give(self, path: Path) -> None:
        """Give a file to another user, or skip the test."""
        if ME:
            raise SkipTest("only root may give files away")
        os.lchown(path, 4711, 4711)

    def refused(self, path: Path, words: str) -> None:
        """The folder is refused for this path, with these words."""
        error = self.assertRaises(FolderUnsafe, self.check)
        self.assertEqual(error.path, path)
        self.assertIn(words, str(error))

    def check(self) -> None:
        check_folder(self.folder, ME)
        check_content(self.folder, ME)

    def test_good(self) -> None:
        """A folder that others may only read, with any files of ours, is good."""
        for name in ("lock", "runs.db", "pepper", "notes"):
            (self.folder / name).touch(0o644)
        (self.folder / "notes").chmod(0o666)  # nothing that the daemon uses
        (self.folder / "audit").symlink_to("/var/log/audit.jsonl")
        (self.folder / "output").mkdir(0o755)
        self.check()

    def test_modes(self) -> None:
        """Neither the folder nor what the daemon makes in it is written by others."""
        for mode in (0o775, 0o757, 0o777, 0o1777):
            with self.subTest(mode=mode):
                self.folder.chmod(mode)
                self.refused(self.folder, f"its mode is {mode:04o}")
        self.folder.chmod(0o700)
        for name in ("runs.db", "pepper", "tokens.json"):
            with self.subTest(name=name):
                file = self.folder / name
                file.touch()
                file.chmod(0o660)
                self.refused(file, "type: chmod go-w")
                file.unlink()

    def test_kinds(self) -> None:
        """A link, a pipe or a folder is not taken for a file of the daemon."""
        for name, make in (
            ("lock", lambda path: path.symlink_to("/etc/passwd")),
            ("runs.db", lambda path: path.symlink_to("nowhere")),
            ("pepper", os.mkfifo),
            ("tokens.lock", Path.mkdir),
            ("output", Path.touch),
            ("aside", lambda path: path.symlink_to("/tmp")),
        ):
            with self.subTest(name=name):
                file = self.folder / name
                make(file)
                self.refused(file, "it is not a")
                (
                    file.rmdir
                    if file.is_dir() and not file.is_symlink()
                    else file.unlink
                )()

    def test_owners(self) -> None:
        """A file of another user is refused, whatever its name is."""
        for name in ("notes", "runs.db"):
            with self.subTest(name=name):
                file = self.folder / name
                file.touch()
                self.give(file)
                self.refused(file, "it belongs to another user (4711)")
                file.unlink()
        self.give(self.folder)
        self.refused(self.folder, "it belongs to another user (4711)")

    def test_way(self) -> None:
        """Nobody else can put another folder in its place, save root."""
        self.above.chmod(0o777)
        self.refused(self.above, "other users may replace what is in it")
        self.above.chmod(0o1777)
        self.check()
        self.above.chmod(0o755)
        self.give(self.above)
        self.refused(self.above, "who could replace it")

    def test_link_to_it(self) -> None:
        """The folder may be a link of ours; then both ways are checked."""
        other = Path(os.path.realpath(self.mktemp()))
        other.mkdir()
        link = other / "link"
        link.symlink_to(self.folder)
        check_folder(link, ME)
        for harmed in (other, self.above):
            harmed.chmod(0o777)
            error = self.assertRaises(FolderUnsafe, check_folder, link, ME)
            self.assertEqual(error.path, harmed)
            harmed.chmod(0o755)

    def test_own_group(self) -> None:
        """A folder on the way may be written by the user's own group, as with 002."""
        if not ME:
            os.chown(self.above, 0, 4711)
        self.above.chmod(0o775)
        for name, members, good in (
            ("ann", [], True),
            ("ann", ["ann", "root"], True),
            ("ann", ["bob"], False),
            ("users", [], False),  # it is the first group of all
        ):
            with self.subTest(name=name, members=members):
                user = SimpleNamespace(pw_name="ann")
                group = SimpleNamespace(gr_name=name, gr_mem=members)
                module = "shellstream.storage.state.strict_modes"
                with (
                    patch(f"{module}.getpwuid", return_value=user),
                    patch(f"{module}.getgrgid", return_value=group),
                ):
                    if good:
                        check_folder(self.folder, ME)
                    else:
                        self.assertRaises(FolderUnsafe, check_folder, self.folder, ME)
        self.assertEqual(stat.S_IMODE(self.above.stat().st_mode), 0o775)
