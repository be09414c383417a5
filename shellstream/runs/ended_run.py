"""A run that has ended, on this machine."""

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
    """A run that has ended: its record, and the part of its output that is kept."""

    record: RunRecord
    _open_log: Callable[[RunRecord], OutputLog]
    _log: OutputLog | None = field(default=None, init=False)

    stall_timeout = Limits().stall_timeout

    def snapshot(self) -> RunRecord:
        return self.record

    @property
    def log(self) -> OutputLog:
        if self._log is None or self._log.storage_closed:
            self._log = self._open_log(self.record)
            # Its last subscriber closes it; a caller that only reads does not.
            finalize(self, self._log.close)
        return self._log

    def attach(self, viewer: IViewer) -> None:
        """It has no process that would wait for a viewer."""

    def detach(self, viewer: IViewer) -> None:
        """It has no process that would wait for a viewer."""

    def apply_backpressure(self) -> None:
        """It has no process to pause."""
