"""What a run can have its process do, wherever that is."""

from typing import Protocol

from .input import Tty
from .stdin import Sink


class Child(Sink, Protocol):
    """
    A started process and its group, as far as a run steers it.

    @ivar began: when it did, as its kernel counts; L{None} if that cannot be told.
    """

    @property
    def pid(self) -> int: ...
    @property
    def began(self) -> int | None: ...

    def pause(self) -> None:
        """Leave its output unread."""

    def resume(self) -> None:
        """Read its output again."""

    def resize(self, size: Tty) -> None:
        """Give its terminal, which it must have, another size."""

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""

    def group_lives(self) -> bool:
        """Whether any process of the group is left but zombies."""
