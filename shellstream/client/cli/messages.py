"""The client's own messages on stderr."""

import os

from shellstream.client.errors import ServerError
from shellstream.client.escape import printable


class Messages:
    """
    Prints messages, as many as the user wants.

    @ivar line_end: a raw terminal needs a carriage return too.
    """

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self.line_end = "\n"
        self._quiet = quiet
        self._verbose = verbose

    def info(self, text: str) -> None:
        """Print what most users want to know; not with C{--quiet}."""
        if not self._quiet:
            print_message(text, self.line_end)

    def detail(self, text: str) -> None:
        """Print what few users want to know; only with C{--verbose}."""
        if self._verbose:
            print_message(text, self.line_end)

    def retrying(self, error: ServerError, delay: float) -> None:
        """Tell that a stream was cut, and when the next try is."""
        when = f" in {delay:.1f} s" if delay else ""
        self.detail(f"cut ({error.why}); reconnecting{when}")


def print_message(text: str, line_end: str = "\n") -> None:
    """Write one line to stderr, safe for any terminal. Errors are ignored."""
    # Not print(): sys.stderr is None where the descriptor was closed at the start.
    try:
        os.write(2, f"shellstream: {printable(text)}{line_end}".encode())
    except OSError:  # a closed stderr is no reason to lose the output on stdout
        return
