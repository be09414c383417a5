"""
Pseudo-terminals (pty(7)): one that passes bytes on like a pipe, and a real one. Our
ends of them are pipes that behave a little differently.
"""

import errno
import os
import select
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fcntl import ioctl
from struct import pack
from typing import Any

from shellstream.model.run_input import Tty
from shellstream.output.log import READ_SIZE

from .pipes import OutputPipe, PipeOwner, StdinPipe

#: A new terminal has no size. Most programs then assume this one; careless programs
#: divide by zero.
DEFAULT_TTY = Tty()

#: Erase a character of several bytes as one. It is missing in L{termios}
#: (asm-generic/termbits.h).
IUTF8 = 0x4000

#: The file name of all errors here.
PTMX = "/dev/ptmx"


def open_output_pty() -> tuple[int, int]:
    """
    A terminal for output alone: where it is read, and where it is written.

    It changes bytes no more than a pipe does. The writing end cannot be read, so that a
    program that asks for something there gets an error at once. It is no controlling
    terminal, so that asking for a password by C{/dev/tty} fails too.

    @raise OSError: if no terminal is left (C{ENOSPC}), or the system has no pty(7).
    """
    with _new_terminal() as (master, slave):
        tty.setraw(slave, termios.TCSANOW)
        ioctl(slave, termios.TIOCSWINSZ, winsize(DEFAULT_TTY))
        writing = os.open(os.ttyname(slave), os.O_WRONLY | os.O_NOCTTY)
    os.close(slave)
    return master, writing


def open_tty(size: Tty) -> tuple[int, int, str]:
    """
    A terminal that a person types at: their end, the programs' end, and its name.

    It does what terminals do: echo, line editing, Ctrl-C.

    @raise OSError: if no terminal is left (C{ENOSPC}), or the system has no pty(7).
    """
    with _new_terminal() as (master, slave):
        modes = termios.tcgetattr(slave)
        modes[0] |= IUTF8
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        ioctl(slave, termios.TIOCSWINSZ, winsize(size))
        return master, slave, os.ttyname(slave)


@contextmanager
def _new_terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a new terminal. An error closes them, and names L{PTMX}."""
    with ExitStack() as on_error:
        try:
            master, slave = os.openpty()
            on_error.callback(os.close, master)
            on_error.callback(os.close, slave)
            yield master, slave
        except OSError as error:
            raise OSError(error.errno, error.strerror, PTMX) from None
        on_error.pop_all()


def winsize(size: Tty) -> bytes:
    """A size as C{struct winsize} (tty_ioctl(2))."""
    return pack("HHHH", size.rows, size.columns, 0, 0)


def edits_lines(fd: int) -> bool:
    """Whether a terminal edits lines, or its program takes each key (termios(3))."""
    local: int = termios.tcgetattr(fd)[3]
    return bool(local & termios.ICANON)


def eof_key(fd: int) -> bytes:
    """What is typed at a terminal for the end of file; usually Ctrl-D, or nothing."""
    key: bytes = termios.tcgetattr(fd)[6][termios.VEOF]
    return key.strip(b"\0")  # a terminal without that key has a NUL in its place


class PtyOutput(OutputPipe):
    """
    The reading end of a pseudo-terminal, if the child writes to one.

    The kernel returns at most 4 KiB at once, and does not tell how much it has.
    """

    __slots__ = ("_edits_lines",)

    #: More than the kernel ever holds, in bytes: Linux 6 has 18 KiB (tty_buffer.c).
    MOST_HELD = 1 << 16

    def __init__(self, reactor: Any, owner: PipeOwner, number: int, fd: int) -> None:
        super().__init__(reactor, owner, number, fd)
        self._edits_lines: bool | None = None

    def doRead(self) -> None:
        super().doRead()
        if self._edits_lines is not None and self._wanted:
            self._repeat_eof()

    def child_exited(self) -> None:
        # poll(2) makes the kernel pass on all that it holds; FIONREAD does not.
        asked = select.poll()
        asked.register(self._fd, select.POLLIN)
        found = any(event & select.POLLIN for _, event in asked.poll(0))
        self.owed = self.MOST_HELD if found else 0

    def input_ended(self) -> None:
        """The end of file was typed: see L{_repeat_eof}."""
        self._edits_lines = edits_lines(self._fd)

    def _read(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        hung_up = False
        while size < READ_SIZE:
            try:
                data = os.read(self._fd, READ_SIZE - size)
            except BlockingIOError:
                if not parts:
                    raise
                self.owed = 0  # all that was owed has been read
                break
            except (OSError, MemoryError) as error:
                if parts:
                    break  # first these; the next read says it again
                if getattr(error, "errno", None) != errno.EIO:
                    raise
                # The end, for Linux (pty(7)). But the kernel looks for bytes first
                # and then for writers (n_tty_read), and may be interrupted in between
                # by a child that writes and exits. A second look is after its exit.
                if hung_up:
                    return b""
                hung_up = True
                continue
            if not data:
                break
            parts.append(data)
            size += len(data)
        return b"".join(parts)

    def _repeat_eof(self) -> None:
        """
        Type the end of file once more, if the terminal no longer edits lines.

        A shell that edits lines itself lets the terminal do it while it executes a
        command. An end of file typed at that time ends no read: the shell gets a NUL
        in its place when it comes back (N_TTY), and would wait for ever.
        """
        lines = edits_lines(self._fd)
        if self._edits_lines and not lines:
            with suppress(OSError):  # its input is full, or nobody reads it
                os.write(self._fd, eof_key(self._fd))
        self._edits_lines = lines


class PtyInput(StdinPipe):
    """The input of a child that has a terminal: what is written is typed there."""

    _last = b"\n"

    def watch_reader(self) -> None:
        """Not here: reading it would take the terminal's output from L{PtyOutput}."""

    def offer(self, data: memoryview, ready: Callable[[], None]) -> int:
        size = super().offer(data, ready)
        if size:
            self._last = bytes(data[size - 1 : size])
        return size

    def send_eof(self) -> None:
        """
        Type the terminal's end-of-file character, usually Ctrl-D.

        Within a line it only ends the line, and has to come twice (termios(3)).
        """
        eof = eof_key(self._fd)
        within = edits_lines(self._fd) and self._last not in (b"\n", b"\r", eof)
        self._type(memoryview(eof * (2 if within else 1)))

    def _type(self, keys: memoryview) -> None:
        if keys:
            keys = keys[self.offer(keys, lambda: self._type(keys)) :]
        if not keys and not self.disconnected:
            super().send_eof()
