"""Parameters that no command line should hold: C{ps} shows it to the whole machine."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from shellstream.client.errors import CannotRead, Usage
from shellstream.client.events import CommandInfo

#: The most bytes of a value that are read from a file.
MOST_OF_VALUE = 1 << 20


def read_params(
    params: Sequence[tuple[str, str]], words: Sequence[str]
) -> list[tuple[str, str]]:
    """
    Parameters, and those that come from files.

    @param words: C{NAME=FILE}; a C{-} for the file is standard input.
    @raise Usage: if a word is malformed, or a parameter is given twice.
    @raise CannotRead: if a file cannot be read, or holds no text.
    """
    found = list(params)
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            raise Usage(f"--param-file {word!r}: write NAME=FILE")
        if name in dict(found):
            raise Usage(f"{name}: given more than once")
        found.append((name, _read(path)))
    return found


def _read(path: str) -> str:
    """The text of a file, without its last line end."""
    what = "standard input" if path == "-" else path
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            data = file.read(MOST_OF_VALUE + 1)
        text = data.decode()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CannotRead(f"--param-file: {what}: {why}") from None
    if len(data) > MOST_OF_VALUE:
        raise CannotRead(f"--param-file: {what}: more than {MOST_OF_VALUE} bytes")
    return text.removesuffix("\n").removesuffix("\r")


def ask_missing(
    params: Sequence[tuple[str, str]],
    command: CommandInfo | None,
    ask: Callable[[str], str],
) -> list[tuple[str, str]]:
    """
    Parameters, and the secret ones that the command requires and nobody has given.

    @param ask: gets a prompt, and returns what the user types.
    """
    found = list(params)
    if command is not None:
        schema = command["parameters"]
        for name in schema["required"]:
            facts = schema["properties"].get(name, {})
            if facts.get("writeOnly") is True and name not in dict(found):
                found.append((name, ask(f"{name} for {command['name']}: ")))
    return found


def can_ask() -> bool:
    """Whether a user sits at a terminal and sees our messages."""
    if not os.isatty(2):
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def ask_secret(prompt: str) -> str:
    """What the user types at the terminal, without an echo; nothing at Ctrl-D."""
    from getpass import getpass  # late, as all that a run does not need

    with interruptible(), suppress(EOFError):
        return getpass(prompt)
    return ""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end the program while it asks: the reactor cannot call its handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        # The question's line has no end yet.
        print(file=sys.stderr, flush=True)
        os._exit(128 + signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
