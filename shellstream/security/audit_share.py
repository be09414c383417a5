"""The share of the audit that one principal may fill."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator

from attrs import define, field

from .audit import AuditAction, AuditEntry

#: How much of the whole audit one principal may fill at once, and how much more in a
#: day: half of it in any 24 hours.
AT_ONCE, A_DAY = 1 / 8, 3 / 8

#: The least that one principal may fill at once, in bytes: some hundred lines.
LEAST = 1 << 16

#: The most principals that are remembered: those that were audited last.
MAX_PRINCIPALS = 10_000

_DAY = 86_400.0

#: The credential of an account of this machine, which changes tokens.
_ACCOUNT = "account"


@define(eq=False)
class AuditShares:
    """
    A leaky bucket for the lines of each principal.

    The files of the audit are rotated, so a principal that causes many lines drives out
    those of others. What is too much is left out and counted. To refuse the requests
    instead would let a full audit stop the work. Callers who are not known are one
    principal, with an empty name.

    @ivar _seconds: the time of a clock that is never set.
    @ivar _total: returns the size of the whole audit, in bytes.
    """

    _seconds: Callable[[], float]
    _total: Callable[[], int]
    _empty_at: "OrderedDict[str, float]" = field(factory=OrderedDict, init=False)
    _left_out: dict[str, Counter[AuditAction]] = field(factory=dict, init=False)

    def admit(self, entry: AuditEntry, size: int) -> bool:
        """Whether a line of an entry is written, or counted in the next summary."""
        if entry.credential == _ACCOUNT:  # the operator, who must find this again
            return True
        # As in login_throttle: the time at which the bucket will be empty.
        name, now = entry.principal, self._seconds()
        empty_at = max(self._empty_at.pop(name, now), now)
        total = self._total()
        takes = size * _DAY / (total * A_DAY)  # seconds
        most = max(total * AT_ONCE, LEAST) * _DAY / (total * A_DAY)
        fits = empty_at + takes - now <= most
        self._empty_at[name] = empty_at + takes if fits else empty_at
        if len(self._empty_at) > MAX_PRINCIPALS:
            self._empty_at.popitem(last=False)
        if not fits:
            self._left_out.setdefault(name, Counter())[entry.action] += 1
        return fits

    def summaries(self) -> Iterator[AuditEntry]:
        """An entry for each principal whose lines were left out, and their numbers."""
        left_out, self._left_out = self._left_out, {}
        for name, actions in left_out.items():
            each = {action.value: times for action, times in actions.items()}
            yield AuditEntry(
                action=AuditAction.GAP,
                principal=name,
                facts={"times": actions.total(), **each},
            )
