"""Shares: how much of what all principals use together one of them may have."""

from attrs import define, field, frozen

from .authorization import ANONYMOUS

#: One principal may have so many times as much as it leaves free: three quarters of
#: everything while it is alone, three sevenths if there is another like it. However
#: many there are, some is always left for the next one. (Switches share the memory of
#: their ports in this way: Choudhury and Hahne, "Dynamic queue length thresholds",
#: 1998.)
TIMES_FREE = 3


def has_share(principal: str, own: int, used: int, limit: int) -> bool:
    """
    Whether a principal may have one more of an amount that all principals share.

    Callers without a credential are one principal. It may have everything: where it
    is there at all, nobody has to show a credential, and there are no others.

    @param own: how much the principal has.
    @param used: how much all principals have.
    @param limit: how much there is.
    """
    free = limit - used - 1
    if free < 0:
        return False
    # One each is never too much, however small the amount is.
    return own == 0 or principal == ANONYMOUS.name or own + 1 <= TIMES_FREE * free


@frozen
class Usage:
    """
    What is stored for a principal.

    @ivar runs: how many ended runs.
    @ivar stored: what their output takes on disk, in bytes.
    @ivar keys: how many idempotency keys.
    """

    runs: int = 0
    stored: int = 0
    keys: int = 0

    def plus(self, runs: int = 0, stored: int = 0, keys: int = 0) -> "Usage":
        """The sum of this and something more, or less."""
        return Usage(self.runs + runs, self.stored + stored, self.keys + keys)


_NOTHING = Usage()


@define(eq=False)
class UsageLedger:
    """
    What is stored for each principal, and for all, as a transaction changes it.

    @ivar total: the sum. It is one value that is replaced, so that another thread never
        sees half of a change.
    """

    _each: dict[str, Usage]
    total: Usage = field(init=False)
    #: What each change of the transaction replaced.
    _before: list[tuple[str, Usage, Usage]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.total = _NOTHING
        for each in self._each.values():
            self.total = self.total.plus(each.runs, each.stored, each.keys)

    def of(self, principal: str) -> Usage:
        """What is stored for a principal."""
        return self._each.get(principal, _NOTHING)

    def add(
        self, principal: str, runs: int = 0, stored: int = 0, keys: int = 0
    ) -> None:
        """So much more, or less, is stored for a principal."""
        old = self.of(principal)
        self._before.append((principal, old, self.total))
        self._set(principal, old.plus(runs, stored, keys))
        self.total = self.total.plus(runs, stored, keys)

    def mark(self) -> int:
        """The point of the transaction that L{undo} returns to."""
        return len(self._before)

    def undo(self, mark: int) -> None:
        """Undo the changes since a mark."""
        while len(self._before) > mark:
            principal, old, self.total = self._before.pop()
            self._set(principal, old)

    def forget_changes(self) -> None:
        """The transaction has ended: nothing can be undone any more."""
        self._before.clear()

    def most_runs(self) -> str:
        """The principal with the most runs; of several, the last by name."""
        return max(self._each, key=lambda name: (self._each[name].runs, name))

    def most_stored(self) -> str:
        """The principal whose output takes most; of several, the last by name."""
        return max(self._each, key=lambda name: (self._each[name].stored, name))

    def _set(self, principal: str, usage: Usage) -> None:
        if usage == _NOTHING:
            self._each.pop(principal, None)
        else:
            self._each[principal] = usage
