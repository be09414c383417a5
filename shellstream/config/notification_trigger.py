"""Of which events of a run somebody is told: the items of C{on} in C{[notify.NAME]}."""

import re

from attrs import frozen

from shellstream.model.checks import check, list_of, string
from shellstream.model.events import Reason, State
from shellstream.model.quantities import parse_time
from shellstream.model.run_record import RunRecord

#: The events of a run that somebody can be told of.
STARTED, ENDED = "started", "ended"

_TIME = "[0-9][0-9a-z. ]{0,20}"
_STATES = (each.value for each in State if each.ended)
_REASONS = (each.value for each in Reason)
# C{cancelled} is both.
_WORDS = dict.fromkeys((STARTED, ENDED, "success", "failure", *_STATES, *_REASONS))
_CODES = r"[0-9]{1,3}(?:-[0-9]{1,3})?(?:,[0-9]{1,3}(?:-[0-9]{1,3})?)*"
_BEFORE = "(?:^| |(?<=^not ))"
_TRIGGER = (
    rf"(not )?(?:({'|'.join(_WORDS)})|exit:({_CODES}))?"
    rf"(?:{_BEFORE}longer than ({_TIME}))?"
)


@frozen
class Trigger:
    """
    One item of C{on}.

    @ivar what: a word of the list, C{exit}, or empty for each end.
    @ivar codes: with C{exit}: these exit codes.
    @ivar longer: only runs that took longer, in seconds.
    @ivar excludes: whether nobody is told of what this fits, whatever else does.
    """

    what: str
    codes: tuple[range, ...] = ()
    longer: float = 0.0
    excludes: bool = False

    def fits(self, event: str, record: RunRecord) -> bool:
        """Whether this is what it stands for."""
        if event == STARTED or self.what == STARTED:
            return event == self.what
        if self.longer and seconds_of(record) <= self.longer:
            return False
        code = record.code if record.state is State.EXITED else None
        match self.what:
            case "" | "ended":
                return True
            case "success":
                return code == 0
            case "failure":
                return code != 0
            case "exit":
                return any(code in each for each in self.codes)
        reason = "" if record.reason is None else record.reason.value
        return self.what in (record.state.value, reason)


def seconds_of(record: RunRecord) -> float:
    """How long a run took since its start; 0 if it never started, or has not ended."""
    if record.started is None or record.ended is None:
        return 0.0
    return max(0, record.ended - record.started) / 1_000_000


@check(
    "an event of a run",
    {"type": "string", "pattern": f"^{_TRIGGER.replace(_BEFORE, ' ?')}$"},
)
def _trigger(value: object) -> Trigger | None:
    text = string(value)
    found = re.fullmatch(_TRIGGER, text, re.ASCII)
    if found is None:
        return None
    excludes, word, codes, time = found.groups()
    longer = parse_time(time) if time else 0.0
    if longer is None or (word == STARTED and (longer or excludes)):
        return None
    if not (word or codes or time):
        return None
    ranges = []
    for each in codes.split(",") if codes else ():
        low, _, high = each.partition("-")
        ranges.append(range(int(low), int(high or low) + 1))
    return Trigger(
        "exit" if codes else word or "", tuple(ranges), longer, bool(excludes)
    )


triggers = list_of(
    _trigger,
    "a list of events: 'failure', 'success', 'ended', 'started', a state or a reason "
    "such as 'lost' or 'timeout', exit codes such as 'exit:3' or 'exit:1,3-9'; and "
    "with each or alone 'longer than 10 min'; 'not ' before one leaves out its runs",
)

#: What a notification tells of by default: each end that is not a success.
FAILURE = Trigger("failure")
