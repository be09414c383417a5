"""What is recorded of a run, apart from its output."""

import json
import secrets
from collections.abc import Mapping
from hashlib import blake2b, sha256
from hmac import digest
from operator import attrgetter
from signal import Signals
from uuid import UUID

from attrs import asdict, field, fields, frozen

from .checks import count, seconds, size
from .events import End, OnDisconnect, Outcome, Reason, State, rfc3339
from .run_input import StdinState, Tty
from .tables import setting


def signal_name(number: int) -> str:
    """A signal as kill(1) names it: TERM, or its number where it has no name."""
    try:
        return Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


@frozen(kw_only=True)
class RunRecord:
    """
    One run, as it stands. Times are in microseconds since 1970 (UTC).

    @ivar params: all parameters, defaults included; secret ones are masked.
    @ivar secrets: the values of secret parameters, while the run waits for its turn.
        They are deleted when it starts. Read back from the history alone, they have
        their names only.
    @ivar failure: why a run that is C{failed} never started, or a C{lost} one is cut.
    @ivar start: the oldest byte of the output that is kept.
    @ivar size: the length of the whole output, in bytes.
    @ivar stored: what the output takes on disk, in bytes.
    @ivar cpu: seconds of processor time, once ended.
    @ivar memory: peak resident memory of its process in bytes, once ended.
    @ivar stdin: what it has taken of its input, if it has any.
    @ivar tty: its terminal, if it has one.
    @ivar pid: its process and process group, once started.
    @ivar pid_start: when that process began, in the unit of its kernel. A later
        process may have the same id, but not the same start.
    @ivar output: a short output, as L{shellstream.output.short_output} encodes it.
        Records that are read back as a page of runs do not have it.
    """

    id: str
    command: str
    params: Mapping[str, str]
    created: int
    on_disconnect: OnDisconnect
    state: State = State.QUEUED
    principal: str = "anonymous"
    started: int | None = None
    ended: int | None = None
    code: int | None = None
    signal: int | None = None
    reason: Reason | None = None
    failure: str | None = None
    start: int = 0
    size: int = 0
    stored: int = 0
    cpu: float | None = None
    memory: int | None = None
    stdin: StdinState | None = None
    tty: Tty | None = None
    secrets: Mapping[str, str] = field(factory=dict, repr=False)
    pid: int | None = field(default=None, repr=False)
    pid_start: int | None = field(default=None, repr=False)
    output: bytes = field(default=b"", repr=False, eq=False)

    def but(self, **changes: object) -> "RunRecord":
        """The same record with other values, in a third of the time of evolve()."""
        made = RunRecord.__new__(RunRecord)
        for put, value in zip(_put, _values(self), strict=True):
            put(made, value)
        for name, value in changes.items():
            object.__setattr__(made, name, value)
        return made

    @property
    def end(self) -> End:
        """How it ended. Only a run that has ended may be asked."""
        assert self.state.ended, self.state
        name = None if self.signal is None else signal_name(self.signal)
        return End(self.state, self.code, name, self.reason, self.size)


_NAMES = tuple(each.name for each in fields(RunRecord))
_values = attrgetter(*_NAMES)
_put = tuple(getattr(RunRecord, name).__set__ for name in _NAMES)


@frozen
class RunQuery:
    """
    A page of runs, newest first.

    @ivar limit: how many at most.
    @ivar after: only runs that are older than the one of this id.
    @ivar state: only runs in this state.
    @ivar command: only runs of this command.
    @ivar visible: only runs of commands that match one of these patterns, in which
        C{*} stands for any text and C{?} for a character.
    @ivar owner: only runs of this principal.
    @ivar outcome: only ended runs that went so.
    @ivar code: only runs that exited with this code.
    """

    limit: int
    after: str | None = None
    state: State | None = None
    command: str | None = None
    visible: tuple[str, ...] = ("*",)
    owner: str | None = None
    outcome: Outcome | None = None
    code: int | None = None


