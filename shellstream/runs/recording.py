"""The first record of a run: whether it is written, and who waits for it."""

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed

from shellstream.model.errors import CannotRecord
from shellstream.model.run_record import RunRecord


@define(eq=False)
class Recording:
    """
    Nobody is told of a run before it is in the history.

    @ivar done: whether it is there.
    @ivar under_way: whether its record is being written.
    @ivar refusal: why it was started, and the disk does not take its record.
    """

    done: bool = False
    under_way: bool = False
    refusal: CannotRecord | None = None
    _waiting: list[Deferred[RunRecord | None]] = field(factory=list, init=False)

    @property
    def pending(self) -> bool:
        """Whether nobody knows yet how it will go."""
        return not self.done and self.refusal is None

    def wait(self) -> Deferred[RunRecord | None]:
        """
        Fires when the run is in the history, with what is written there; or with
        L{None} if it was dropped.

        @raise CannotRecord: if it was started, and the disk does not take it.
        """
        if self.done:
            return succeed(None)
        if self.refusal is not None:
            return fail(self.refusal)
        waiting: Deferred[RunRecord | None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def tell(self, written: RunRecord | None) -> None:
        """What L{wait} waits for has come."""
        self.under_way = False
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(written)

    def refuse(self, why: CannotRecord) -> None:
        """It never comes."""
        self.under_way, self.refusal = False, why
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(why)
