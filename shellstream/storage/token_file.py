"""The file of the tokens, which only the daemon's user can read."""

import fcntl
import os
import pwd
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from attrs import frozen

from shellstream.model.errors import ShellstreamError
from shellstream.security.tokens import (
    MAX_TOKENS,
    SavedTokens,
    Token,
    TokensDamaged,
    TokensNewer,
    TokenTable,
    changes,
    parse,
    render,
)

from .state.files import FileStamp, file_stamp, make_folder, sync_folder
from .state.strict_modes import FolderUnsafe, check_folder

#: The largest file, in bytes. A token may have many patterns of commands.
_MAX_SIZE = 1 << 23

#: What the file says that marks a folder.
_MARK = (
    b"Clients need a token, even if tokens.json is lost. To let everybody on this "
    b"machine in again, stop the daemon and remove both files.\n"
)

#: Seconds to wait for another process that is changing the file.
_LOCK_TIMEOUT = 5.0

#: Neither follow a link nor wait for a pipe that stands in the place of a file.
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

#: Names of accounts that are safe to write, of this system or a directory service.
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+\\-]{0,63}\$?")


class TokensUnusable(ShellstreamError):
    """The file of the tokens cannot be read, written or trusted."""


def account(environ: Mapping[str, str]) -> str:
    """
    The name of this process's account, and the user behind it if sudo names one:
    C{root (sudo: alice)}. The second is only a claim: anybody can set the variable.
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


@frozen
class TokenFile:
    """
    The file of the tokens in a state folder: daemons read it, the token tool writes it.

    It is replaced as a whole, so readers need no lock; writers hold one. A second file
    marks a folder that has had tokens: if the first one is lost, as with a copy that
    was restored in part, clients are still asked for one.
    """

    folder: Path

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self.folder / "tokens.json"

    @property
    def marker(self) -> Path:
        """The path of the file that marks a folder that has had tokens."""
        return self.folder / "tokens.required"

    def is_marked(self) -> bool:
        """
        Whether the folder has had tokens.

        @raise TokensUnusable: if the system does not let us look.
        """
        with self._explained():
            try:
                os.stat(self.marker, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                return False
            return True

    def mark(self) -> None:
        """
        Mark the folder, if it is not marked yet.

        @raise TokensUnusable: if the system does not let us.
        """
        with self._explained(), suppress(FileExistsError):
            file = _create(self.marker, os.stat(self.folder))
            with open(file, "wb") as opened:
                opened.write(_MARK)

    def stamp(self) -> FileStamp | None:
        """
        The stamp of the file as it is now; L{None} if there is no file.

        @raise TokensUnusable: if the system does not let us look.
        """
        with self._explained():
            try:
                return file_stamp(os.stat(self.path, follow_symlinks=False))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read(self, owner: int) -> tuple[SavedTokens, FileStamp] | None:
        """
        Read the file; L{None} if there is none.

        @param owner: the user who may own the file, beside root.
        @raise TokensUnusable: if it cannot be read, or if others could have read or
            written it.
        """
        with self._explained():
            try:
                fd = os.open(self.path, os.O_RDONLY | _OPEN)
            except (FileNotFoundError, NotADirectoryError):
                return None
            with _closing(fd):
                found = os.fstat(fd)
                self._check(found, owner)  # open() would refuse a folder in its words
                with open(fd, "rb", closefd=False) as file:
                    data = file.read(_MAX_SIZE + 1)
        if len(data) > _MAX_SIZE:
            raise self._damaged(f"it is larger than {_MAX_SIZE} bytes")
        try:
            return parse(data.decode()), file_stamp(found)
        except (UnicodeDecodeError, TokensDamaged) as error:
            raise self._damaged(str(error)) from None
        except TokensNewer as error:
            raise TokensUnusable(
                f"{self.path} is of a later version of shellstream: {error}; install "
                "that one, or choose another --state-dir"
            ) from None

    def read_as_owner(self) -> TokenTable:
        """
        The tokens in the file, for the owner of the folder and for root.

        @raise TokensUnusable: as for L{read}.
        """
        with self._explained():
            try:
                home = os.stat(self.folder)
            except FileNotFoundError:
                return {}
            found = self.read(home.st_uid)
        return {} if found is None else found[0].tokens

    def change(
        self,
        change: Callable[[TokenTable], TokenTable],
        record: Callable[[str, Token], None],
    ) -> TokenTable:
        """
        Replace the tokens by the result of C{change}, and return that.

        The file is on the disk then, and belongs to the owner of the folder: root may
        do this for a daemon.

        @param record: takes each change (see L{changes}) before it is written, so that
            a change that cannot be audited is not made.
        @raise TokensUnusable: if they cannot be read or written, or are too many.
        """
        with self._explained():
            make_folder(self.folder)
            home = os.stat(self.folder)
            check_folder(self.folder, home.st_uid)
            with self._locked(home):
                before = self.read_as_owner()
                after = change(before)
                if after == before:
                    return after
                data = render(SavedTokens(after, secrets.token_hex(8))).encode()
                if len(after) > MAX_TOKENS or len(data) > _MAX_SIZE:
                    raise TokensUnusable(
                        f"{self.path} would hold more than {MAX_TOKENS} tokens, or "
                        f"{_MAX_SIZE} bytes; revoke some"
                    )
                for what, token in changes(before, after):
                    record(what, token)
                self.mark()
                self._replace(data, home)
        return after

    # The checks are made on the open file: a path could lead elsewhere a moment later.
    def _check(self, found: os.stat_result, owner: int) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise TokensUnusable(f"{self.path} is not a regular file; remove it")
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
            f"{self.path} is damaged: {why}; restore it from a copy, or remove it and "
            "make all tokens again"
        )

    def _replace(self, data: bytes, home: os.stat_result) -> None:
        new = self.folder / "tokens.json.new"
        with suppress(FileNotFoundError):
            os.unlink(new)  # a process was killed while it wrote this
        with open(_create(new, home), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # Readers see the old file or the new one, never a part.
        os.replace(new, self.path)
        sync_folder(self.folder)

    @contextmanager
    def _locked(self, home: os.stat_result) -> Iterator[None]:
        path = self.folder / "tokens.lock"
        try:
            lock = _create(path, home)
        except FileExistsError:
            lock = os.open(path, os.O_RDWR | _OPEN)
        with _closing(lock):
            self._lock(lock)
            yield

    def _lock(self, lock: int) -> None:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TokensUnusable(
                        f"another process has been changing {self.path} for "
                        f"{_LOCK_TIMEOUT:g} s; try again"
                    ) from None
            time.sleep(0.02)  # a blocking flock(2) would have no timeout

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the system into L{TokensUnusable}."""
        try:
            yield
        except OSError as error:
            where = error.filename or self.path
            raise TokensUnusable(
                f"{where} cannot be used for tokens: {os.strerror(error.errno or 0)}; "
                "repair that, or choose another --state-dir"
            ) from None
        except FolderUnsafe as error:
            raise TokensUnusable(f"{error.path}: {error}") from None


@contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def _create(path: Path, home: os.stat_result) -> int:
    """
    Create a file for the owner of a folder alone, whatever the umask.

    @raise FileExistsError: if it exists.
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
