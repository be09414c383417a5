"""Tests for L{shellstream.storage.token_file}: its readers and its damage."""

import errno
import fcntl
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock, patch

from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.authorization import Grant
from shellstream.security.tokens import MAX_TOKENS, Token, TokenTable, create_token
from shellstream.storage import token_file
from shellstream.storage.token_file import TokenFile, TokensUnusable, account
from tests.support.programs import ROOT
from tests.support.tokens import unrecorded

ME = os.geteuid()


def new(name: str = "pi") -> Token:
    return create_token(name, Grant(), 1)[0]


class TokenFileTestCase(SynchronousTestCase):
    """A folder that is not there yet."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp(), "deep").absolute()
        self.file = TokenFile(self.folder)

    def add(self, token: Token) -> TokenTable:
        return self.file.change(lambda kept: {**kept, token.id: token}, unrecorded)

    def unusable(self, owner: int = ME) -> str:
        """Why it cannot be read."""
        return str(self.assertRaises(TokensUnusable, self.file.read, owner))


class KeptTests(TokenFileTestCase):
    """Changes are stored in the file."""

    def test_none(self) -> None:
        """A missing file or folder means no tokens."""
        self.assertIsNone(self.file.read(ME))
        self.assertIsNone(self.file.stamp())
        self.assertEqual(self.file.read_as_owner(), {})
        self.folder.parent.mkdir(parents=True)
        self.folder.write_bytes(b"")
        self.assertIsNone(self.file.read(ME))

    def test_change(self) -> None:
        """Each change is based on the last one, and changes the stamp."""
        one, two = new(), new("two")
        self.add(one)
        stamp = self.file.stamp()
        kept = self.add(two)
        self.assertEqual(kept, {one.id: one, two.id: two})
        self.assertEqual(self.file.read_as_owner(), kept)
        found = self.file.read(ME)
        assert found is not None
        self.assertEqual((found[0].tokens, found[1]), (kept, self.file.stamp()))
        self.assertNotEqual(self.file.stamp(), stamp)

    def test_linked(self) -> None:
        """The folder may be a link, as systemd makes it with DynamicUser."""
        self.add(new())
        link = self.folder.with_name("link")
        link.symlink_to(self.folder)
        token = new("two")
        TokenFile(link).change(lambda kept: {**kept, token.id: token}, unrecorded)
        self.assertIn(token.id, self.file.read_as_owner())

    def test_private(self) -> None:
        """The file is private at any time, whatever the umask."""
        modes: set[int] = set()

        def watched(path, flags, mode=0o777, **more):
            fd = real(path, flags, mode, **more)
            if str(self.folder) in str(path):
                modes.add(stat.S_IMODE(os.fstat(fd).st_mode))
            return fd

        real = os.open
        for umask in (0, 0o077, 0o777):
            self.addCleanup(os.umask, os.umask(umask))
            self.folder.parent.mkdir(0o700, parents=True, exist_ok=True)
            self.folder.mkdir(0o700, exist_ok=True)
            self.folder.chmod(0o700)
            self.patch(os, "open", watched)
            self.add(new())
            self.patch(os, "open", real)
            for each in self.folder.iterdir():
                self.assertEqual(stat.S_IMODE(each.stat().st_mode), 0o600, each)
        self.assertLessEqual(modes, {0o600, 0o700, 0})
        self.assertEqual(
            sorted(os.listdir(self.folder)),
            ["tokens.json", "tokens.lock", "tokens.required"],
        )

    def test_folder(self) -> None:
        """A folder that is made for it, and one above it, is private."""
        self.addCleanup(os.umask, os.umask(0))
        self.add(new())
        for each in (self.folder, self.folder.parent):
            self.assertEqual(stat.S_IMODE(each.stat().st_mode), 0o700)

    def test_two_processes(self) -> None:
        """Concurrent changes of several processes are all kept."""
        code = (
            "import pathlib, shellstream.storage.token_file as f\n"
            "import shellstream.security.tokens as t\n"
            "from shellstream.security.authorization import Grant\n"
            f"file = f.TokenFile(pathlib.Path({str(self.folder)!r}))\n"
            "for _ in range(20):\n"
            "    token, _ = t.create_token('x', Grant(), 1)\n"
            "    file.change(lambda kept: {**kept, token.id: token}, print)\n"
        )
        programs = [
            subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(3)
        ]
        self.assertEqual([each.wait() for each in programs], [0, 0, 0])
        self.assertEqual(len(self.file.read_as_owner()), 60)

    def test_killed(self) -> None:
        """The leftovers of a killed process do no harm."""
        one, two = new(), new()
        self.add(one)
        (self.folder / "tokens.json.new").write_bytes(b'{"version": 1, "tok')
        self.assertEqual(self.add(two), {one.id: one, two.id: two})

    def test_not_written(self) -> None:
        """A change that cannot be written leaves the tokens as they were."""
        one = new()
        self.add(one)
        for call in ("os.fsync", "os.replace"):
            with patch(call, side_effect=OSError(errno.ENOSPC, "")):
                error = self.assertRaises(TokensUnusable, self.add, new())
            self.assertIn("No space left on device; repair that", str(error))
            self.assertEqual(self.file.read_as_owner(), {one.id: one})

    def test_too_many(self) -> None:
        """The file refuses more tokens than the limit."""
        token = new()
        many = {f"{n:08x}": token for n in range(MAX_TOKENS + 1)}
        error = self.assertRaises(
            TokensUnusable, self.file.change, lambda _: many, unrecorded
        )
        self.assertIn("revoke some", str(error))
        self.assertIsNone(self.file.stamp())

    def test_busy(self) -> None:
        """The wait for another process's lock is limited."""
        self.patch(token_file, "_LOCK_TIMEOUT", 0.0)
        self.add(new())
        with open(self.folder / "tokens.lock", "rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            error = self.assertRaises(TokensUnusable, self.add, new())
        self.assertIn("another process has been changing", str(error))
        self.add(new())


class TrustTests(TokenFileTestCase):
    """A file that others could have read or written is not read."""

    def setUp(self) -> None:
        super().setUp()
        self.add(new())

    def test_too_open(self) -> None:
        """A file that is open to others is reported with the command that closes it."""
        for mode in (0o640, 0o604, 0o620, 0o602, 0o610, 0o777):
            self.file.path.chmod(mode)
            self.assertIn(
                f"(its mode is {mode:04o}); type: chmod 600 {self.file.path}",
                self.unusable(),
            )
        self.file.path.chmod(0o400)
        self.assertIsNotNone(self.file.read(ME))

    def test_anothers(self) -> None:
        """A file of another user is refused: its owner could add tokens."""
        with patch("os.fstat", return_value=self.of(4711)):
            self.assertIn("belongs to another user (4711)", self.unusable())
            self.assertIn(f"type: chown {ME} {self.file.path}", self.unusable())
            self.assertIsNotNone(self.file.read(4711))
        with patch("os.fstat", return_value=self.of(0)):
            self.assertIsNotNone(self.file.read(4711))

    def of(self, owner: int) -> os.stat_result:
        """Return a stat result with this owner."""
        found = os.stat(self.file.path)
        return os.stat_result((*found[:4], owner, *found[5:]))

    def test_for_the_owner(self) -> None:
        """A file that root makes for a daemon belongs to the daemon's user."""
        home = os.stat(self.folder)
        theirs = os.stat_result((*home[:4], 4711, 4712, *home[6:]))
        given = []
        self.patch(os, "fchown", lambda fd, *owner: given.append(owner))
        os.unlink(self.folder / "tokens.lock")
        with patch("shellstream.storage.token_file.os.stat", return_value=theirs):
            self.add(new())
        self.assertEqual(given, [(4711, 4712), (4711, 4712)])

    def test_no_file(self) -> None:
        """A symbolic link, a pipe and a folder are no file, and not waited for."""
        path = self.file.path
        path.rename(self.folder / "elsewhere")
        path.symlink_to(self.folder / "elsewhere")
        self.assertIn("Too many levels of symbolic links", self.unusable())
        path.unlink()
        os.mkfifo(path, 0o600)
        self.assertIn("is not a regular file; remove it", self.unusable())
        path.unlink()
        path.mkdir(0o700)
        self.assertIn("is not a regular file; remove it", self.unusable())

    def test_damaged(self) -> None:
        """A damaged file is reported, and left where it is."""
        for content, why in (
            (b"", "is damaged: it is not JSON"),
            (b"\xff", "is damaged: 'utf-8' codec can't decode"),
            (b"{}", "is damaged: version: found nothing"),
            (b'{"version": 9}', "is of a later version of shellstream"),
        ):
            self.file.path.write_bytes(content)
            for said in (
                self.unusable(),
                str(self.assertRaises(TokensUnusable, self.add, new())),
            ):
                self.assertIn(f"{self.file.path} {why}", said)
            self.assertEqual(self.file.path.read_bytes(), content)

    def test_huge(self) -> None:
        """No more of it is read than can be right."""
        self.patch(token_file, "_MAX_SIZE", 100)
        self.assertIn("it is larger than 100 bytes", self.unusable())

    def test_stamp(self) -> None:
        """Missing permission is an error, and does not count as a missing file."""
        with patch("os.stat", side_effect=PermissionError(errno.EACCES, "")):
            error = self.assertRaises(TokensUnusable, self.file.stamp)
        self.assertIn("Permission denied", str(error))
        self.assertIsNotNone(self.file.stamp())


class ChangesTests(TokenFileTestCase):
    """Each change is recorded before it is made."""

    def test_recorded(self) -> None:
        """Each change is recorded before the file is replaced."""
        one, two = new(), new("two")
        self.add(one)
        recorded = []

        def record(what: str, token: Token) -> None:
            self.assertEqual(self.file.read_as_owner(), {one.id: one})
            recorded.append((what, token))

        self.file.change(lambda _: {two.id: two}, record)
        self.assertEqual(recorded, [("revoked", one), ("made", two)])

    def test_not_recorded(self) -> None:
        """A change that cannot be recorded is not made."""
        token = new()
        record = Mock(side_effect=TokensUnusable("no audit"))
        self.assertRaises(
            TokensUnusable, self.file.change, lambda _: {token.id: token}, record
        )
        self.assertIsNone(self.file.stamp())

    def test_nothing_changed(self) -> None:
        """A change that changes nothing writes nothing."""
        self.add(new())
        stamp = self.file.stamp()
        self.file.change(lambda tokens: tokens, unrecorded)
        self.assertEqual(self.file.stamp(), stamp)


class AccountTests(SynchronousTestCase):
    """The user who made a change, as far as the system knows."""

    def test_name(self) -> None:
        """The account's name, with the user behind sudo if that is sane."""
        name = pwd.getpwuid(os.getuid()).pw_name
        self.assertEqual(account({}), name)
        for behind in ("alice", "a.b-c@example.org", "DOM\\al", "host$", "0"):
            found = account({"SUDO_USER": behind})
            self.assertEqual(found, f"{name} (sudo: {behind})")
        for behind in ("", "a b", "a\n", "x" * 65, "\x1b[2J", "ä", "-x", "a)"):
            self.assertEqual(account({"SUDO_USER": behind}), name)

    def test_no_name(self) -> None:
        """An account without a name, or with an odd one, has its number."""
        for answer in (
            {"side_effect": KeyError},
            {"return_value": Mock(pw_name="a\nb")},
        ):
            with patch("pwd.getpwuid", **answer):
                self.assertEqual(account({}), f"uid {os.getuid()}")
