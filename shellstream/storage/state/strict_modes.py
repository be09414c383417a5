"""
Who could change a state folder: the daemon trusts only its own user and root.

Whoever can write there could put in queued runs, tokens, or links to files of the
daemon's user, and could take out the tokens, after which nobody has to authenticate. So
this is checked at each start, in the way of C{StrictModes} of sshd_config(5).
"""

import os
import stat
from grp import getgrgid
from pathlib import Path
from pwd import getpwuid

from shellstream.model.errors import ShellstreamError

#: What the daemon makes in the folder, and may not be a link or of another kind.
_FILES = {
    *("lock", "pepper", "runs.db", "runs.db-wal", "runs.db-shm", "audit.jsonl"),
    *("tokens.json", "tokens.lock", "tokens.required"),
}
_FOLDERS = {"output", "aside", "secrets", "tls"}

_OTHERS = stat.S_IWGRP | stat.S_IWOTH

#: The owner of files whose user a container does not know (user_namespaces(7)).
_UNKNOWN = 65534


class FolderUnsafe(ShellstreamError):
    """
    Other users could change the state.

    @ivar path: what they could change.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(reason)
        self.path = Path(path)


def check_folder(path: Path, owner: int) -> None:
    """
    Check a folder, and the way to it.

    @param owner: the user who may own it, beside root.
    @raise FolderUnsafe: if another user could change it, or put another in its place.
    @raise OSError: if it cannot be looked at.
    """
    found = os.stat(path)  # it may be a link, as with DynamicUser= of systemd
    _check_owner(path, found, owner)
    _check_mode(path, found)
    way = [*path.absolute().parents, *Path(os.path.realpath(path)).parents]
    for each in dict.fromkeys(way):
        _check_parent(each, os.lstat(each), owner)


def check_content(path: Path, owner: int) -> None:
    """
    Check what is in a state folder.

    @param owner: the user who may own it, beside root.
    @raise FolderUnsafe: if another user owns any of it, or could write what the daemon
        makes there; or if that is a link, which may lead to any file.
    @raise OSError: if it cannot be looked at.
    """
    with os.scandir(path) as entries:
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            _check_owner(entry.path, found, owner)
            for names, is_kind, kind in (
                (_FILES, stat.S_ISREG, "regular file"),
                (_FOLDERS, stat.S_ISDIR, "folder"),
            ):
                if entry.name in names:
                    if not is_kind(found.st_mode):
                        raise FolderUnsafe(entry.path, f"it is not a {kind}; remove it")
                    _check_mode(entry.path, found)


def whose(path: Path, user: int) -> str:
    """
    Who owns a folder that a user may not use, for a message; empty if it is that user,
    or cannot be told.
    """
    try:
        owner = os.stat(path).st_uid
    except OSError:
        return ""
    if owner == user:
        return ""
    return f" ({path} belongs to {_name(owner)}, and this runs as {_name(user)})"


def _name(user: int) -> str:
    try:
        return getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def _check_owner(path: str | Path, found: os.stat_result, owner: int) -> None:
    if found.st_uid not in (owner, 0):
        raise FolderUnsafe(
            path,
            f"it belongs to another user ({found.st_uid}), who could change anything; "
            "look at it, and remove it or make it your own by chown",
        )


def _check_mode(path: str | Path, found: os.stat_result) -> None:
    if found.st_mode & _OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise FolderUnsafe(
            path,
            f"other users may write to it (its mode is {mode:04o}); look whether they "
            f"have, then type: chmod go-w {path}",
        )


def _check_parent(path: Path, found: os.stat_result, owner: int) -> None:
    """Whoever can write to a folder can rename what is in it, unless it is sticky."""
    if found.st_uid not in (owner, 0, os.geteuid(), _UNKNOWN):
        raise FolderUnsafe(
            path, f"it belongs to another user ({found.st_uid}), who could replace it"
        )
    if stat.S_ISLNK(found.st_mode) or found.st_mode & stat.S_ISVTX:
        return
    writable = found.st_mode & stat.S_IWOTH
    if found.st_mode & stat.S_IWGRP and not _is_private(found.st_gid, found.st_uid):
        writable = True
    if writable:
        mode = stat.S_IMODE(found.st_mode)
        raise FolderUnsafe(
            path,
            f"other users may replace what is in it (its mode is {mode:04o}); "
            f"type: chmod go-w {path}",
        )


def _is_private(gid: int, uid: int) -> bool:
    """Whether it is root's group, or the user's own, which has the user's name."""
    try:
        user, group = getpwuid(uid), getgrgid(gid)
    except KeyError:
        return gid == 0
    own = gid == 0 or group.gr_name == user.pw_name
    return own and not {*group.gr_mem} - {user.pw_name, "root"}
