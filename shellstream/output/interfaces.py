"""What a viewer and a log know of each other, and of the run between them."""

from collections.abc import Callable

from attrs import frozen
from zope.interface import Attribute, Interface

from shellstream.model.events import Chunk, Stream
from shellstream.model.run_record import RunRecord


@frozen
class ViewOptions:
    """
    What a viewer wants of an output.

    @ivar follow: whether to wait for what is still to come.
    @ivar lossless: whether the command is to wait before a byte is dropped that
        this viewer has not been given.
    @ivar skip_gaps: whether to go on behind bytes that are gone, even where the
        format has no way to say so.
    @ivar only: the one stream that is wanted, or both.
    @ivar until: the offset to stop at, if not the end.
    """

    offset: int = 0
    follow: bool = True
    lossless: bool = False
    skip_gaps: bool = False
    only: Stream | None = None
    until: int | None = None


class ILog(Interface):
    """An output, as it is read: by offset, never waiting."""

    start: int = Attribute("Offset of the oldest byte that can be read.")
    end: int = Attribute("Offset after the newest byte that can be read.")
    closed: bool = Attribute("Whether C{end} is final.")

    def read(offset: int, size: int) -> list[Chunk]:
        """
        Some of the output from C{offset} on, about C{size} bytes at the most;
        nothing if none is there yet: a subscriber is told when it is.

        @raise OffsetGone: if C{offset} is not between C{start} and C{end}, or what is
            there cannot be read any more; it says where to go on.
        """

    def subscribe(wake: Callable[[], None]) -> Callable[[], None]:
        """Call C{wake} whenever there is news; returns how to stop that."""


class IViewer(Interface):
    """One who reads an output."""

    offset: int = Attribute("The first byte that it has not been given.")
    lossless: bool = Attribute("See L{ViewOptions.lossless}.")

    def cut() -> None:
        """Leave, so that the client can tell that there was more."""


class IRun(Interface):
    """One execution of a command."""

    record: RunRecord = Attribute(
        "The run as of the last change of its state; its output may be longer by now."
    )
    log: ILog = Attribute("Its output.")
    stall_timeout: float = Attribute(
        "Seconds after which to give up a viewer that takes nothing."
    )

    def snapshot() -> RunRecord:
        """The run as it stands now: its record, with the sizes of this moment."""

    def attach(viewer: IViewer) -> None:
        """A viewer begins to follow the log."""

    def detach(viewer: IViewer) -> None:
        """A viewer leaves. Harmless for one that has left, or never came."""

    def apply_backpressure() -> None:
        """A lossless viewer has moved on: the command may, too."""
