"""What a viewer and a run know of each other."""

from attrs import frozen
from zope.interface import Attribute, Interface

from shellstream.model.events import Stream
from shellstream.model.run_record import RunRecord

from .log import OutputLog


@frozen
class ViewOptions:
    """
    Which part of an output a viewer asks for, and how.

    @ivar follow: whether to wait for output that is still to be written.
    @ivar lossless: whether the command has to wait before a byte is dropped that
        this viewer has not been given.
    @ivar skip_gaps: whether to go on behind bytes that are gone, even if the format
        cannot say so.
    @ivar only: the one stream to send, or L{None} for both.
    @ivar until: the offset to stop at; L{None} for the end.
    """

    offset: int = 0
    follow: bool = True
    lossless: bool = False
    skip_gaps: bool = False
    only: Stream | None = None
    until: int | None = None


class IViewer(Interface):
    """A reader of an output."""

    offset: int = Attribute("The first byte that it has not been given.")
    lossless: bool = Attribute("See L{ViewOptions.lossless}.")

    def abort() -> None:
        """End the connection so that the client can tell that bytes are missing."""


class IRun(Interface):
    """One execution of a command."""

    record: RunRecord = Attribute(
        "The run as of the last change of its state; its output may be longer by now."
    )
    log: OutputLog = Attribute("Its output.")
    stall_timeout: float = Attribute(
        "Seconds after which a viewer that takes nothing is aborted."
    )

    def snapshot() -> RunRecord:
        """The run as it stands now: its record, with the sizes of this moment."""

    def attach(viewer: IViewer) -> None:
        """A viewer begins to follow the log."""

    def detach(viewer: IViewer) -> None:
        """A viewer leaves. Harmless for one that has left or never attached."""

    def apply_backpressure() -> None:
        """
        A lossless viewer has moved on: decide anew whether the command has to wait.
        """
