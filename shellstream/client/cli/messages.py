"""Lines of ours on stderr."""

import os

from shellstream.client.errors import ServerError
from shellstream.client.escape import shown


class Messages:
    """
    Lines of ours on stderr, as many as are wanted.

    @ivar ending: what ends a line; a terminal that is raw wants more than others.
    """

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self.ending = "\n"
        self._quiet = quiet
        self._verbose = verbose

    def say(self, text: str) -> None:
        """Something that most want to know."""
        if not self._quiet:
            note(text, self.ending)

    def tell(self, text: str) -> None:
        """Something that few want to know."""
        if self._verbose:
            note(text, self.ending)

    def cut(self, error: ServerError, delay: float) -> None:
        """A stream was cut, and is taken up again."""
        when = f" in {delay:.1f} s" if delay else ""
        self.tell(f"cut ({error.why}); it is taken up again{when}")


def note(text: str, ending: str = "\n") -> None:
    """
    Write a line to stderr, whatever it is: what servers and files say is shown.

    Not to be heard is no reason to end.
    """
    try:
        os.write(2, f"shellstream: {shown(text)}{ending}".encode())
    except OSError:
        return
