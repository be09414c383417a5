"""Pseudo-terminals (pty(7)): one that passes bytes on like a pipe, and a real one."""

import os
import termios
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fcntl import ioctl
from struct import pack

from shellstream.model.run_input import Tty

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
