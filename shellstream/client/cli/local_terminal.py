"""The user's own terminal, while it belongs to a run."""

import os
import re
import termios
import tty
from collections.abc import Mapping

from shellstream.client.errors import Usage
from shellstream.client.feed import Tty

#: The most rows or columns, and the names of terminals, that the server accepts.
_MAX_SIDE, _TERM = 4096, re.compile("[A-Za-z0-9][A-Za-z0-9+._-]{0,63}")


class LocalTerminal:
    """
    The terminal that the client was started on. In raw mode every key goes to the run;
    L{restore} brings back the modes that it had.
    """

    def __init__(self, fd: int = 0) -> None:
        """@raise Usage: if C{fd} is not a terminal."""
        self._fd = fd
        try:
            self._modes = termios.tcgetattr(fd)
        except termios.error:
            raise Usage("--tty needs a terminal as standard input") from None

    def size(self) -> tuple[int, int] | None:
        """Its rows and columns; L{None} if it does not know, like a serial line."""
        columns, rows = os.get_terminal_size(self._fd)
        # tty_ioctl(4): 0 until someone sets it, as nobody does on a serial line.
        if rows < 1 or columns < 1:
            return None
        return min(rows, _MAX_SIDE), min(columns, _MAX_SIDE)

    def describe(self, environ: Mapping[str, str]) -> Tty:
        """The terminal that a run has to have to look like this one."""
        default = Tty()
        rows, columns = self.size() or (default.rows, default.columns)
        term = environ.get("TERM", "")
        return Tty(rows, columns, term if _TERM.fullmatch(term) else default.term)

    def set_raw(self) -> None:
        """Switch off echo, and the meaning that keys such as Ctrl-C have here."""
        # NOW, since DRAIN waits for output, and a stuck terminal shows none.
        tty.setraw(self._fd, termios.TCSANOW)

    def restore(self) -> None:
        """Bring back its own modes. Harmless when repeated."""
        try:
            termios.tcsetattr(self._fd, termios.TCSANOW, self._modes)
        except termios.error:  # its window was closed
            return


class EscapeDetector:
    """
    Finds C{~.} at the beginning of a line, with which a user leaves, as in ssh(1).
    There C{~~} sends one C{~}; with any other key, C{~} is sent as it is.

    @ivar found: whether it was typed.
    """

    def __init__(self) -> None:
        self.found = False
        self._line_start = True
        self._tilde = False  # typed at the start of a line, and not sent yet

    def feed(self, data: bytes) -> bytes:
        """Take what was typed; returns what to send of it."""
        sent = bytearray()
        for byte in b"" if self.found else data:
            if self._tilde:
                self._tilde = False
                if byte == ord("."):
                    self.found = True
                    break
                if byte != ord("~"):
                    sent.append(ord("~"))
            elif self._line_start and byte == ord("~"):
                self._tilde, self._line_start = True, False
                continue
            sent.append(byte)
            self._line_start = byte in b"\r\n"
        return bytes(sent)
