"""The viewers of a run, as far as the command may have to wait for them."""

from collections.abc import Iterator

from attrs import define, field

from shellstream.output.interfaces import IViewer
from shellstream.output.log import READ_SIZE, OutputLog


@define(eq=False)
class AttachedViewers:
    """
    The viewers that the command waits for, and the others.

    Dictionaries, since sets would be larger, and thousands of runs may be active.
    """

    waited_for: dict[IViewer, None] = field(factory=dict, init=False)
    others: dict[IViewer, None] = field(factory=dict, init=False)

    def __bool__(self) -> bool:
        return bool(self.waited_for or self.others)

    def __iter__(self) -> Iterator[IViewer]:
        return iter((*self.waited_for, *self.others))

    def add(self, viewer: IViewer, *, waits: bool) -> None:
        """@param waits: whether the command waits for it."""
        (self.waited_for if waits else self.others)[viewer] = None

    def remove(self, viewer: IViewer) -> bool:
        """Returns whether it was there."""
        for viewers in (self.waited_for, self.others):
            if viewer in viewers:
                del viewers[viewer]
                return True
        return False

    def would_lose(self, log: OutputLog) -> bool:
        """
        Whether more output would drop a byte that the command waits for a viewer to
        take. One that has all gets the next chunk before any is dropped.
        """
        start: int | None = None
        for each in self.waited_for:
            if each.offset < log.end:
                start = log.reserve(READ_SIZE) if start is None else start
                if each.offset < start:
                    return True
        return False
