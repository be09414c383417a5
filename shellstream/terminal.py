"""A terminal that hands on bytes as a pipe does, for programs that look for one."""

import os
import termios
import tty
from contextlib import ExitStack
from fcntl import ioctl
from struct import pack

#: Rows and columns. With none, as a new terminal has it, most programs assume
#: these, and those that do not look divide by zero.
SIZE = (24, 80)


#: What an error here is about.
PTMX = "/dev/ptmx"


def open_terminal() -> tuple[int, int]:
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
            ioctl(slave, termios.TIOCSWINSZ, pack("HHHH", *SIZE, 0, 0))
            writing = os.open(os.ttyname(slave), os.O_WRONLY | os.O_NOCTTY)
        except OSError as error:
            raise OSError(error.errno, error.strerror, PTMX) from None
        on_error.pop_all()
    return master, writing
