"""Finding the file of a program, and looking into it."""

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from functools import lru_cache, partial

from twisted.logger import Logger

from .elf import Loader, interpreter_of, loader_of
from .unbuffering import Preload

_log = Logger()

#: How many scripts may be each other's interpreters, for Linux.
_DEPTH = 5

#: Seconds that a tool may take which does next to nothing.
CHECK_TIMEOUT = 10.0


def locate(name: str, path: str | None, cwd: str | None) -> str:
    """
    The file that execvp(3) executes for a name.

    What is asked for with the tools of L{config.confinement} is executed by them,
    so that its absence would look like an exit code of the command.

    @param path: C{$PATH} of the process to be.
    @param cwd: its working directory, if not our own.
    @raise OSError: as execvp would, or because of C{cwd}, which it then names.
    """
    folders = [""] if "/" in name else (os.defpath if path is None else path).split(":")
    why = errno.ENOENT
    for folder in folders:
        file = os.path.join(cwd or "", folder, name)
        try:
            found = os.stat(file)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                why = error.errno or why
            continue
        if stat.S_ISREG(found.st_mode) and os.access(file, os.X_OK):
            return file
        why = errno.EACCES
    if cwd is not None:
        os.scandir(cwd).close()
    raise OSError(why, os.strerror(why), name)


def loader(file: str) -> Loader | None:
    """
    What loads a program, or the interpreter of a script.

    L{None} if it may not be preloaded: the program is static, changes its user or
    group when it is executed, is in another format, or may not be read.

    @raise FileNotFoundError: if a script's interpreter is not there.
    """
    for _ in range(_DEPTH):
        found = os.stat(file)
        if found.st_mode & (stat.S_ISUID | stat.S_ISGID):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        try:
            what = _look(file, found.st_dev, found.st_ino, found.st_mtime_ns)
        except OSError:  # executable, but not readable
            return None
        if not isinstance(what, str):
            return what
        file = what
    return None


# Asked at each start: what a file holds is known by its inode and its time.
@lru_cache(maxsize=256)
def _look(file: str, device: int, inode: int, mtime: int) -> Loader | str | None:
    """The loader of a program, or the interpreter of a script."""
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        read: Callable[[int, int], bytes] = partial(_read, fd)
        interpreter = interpreter_of(read)
        if interpreter is None:
            return loader_of(read)
        # A relative one would be found from wherever the script is started.
        return os.fsdecode(interpreter) if os.path.isabs(interpreter) else None
    finally:
        os.close(fd)


def _read(fd: int, offset: int, size: int) -> bytes:
    # An offset that a damaged file names may be none.
    return os.pread(fd, size, offset) if offset < 1 << 62 else b""


def find_preload() -> Preload | None:
    """What C{stdbuf -oL} sets up here; L{None}, and a line in the log, if nothing."""
    preload, why = None, "there is no stdbuf"
    stdbuf, env = shutil.which("stdbuf"), shutil.which("env")
    if stdbuf and env:
        preload, why = _ask(stdbuf, env)
    if preload is None:
        _log.info(
            "programs that use C's stdio hold their output back in a pipe, since "
            '{why}; unbuffer = "pty" cures them',
            why=why,
        )
    return preload


def _ask(stdbuf: str, env: str) -> tuple[Preload | None, str]:
    try:
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
        libraries = variables.get("LD_PRELOAD", "")
        its_loader = loader(stdbuf)
        # By whichever user the command is to be run.
        public = os.stat(libraries).st_mode & stat.S_IROTH if libraries else 0
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return None, f"stdbuf is of no use ({error})"
    if its_loader is None or not public:
        return None, "stdbuf preloads nothing that could be used"
    return Preload(variables, its_loader), ""
