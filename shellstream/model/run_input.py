"""The standard input and the terminal of a run, and the errors of input."""

from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, instance_of, le, matches_re, optional

from .errors import ShellstreamError

#: The most rows or columns that a terminal may have: programs take memory for
#: each of its cells.
MAX_SIDE = 4096

_SIDE = and_(instance_of(int), ge(1), le(MAX_SIDE))

_OFFSET: Any = optional(instance_of(int))

#: A terminal's type, as terminfo(5) names it; it is never a path.
TERM = "[A-Za-z0-9][A-Za-z0-9+._-]{0,63}"


@frozen(kw_only=True)
class Tty:
    """
    A terminal for the input and output of a run.

    @ivar term: its type, for C{TERM}.
    """

    rows: int = field(default=24, validator=_SIDE)
    columns: int = field(default=80, validator=_SIDE)
    term: str = field(default="xterm", validator=matches_re(TERM))


@frozen(kw_only=True)
class StdinState:
    """
    How much of its input a run has taken.

    @ivar offset: in bytes; L{None}: not known, since the daemon was killed.
    @ivar open: whether it takes more.
    """

    offset: int | None = field(default=0, validator=_OFFSET)
    open: bool = field(default=True, validator=instance_of(bool))


@frozen
class StdinChunk:
    """
    A chunk of a run's input.

    @ivar offset: where in the input it begins; L{None}: after all that was taken.
    @ivar eof: whether it is the last.
    """

    data: bytes
    offset: int | None = None
    eof: bool = False


class InputNotTaken(ShellstreamError):
    """A chunk of input was not taken, or only a part of it."""

    status = 409

    def __init__(self, why: str, offset: int, retry_after: int | None = None) -> None:
        """@param offset: how much is taken, in bytes. A client goes on there."""
        super().__init__(
            why,
            retry_after=retry_after,
            headers={"Shellstream-Stdin-Offset": str(offset)},
            stdin_offset=offset,
        )


class InputMisplaced(InputNotTaken):
    """A chunk begins after bytes that are still missing."""

    def __init__(self, asked: int, offset: int) -> None:
        why = (
            f"the command has taken {offset} bytes of input so far, and this begins "
            f"at {asked}; go on with offset={offset}"
        )
        super().__init__(why, offset)


class InputBusy(InputNotTaken):
    """A chunk without an offset came while another waits for the command."""

    def __init__(self, offset: int) -> None:
        why = (
            "other input still waits for the command to read it; send this when that "
            "has been answered, or with its offset to take the other's place"
        )
        super().__init__(why, offset, retry_after=1)


class InputReplaced(InputNotTaken):
    """While a chunk waited for the command, a newer one replaced it."""

    def __init__(self, offset: int) -> None:
        why = (
            f"newer input came in place of this, of which all before {offset} was taken"
        )
        super().__init__(why, offset)


class InputClosed(InputNotTaken):
    """The command reads no more input, or its input was ended."""

    def __init__(self, offset: int) -> None:
        why = f"the input of this run is closed, after {offset} bytes; send no more"
        super().__init__(why, offset)


class NoInput(ShellstreamError):
    """Input was sent to a run that was started without."""

    status = 409
    text = 'this run was started without input; start one with {"stdin": true}'


class NoTerminal(ShellstreamError):
    """A new terminal size was sent to a run that was started without a terminal."""

    status = 409
    text = 'this run was started without a terminal; start one with {"tty": true}'
