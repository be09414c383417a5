"""A run that is over, on this machine."""

from collections.abc import Callable
from weakref import finalize

from attrs import define, field
from zope.interface import implementer

from shellstream.model.limits import Limits
from shellstream.model.run_record import RunRecord
from shellstream.output.interfaces import IRun, IViewer
from shellstream.output.log import OutputLog


@implementer(IRun)
@define(eq=False)
class EndedRun:
    """A run that is over, as its record and its log tell of it."""

    record: RunRecord
    _open: Callable[[RunRecord], OutputLog]
    _log: OutputLog | None = field(default=None, init=False)

    stall_timeout = Limits().stall_timeout

    def snapshot(self) -> RunRecord:
        return self.record

    @property
    def log(self) -> OutputLog:
        if self._log is None or self._log.storage_closed:
            self._log = self._open(self.record)
            # For those who only look at it, and never subscribe.
            finalize(self, self._log.close)
        return self._log

    def attach(self, viewer: IViewer) -> None:
        """Nobody waits for viewers any more."""

    def detach(self, viewer: IViewer) -> None:
        """Nobody waits for viewers any more."""

    def apply_backpressure(self) -> None:
        """There is nothing to slow down."""
