"""Terminals: one that hands on bytes as a pipe does, and one to sit at."""

import os
import termios
import tty
from contextlib import ExitStack
from fcntl import ioctl
from struct import pack

from shellstream.model.run_input import Tty

#: Rows and columns. With none, as a new terminal has it, most programs assume
#: these, and those that do not look divide by zero.
DEFAULT_TTY = Tty()

#: That a character may have several bytes, and goes as one when it is erased; the
#: library does not have it (Linux: asm-generic/termbits.h, macOS: sys/termios.h).
IUTF8 = 0x4000

#: What an error here is about.
PTMX = "/dev/ptmx"


def open_output_pty() -> tuple[int, int]:
    """
    A terminal's two ends: where its output is read, and where it is written.

    The latter cannot be read from, so that a program that asks there for something
    is told at once that nobody will ever answer. It does no more to the bytes than a
    pipe, and is nobody's controlling terminal: whoever opens C{/dev/tty} to ask for
    a password fails.

    @raise OSError: if there are no more; C{ENOSPC} on Linux.
    """
    with ExitStack() as stack, ExitStack() as on_error:
        try:
            master, slave = os.openpty()
            stack.callback(os.close, slave)
            on_error.callback(os.close, master)
            tty.setraw(slave, termios.TCSANOW)
            ioctl(slave, termios.TIOCSWINSZ, winsize(DEFAULT_TTY))
            writing = os.open(os.ttyname(slave), os.O_WRONLY | os.O_NOCTTY)
        except OSError as error:
            raise OSError(error.errno, error.strerror, PTMX) from None
        on_error.pop_all()
    return master, writing


def open_tty(size: Tty) -> tuple[int, int, str]:
    """
    The two ends of a terminal that somebody sits at, theirs and the programs', and
    the name of the latter.

    It does what terminals do: echo, lines, Ctrl-C.

    @raise OSError: as above.
    """
    with ExitStack() as on_error:
        try:
            master, slave = os.openpty()
            on_error.callback(os.close, master)
            on_error.callback(os.close, slave)
            modes = termios.tcgetattr(slave)
            modes[0] |= IUTF8
            termios.tcsetattr(slave, termios.TCSANOW, modes)
            ioctl(slave, termios.TIOCSWINSZ, winsize(size))
            name = os.ttyname(slave)
        except OSError as error:
            raise OSError(error.errno, error.strerror, PTMX) from None
        on_error.pop_all()
    return master, slave, name


def winsize(size: Tty) -> bytes:
    """A size, as the kernel takes it: C{struct winsize}."""
    return pack("HHHH", size.rows, size.columns, 0, 0)
