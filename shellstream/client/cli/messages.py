"""The client's own text: messages on stderr; help and completions on stdout."""

import os
import sys

from shellstream.client.errors import CannotWrite, ServerError
from shellstream.client.escape import encode, printable

#: To the first column, and erase the line.
_CLEAR = "\r\x1b[K"


class Messages:
    """
    Prints messages, as many as the user wants, and on a terminal one line that says
    what the user waits for.

    @ivar line_end: a raw terminal needs a carriage return too.
    @ivar shows_status: whether that line is shown.
    @ivar mid_line: whether the terminal shows output that has not ended its line.
    """

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self.line_end = "\n"
        self._quiet = quiet
        self._verbose = verbose
        dumb = os.environ.get("TERM", "dumb") == "dumb"
        self.shows_status = os.isatty(2) and not (quiet or dumb)
        self._has_status = self.mid_line = False

    def status(self, text: str) -> None:
        """Show what the user waits for, in place of what was shown before."""
        if self.shows_status:
            try:
                columns = os.get_terminal_size(2).columns or 80
            except OSError:
                columns = 80
            self._has_status = True
            _write(f"{_CLEAR}{printable(text)[: columns - 1]}")

    def clear_status(self) -> None:
        """Erase that line. Harmless when repeated."""
        if self._has_status:
            self._has_status = False
            _write(_CLEAR)

    def end_line(self) -> None:
        """Let what follows begin on a line of its own. Harmless when repeated."""
        if self.mid_line:
            self.mid_line = False
            _write(self.line_end)

    def error(self, text: str) -> None:
        """Print an error."""
        self.clear_status()
        self.end_line()
        print_message(text, self.line_end)

    def info(self, text: str) -> None:
        """Print what most users want to know; not with C{--quiet}."""
        if not self._quiet:
            self.error(text)

    def detail(self, text: str) -> None:
        """Print what few users want to know; only with C{--verbose}."""
        if self._verbose:
            self.error(text)

    def retrying(self, error: ServerError, delay: float) -> None:
        """Tell that a stream was cut, and when the next try is."""
        when = f" in {delay:.1f} s" if delay else ""
        self.detail(f"cut ({error.why}); reconnecting{when}")


def print_message(text: str, line_end: str = "\n") -> None:
    """Write one line to stderr, safe for any terminal. Errors are ignored."""
    _write(f"shellstream: {printable(text)}{line_end}")


def _write(text: str) -> None:
    # Not print(): sys.stderr is None where the descriptor was closed at the start.
    try:
        os.write(2, encode(text))
    except OSError:  # a closed stderr is no reason to lose the output on stdout
        return


def print_text(text: str) -> None:
    """
    Write text to standard output at once. At its exit Python would do it too late to
    report an error.

    @raise BrokenPipeError: if the reader has gone.
    @raise CannotWrite: for any other reason.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Python flushes once more at its exit, and would end with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            raise
        raise CannotWrite(f"standard output: {error.strerror}") from None
