"""Finding a program's file and its dynamic loader."""

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from functools import lru_cache, partial

from twisted.logger import Logger

from .elf import interpreter_of, loader_of
from .unbuffering import Preload, changes_root

_log = Logger()

#: How many scripts may be each other's interpreters (execve(2)).
_DEPTH = 5

#: How much of a script is looked through for programs that change the root, in bytes.
_MAX_SCRIPT = 1 << 16

#: Seconds that a tool may take that does next to nothing.
CHECK_TIMEOUT = 10.0


def locate(name: str, path: str | None, cwd: str | None) -> str:
    """
    The file that execvp(3) would execute for a name.

    It is looked for here because a confined command is executed by the tools of
    L{process.confinement}: a missing program would look like an exit code of its own.

    @param path: C{$PATH} of the new process.
    @param cwd: its working directory, if not our own.
    @raise OSError: as from execvp, or because of C{cwd}, which it then names.
    """
    folders = [""] if "/" in name else (os.defpath if path is None else path).split(":")
    why = errno.ENOENT
    for folder in folders:
        # Of an absolute name, this is the name.
        file = os.path.join(cwd or "", folder, name) if cwd or folder else name
        try:
            found = os.stat(file)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                why = error.errno or why
            continue
        if stat.S_ISREG(found.st_mode) and os.access(file, os.X_OK):
            return file
        why = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EACCES
    if cwd is not None:
        os.scandir(cwd).close()
    raise OSError(why, os.strerror(why), name)


def find_loader(file: str) -> bytes | None:
    """
    The path of the dynamic loader of a program, or of a script's interpreter.

    L{None} if nothing may be preloaded: the program is static, set-user-id or
    set-group-id, of another format, or may not be read; or the script changes the root.

    @raise FileNotFoundError: if a script's interpreter does not exist.
    """
    for _ in range(_DEPTH):
        found = os.stat(file)
        if found.st_mode & (stat.S_ISUID | stat.S_ISGID):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        try:
            what = _inspect(file, found.st_dev, found.st_ino, found.st_mtime_ns)
        except OSError:  # executable, but not readable
            return None
        if not isinstance(what, str):
            return what
        file = what
    return None


# Asked at each start, so the answer is kept; a file that changes has another time.
@lru_cache(maxsize=256)
def _inspect(file: str, device: int, inode: int, mtime: int) -> bytes | str | None:
    """The loader of a program, or the interpreter of a script."""
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        read: Callable[[int, int], bytes] = partial(_read, fd)
        interpreter = interpreter_of(read)
        if interpreter is None:
            return loader_of(read)
        if changes_root(read(0, _MAX_SCRIPT).decode(errors="replace")):
            return None
        # A relative path depends on where the script is started: leave it alone.
        return os.fsdecode(interpreter) if os.path.isabs(interpreter) else None
    finally:
        os.close(fd)


def _read(fd: int, offset: int, size: int) -> bytes:
    # The offset may come from a damaged file, and pread(2) refuses larger ones.
    return os.pread(fd, size, offset) if offset < 1 << 62 else b""


def find_preload() -> Preload | None:
    """The library of C{stdbuf -oL}; L{None}, with a line in the log, without one."""
    try:
        return _ask_stdbuf()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        _log.info(
            "programs that use C's stdio hold their output back in a pipe, since "
            'stdbuf does not work ({error}); unbuffer = "pty" cures them',
            error=error,
        )
        return None


def _ask_stdbuf() -> Preload:
    stdbuf, env = shutil.which("stdbuf"), shutil.which("env")
    if stdbuf is None or env is None:
        raise FileNotFoundError("it is not here")
    answer = subprocess.run(  # noqa: S603
        [stdbuf, "-oL", env],
        env={},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=CHECK_TIMEOUT,
        check=True,
    ).stdout
    lines = os.fsdecode(answer).splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    library, its_loader = variables.get("LD_PRELOAD"), find_loader(stdbuf)
    # A command may run as any user, and its loader has to read the library.
    public = library and os.stat(library).st_mode & stat.S_IROTH
    if its_loader is None or not public:
        raise ValueError("it has no library that all users can read")
    return Preload(variables, its_loader)
