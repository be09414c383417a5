"""The terminal that we are started at, while it belongs to a run."""

import os
import re
import termios
import tty
from collections.abc import Mapping

from shellstream.client.errors import Usage
from shellstream.client.feed import Tty

#: What the server takes: rows and columns, and types.
_MAX_SIDE, _TERM = 4096, re.compile("[A-Za-z0-9][A-Za-z0-9+._-]{0,63}")


class Terminal:
    """
    A terminal that is made raw, so that all that is typed goes to the run, and
    L{restore}d, whatever happens.
    """

    def __init__(self, fd: int = 0) -> None:
        """@raise Usage: if there is none."""
        self._fd = fd
        try:
            self._modes = termios.tcgetattr(fd)
        except termios.error:
            why = "--tty needs a terminal to sit at, and standard input is none"
            raise Usage(why) from None

    def size(self) -> tuple[int, int] | None:
        """Its rows and columns, if it knows them."""
        columns, rows = os.get_terminal_size(self._fd)
        if rows < 1 or columns < 1:  # as serial lines are
            return None
        return min(rows, _MAX_SIDE), min(columns, _MAX_SIDE)

    def like(self, environ: Mapping[str, str]) -> Tty:
        """What a terminal has to be like that passes for this one."""
        usual = Tty()
        rows, columns = self.size() or (usual.rows, usual.columns)
        term = environ.get("TERM", "")
        return Tty(rows, columns, term if _TERM.fullmatch(term) else usual.term)

    def raw(self) -> None:
        """From now on nothing is echoed, and no key means anything here."""
        tty.setraw(self._fd, termios.TCSANOW)

    def restore(self) -> None:
        """As it was found. Harmless when repeated."""
        try:
            termios.tcsetattr(self._fd, termios.TCSANOW, self._modes)
        except termios.error:  # it was closed: there is nothing to restore
            return


class Escape:
    """
    Finds C{~.} at the beginning of a line, as ssh(1) does: who types it leaves.
    C{~~} there is one C{~}; before anything else it is nothing special.
    """

    def __init__(self) -> None:
        self.typed = False
        self._fresh = True  # at the beginning of a line
        self._held = False  # a ~ that came there

    def feed(self, data: bytes) -> bytes:
        """What of this is to be sent; C{typed} tells whether it was found."""
        sent = bytearray()
        for byte in b"" if self.typed else data:
            if self._held:
                self._held = False
                if byte == ord("."):
                    self.typed = True
                    break
                if byte != ord("~"):
                    sent.append(ord("~"))
            elif self._fresh and byte == ord("~"):
                self._held, self._fresh = True, False
                continue
            sent.append(byte)
            self._fresh = byte in b"\r\n"
        return bytes(sent)