@frozen
class IdempotencyKey:
    """
    An C{Idempotency-Key} of a principal, and what it was sent with.

    @ivar fingerprint: a hash of all that the request asked for.
    """

    key: str
    fingerprint: str
    principal: str = "anonymous"

    @classmethod
    def of_request(
        cls,
        key: str,
        principal: str,
        command: str | None,
        params: Mapping[str, str],
        stdin: bool = False,
        tty: Tty | None = None,
        secrets: Mapping[str, str] = {},
        pepper: bytes = b"",
    ) -> "IdempotencyKey":
        """
        The key of a request for this.

        @param pepper: random bytes. Without them a reader of the history could try
            out what a secret parameter was.
        """
        asked: list[object] = [command, sorted(params.items())]
        # Left out where there is none, so that keys which were kept before there was
        # input and secrets still match.
        if stdin:
            asked.append(None if tty is None else asdict(tty))
        if secrets:
            text = json.dumps(sorted(secrets.items())).encode()
            asked.append(digest(pepper, text, "sha256").hex())
        return cls(key, sha256(json.dumps(asked).encode()).hexdigest(), principal)


@frozen(kw_only=True)
class Retention:
    """
    How much of ended runs is kept. When any limit is exceeded the oldest go: of all
    runs if they are too old, or else of the principal that has the most.
    """

    age: float = setting(
        "Time since the run ended, in which a daemon ran.", seconds, 30 * 86_400.0
    )
    runs: int = setting("The number of ended runs.", count, 100_000)
    bytes: int = setting(  # no more than fits on the card of a Raspberry Pi
        "The disk space of the output of all ended runs.", size, 4 << 30
    )
    keys: int = setting(
        "The number of idempotency keys. One principal may have three quarters of "
        "them, or less if others have many.",
        count,
        200_000,
    )


def next_id(now: int, newest: str | None, secret: bytes = b"") -> str:
    """
    An id for a new run: a UUIDv7 (RFC 9562, 5.7 and 6.2), above the newest id even
    if the clock was set back, so that ids sort by the order of requests.

    @param now: microseconds since 1970.
    @param secret: of the daemon's state: L{id_time} tells its ids from others.
    """
    millis = now // 1000
    if newest is not None:
        millis = max(millis, int(newest[:8] + newest[9:13], 16) + 1)
    # From the top: 48 bits of time, 4 of version, 12 random, 2 of variant, 30 random,
    # 32 that nobody can make without the secret.
    random = secrets.randbits(42)
    high, low = random >> 30, random & (1 << 30) - 1
    number = (millis << 48 | 7 << 44 | high << 32 | 0b10 << 30 | low) & (1 << 96) - 1
    text = f"{number << 32 | _mark(number, secret):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def id_time(run_id: str, secret: bytes) -> int | None:
    """
    When an id was made, in microseconds since 1970; L{None} if that was done without
    this secret.
    """
    try:
        number = UUID(run_id).int
    except ValueError:
        return None
    if number & (1 << 32) - 1 != _mark(number >> 32, secret):
        return None
    return (number >> 80) * 1000


def _mark(number: int, secret: bytes) -> int:
    # A keyed hash of its own (RFC 7693), since HMAC takes ten times as long.
    return int.from_bytes(
        blake2b(number.to_bytes(12), key=secret, digest_size=4).digest()
    )


def end_document(end: End) -> dict[str, object]:
    """How a run ended, ready for JSON."""
    return {
        "state": end.state.value,
        "code": end.code,
        "signal": end.signal,
        "reason": None if end.reason is None else end.reason.value,
        "offset": end.offset,
    }


def to_document(record: RunRecord, root: str = "") -> dict[str, object]:
    """
    A run as clients see it, ready for JSON.

    @param root: the relative reference from where it is shown to the root of the API.
    """

    def moment(time: int | None) -> str | None:
        return None if time is None else rfc3339(time)

    return {
        "id": record.id,
        "command": record.command,
        "params": dict(record.params),
        "state": record.state.value,
        "code": record.code,
        "signal": None if record.signal is None else signal_name(record.signal),
        "reason": None if record.reason is None else record.reason.value,
        "failure": record.failure,
        "end": end_document(record.end) if record.state.ended else None,
        "principal": record.principal,
        "on_disconnect": record.on_disconnect.value,
        "created": moment(record.created),
        "started": moment(record.started),
        "ended": moment(record.ended),
        "start": record.start,
        "size": record.size,
        "stdin": None if record.stdin is None else asdict(record.stdin),
        "tty": None if record.tty is None else asdict(record.tty),
        "cpu_seconds": record.cpu,
        "peak_memory_bytes": record.memory,
        "output": f"{root}runs/{record.id}/output",
    }
