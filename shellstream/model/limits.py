"""The limits of a run, and what happens when it reaches one."""

from enum import Enum

from attrs import frozen

from .checks import count, duration, one_of, seconds, size
from .events import OnDisconnect
from .tables import setting


class OnFull(Enum):
    """What happens when no viewer watches and the log is full."""

    DROP_OLDEST = "drop-oldest"
    PAUSE = "pause"
    CANCEL = "cancel"


class Sync(Enum):
    """When output and ends are synced to the disk, to survive a loss of power."""

    SECOND = "second"
    END = "end"
    ALWAYS = "always"
    NEVER = "never"


class WhenBusy(Enum):
    """What happens to a request for a command that has reached C{max_running}."""

    QUEUE = "queue"
    REJECT = "reject"
    JOIN = "join"
    REPLACE = "replace"


@frozen(kw_only=True)
class Limits:
    """The limits of a command's runs. Times are in seconds."""

    timeout: float | None = setting(
        "Time until a run is ended; without it a run has no time limit.",
        seconds,
        None,
    )
    idle_timeout: float | None = setting(
        "Time without output until a run is ended; without it a run may be silent "
        "for ever.",
        seconds,
        None,
    )
    grace: float = setting("Time between TERM and KILL.", seconds, 5.0)
    on_disconnect: OnDisconnect | None = setting(
        "What happens to a run whose last viewer has gone: `cancel` ends it, `keep` "
        "lets it run. Without it, a run started by `/stream` is cancelled, and any "
        "other is kept.",
        one_of(OnDisconnect),
        None,
    )
    linger: float = setting(
        "Time that a viewer has to come back before `on_disconnect` applies.",
        duration,
        10.0,
    )
    stall_timeout: float = setting(
        "Time until a viewer that reads nothing counts as gone.", seconds, 3600.0
    )
    retain: int = setting("How much of a run's newest output is kept.", size, 64 << 20)
    on_full: OnFull = setting(
        "What happens when a run has written `retain` bytes and no viewer watches: "
        "`drop-oldest` drops the oldest output, `pause` stops reading until a viewer "
        "comes, `cancel` ends the run.",
        one_of(OnFull),
        OnFull.DROP_OLDEST,
    )
    sync: Sync = setting(
        "When output and ends are synced to the disk, to survive a loss of power: once "
        "a `second`, for all runs together; at the `end` of a run, before anybody is "
        "told of it; `always`, before anybody sees a byte; or `never`.",
        one_of(Sync),
        Sync.SECOND,
    )
    max_running: int | None = setting(
        "How many runs of this command may run at once.", count, None, shared=False
    )
    when_busy: WhenBusy = setting(
        "What happens to a request for a command that has reached `max_running`: "
        "`reject` refuses it, `queue` lets it wait, `join` answers with a run of the "
        "same parameters, `replace` ends all other runs of the command.",
        one_of(WhenBusy),
        WhenBusy.REJECT,
    )
