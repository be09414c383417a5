"""How the daemon refuses to start."""

from collections.abc import Iterator
from contextlib import contextmanager


class DaemonCannotStart(SystemExit, Exception):
    """
    Stops the daemon with one line.

    It has to be both. From an L{Exception} twistd tells the terminal that started a
    background daemon why it failed; without one that terminal waits for ever. A
    L{SystemExit} ends the process without a traceback.
    """


@contextmanager
def stopping_on(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of these kinds, whose texts are for operators, into the above."""
    try:
        yield
    except kinds as error:
        raise DaemonCannotStart(f"shellstream: {error}") from None
