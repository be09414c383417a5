"""What a client is told of a run, as values; light to import."""

from typing import Any, NamedTuple, TypedDict


class Begun(NamedTuple):
    """Which run this is the output of, and where the output begins."""

    run: str
    command: str
    offset: int


class Output(NamedTuple):
    """
    Bytes of the output, and where they stand in it.

    @ivar stream: C{"stdout"} or C{"stderr"}.
    @ivar time: when the daemon read them (RFC 3339), if that was asked for.
    """

    offset: int
    stream: str
    data: bytes
    time: str | None = None

    @property
    def end(self) -> int:
        """The offset after the last of these bytes."""
        return self.offset + len(self.data)


class Gap(NamedTuple):
    """Bytes that are not kept any more: from C{offset} up to, without, C{end}."""

    offset: int
    end: int


class Ping(NamedTuple):
    """Nothing new; C{offset} is what comes next."""

    offset: int


class End(NamedTuple):
    """
    How the run ended. All of the output came before it.

    @ivar state: C{exited} (with a C{code}), C{signaled} (with a C{signal}),
        C{failed} (never started), C{cancelled} (while queued) or C{lost}.
    @ivar signal: as kill(1) names it: C{TERM}.
    @ivar reason: why it ended where that was not its own doing.
    @ivar offset: the length of the whole output, in bytes.
    """

    state: str
    code: int | None
    signal: str | None
    reason: str | None
    offset: int


Event = Begun | Output | Gap | Ping | End


class StdinInfo(TypedDict):
    """
    What a run has taken of its input, and whether it takes more; the daemon that
    knew how much may be gone.
    """

    offset: int | None
    open: bool


class RunInfo(TypedDict):
    """A run as the server describes it; times are RFC 3339."""

    id: str
    command: str
    params: dict[str, str]
    state: str
    code: int | None
    signal: str | None
    reason: str | None
    failure: str | None
    principal: str
    on_disconnect: str
    created: str
    started: str | None
    ended: str | None
    start: int
    size: int
    stdin: StdinInfo | None
    tty: dict[str, Any] | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None


class CommandInfo(TypedDict):
    """A command as the server describes it; C{parameters} is a JSON Schema."""

    name: str
    description: str
    methods: list[str]
    stdin: bool
    tty: bool
    timeout: float | None
    parameters: dict[str, Any]
