"""The file that tokens are kept in, and which nobody but the daemon's user reads."""

import fcntl
import os
import pwd
import re
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

from attrs import frozen

from shellstream.model.errors import ShellstreamError
from shellstream.security.token_journal import (
    Book,
    Change,
    TokensDamaged,
    TokensNewer,
    parse,
    render,
)
from shellstream.security.tokens import MOST, Kept

from .state_dir import make_folder

#: How large the file may be, in bytes: without the changes, of which each is small,
#: and with them.
_MAX_SIZE, _MAX_WHOLE = 1 << 22, 1 << 23

#: Seconds to wait for another process that is just changing the file.
_LOCK_TIMEOUT = 5.0

#: Whatever has been put in the place of a file is neither followed nor waited for.
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class TokensUnusable(ShellstreamError):
    """The file of the tokens cannot be read or written, or cannot be trusted."""


#: What a name is that nobody wonders at, of this system or of a directory service.
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+\\-]{0,63}\$?")


def account(environ: Mapping[str, str]) -> str:
    """
    The name of the account that this process is of, and of whom sudo says that they
    are behind it: C{root (sudo: alice)}. The second anybody may say of themselves.
    """
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    if not _ACCOUNT.fullmatch(name):
        name = f"uid {uid}"
    behind = environ.get("SUDO_USER", "")
    return f"{name} (sudo: {behind})" if _ACCOUNT.fullmatch(behind) else name


class Stamp(NamedTuple):
    """What tells whether a file has changed."""

    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@frozen
class TokenFile:
    """
    Tokens in a folder, which daemons read and the tool changes.

    It is replaced as a whole, so that who reads it needs no lock; who changes it has
    one.
    """

    folder: Path

    @property
    def path(self) -> Path:
        """Where they are."""
        return self.folder / "tokens.json"

    def stamp(self) -> Stamp | None:
        """
        What tells whether it has changed; L{None} if it is not there.

        @raise TokensUnusable: if nobody can tell.
        """
        with self._told():
            try:
                return Stamp.of(os.stat(self.path, follow_symlinks=False))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read(self, owner: int) -> tuple[Book, Stamp] | None:
        """
        What is in it, and what tells whether that has changed; L{None} if there is no
        file.

        @param owner: the user, beside root, whose file it may be.
        @raise TokensUnusable: if it cannot be read, or if others could have read or
            written it.
        """
        with self._told():
            try:
                fd = os.open(self.path, os.O_RDONLY | _OPEN)
            except (FileNotFoundError, NotADirectoryError):
                return None
            with ExitStack() as unless_read:
                unless_read.callback(os.close, fd)
                found = os.fstat(fd)
                self._check(found, owner)
                unless_read.pop_all()
            with open(fd, "rb") as file:
                data = file.read(_MAX_WHOLE + 1)
        if len(data) > _MAX_WHOLE:
            raise self._damaged(f"it is larger than {_MAX_WHOLE} bytes")
        try:
            return parse(data.decode()), Stamp.of(found)
        except (UnicodeDecodeError, TokensDamaged) as error:
            raise self._damaged(str(error)) from None
        except TokensNewer as error:
            raise TokensUnusable(
                f"{self.path} is of a later version of shellstream: {error}; install "
                "that one, or choose another --state-dir"
            ) from None

    def read_its_owners(self) -> Book:
        """
        What is in it, whoever's folder it is; nothing if there is no file.

        @raise TokensUnusable: as for L{read}.
        """
        with self._told():
            try:
                home = os.stat(self.folder)
            except FileNotFoundError:
                return Book()
            found = self.read(home.st_uid)
        return Book() if found is None else found[0]

    def change(self, change: Callable[[Kept], Kept], who: str, now: int) -> Kept:
        """
        Replace the tokens by what is made of them. They are on the disk then, for
        the user whose folder it is: root may do this for a daemon. So is who did it.

        @raise TokensUnusable: if they cannot be read or written, or are too many.
        """
        return self._write(lambda book: book.changed(change(book.kept), who, now)).kept

    def take_out(self, noted: Collection[Change]) -> None:
        """
        Forget changes that are noted elsewhere.

        @raise TokensUnusable: if that cannot be written.
        """
        self._write(lambda book: book.without(noted))

    def _write(self, make: Callable[[Book], Book]) -> Book:
        with self._told():
            make_folder(self.folder)
            home = os.stat(self.folder)
            with self._locked(home):
                before = self.read_its_owners()
                book = make(before)
                if book == before:
                    return book
                size = len(render(Book(book.kept)))
                if len(book.kept) > MOST or size > _MAX_SIZE:
                    raise TokensUnusable(
                        f"{self.path} would hold more than {MOST} tokens, or "
                        f"{_MAX_SIZE} bytes; revoke some"
                    )
                self._replace(render(book).encode(), home)
        return book

    def _check(self, found: os.stat_result, owner: int) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise TokensUnusable(f"{self.path} is no file; remove it")
        if found.st_uid not in (owner, 0):
            raise TokensUnusable(
                f"{self.path} belongs to another user ({found.st_uid}), who could let "
                f"anybody in; type: chown {owner} {self.path}"
            )
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            raise TokensUnusable(
                f"{self.path} may be read or written by others (its mode is "
                f"{mode:04o}); type: chmod 600 {self.path}"
            )

    def _damaged(self, why: str) -> TokensUnusable:
        return TokensUnusable(
            f"{self.path} is damaged: {why}; put a copy back that is right, or remove "
            "it and make all tokens anew"
        )

    def _replace(self, data: bytes, home: os.stat_result) -> None:
        new = self.folder / "tokens.json.new"
        with suppress(FileNotFoundError):
            os.unlink(new)  # of one who was killed
        with open(_create(new, home), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _locked(self, home: os.stat_result) -> Iterator[None]:
        path = self.folder / "tokens.lock"
        try:
            lock = _create(path, home)
        except FileExistsError:
            lock = os.open(path, os.O_RDWR | _OPEN)
        try:
            self._lock(lock)
            yield
        finally:
            os.close(lock)

    def _lock(self, lock: int) -> None:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TokensUnusable(
                        f"{self.path} is being changed by another process, which does "
                        "not come to an end; try again"
                    ) from None
            time.sleep(0.02)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what the system says as what it means for tokens."""
        try:
            yield
        except OSError as error:
            where = error.filename or self.path
            raise TokensUnusable(
                f"{where} cannot be used for tokens: {os.strerror(error.errno or 0)}; "
                "repair that, or choose another --state-dir"
            ) from None


def _create(path: Path, home: os.stat_result) -> int:
    """
    Make a file for the owner of a folder alone, whatever the umask.

    @raise FileExistsError: if it is there.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _OPEN, 0o600)
    with ExitStack() as on_error:
        on_error.callback(os.unlink, path)
        on_error.callback(os.close, fd)
        os.fchmod(fd, 0o600)
        if home.st_uid != os.geteuid():
            os.fchown(fd, home.st_uid, home.st_gid)
        on_error.pop_all()
    return fd
