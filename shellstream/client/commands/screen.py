"""The terminal that a table is printed on."""

import os
from collections.abc import Mapping
from typing import NamedTuple


class Screen(NamedTuple):
    """
    A terminal, as far as a table needs to know it.

    @ivar columns: how wide it is.
    @ivar colours: whether it shows colours, and its user wants them.
    """

    columns: int
    colours: bool

    @classmethod
    def of(cls, fd: int, environ: Mapping[str, str]) -> "Screen | None":
        """The terminal behind a descriptor; L{None} if it is something else."""
        if not os.isatty(fd):
            return None
        try:
            columns = os.get_terminal_size(fd).columns
        except OSError:
            columns = 0
        # https://no-color.org: any value but an empty one.
        plain = environ.get("NO_COLOR") or environ.get("TERM", "dumb") == "dumb"
        return cls(columns or 80, not plain)

    def red(self, text: str) -> str:
        """Text that stands out as bad news."""
        return f"\x1b[31m{text}\x1b[m" if self.colours else text
