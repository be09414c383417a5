"""What a run may take, and what becomes of it when it wants more."""

from enum import Enum

from attrs import frozen

from .events import OnDisconnect


class OnFull(Enum):
    """What to do when nobody watches and the log has no room for more."""

    DROP_OLDEST = "drop-oldest"
    PAUSE = "pause"
    CANCEL = "cancel"


class Sync(Enum):
    """When output must be on the disk itself, to survive a power failure."""

    END = "end"
    ALWAYS = "always"
    NEVER = "never"


class WhenBusy(Enum):
    """What becomes of a request for a command that runs often enough already."""

    QUEUE = "queue"
    REJECT = "reject"
    JOIN = "join"
    REPLACE = "replace"


@frozen(kw_only=True)
class Limits:
    """
    The limits of a command's runs. All times are in seconds.

    @ivar timeout: how long a run may take; L{None}: for ever.
    @ivar idle_timeout: how long it may be silent; L{None}: for ever.
    @ivar grace: between TERM and KILL.
    @ivar on_disconnect: what becomes of a run whose last viewer vanished; L{None}:
        of one that C{/stream} began it is cancelled, of others it is kept.
    @ivar linger: how long a viewer has to come back before that.
    @ivar stall_timeout: after it a viewer that takes nothing counts as vanished.
    @ivar retain: how much of the newest output is kept, in bytes.
    @ivar max_running: runs of this command at once; L{None}: no limit of its own.
    """

    timeout: float | None = None
    idle_timeout: float | None = None
    grace: float = 5.0
    on_disconnect: OnDisconnect | None = None
    linger: float = 10.0
    stall_timeout: float = 3600.0
    retain: int = 64 << 20
    on_full: OnFull = OnFull.DROP_OLDEST
    sync: Sync = Sync.END
    max_running: int | None = None
    when_busy: WhenBusy = WhenBusy.REJECT
