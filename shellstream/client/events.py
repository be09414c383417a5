"""The events of a run and other answers of the server, as values."""

from typing import Any, NamedTuple, TypedDict


class Begun(NamedTuple):
    """The output begins: of which run, and at which offset."""

    run: str
    command: str
    offset: int


class Output(NamedTuple):
    """
    Bytes of the output.

    @ivar stream: C{"stdout"} or C{"stderr"}.
    @ivar time: when the daemon read them (RFC 3339), if the viewer asked for times.
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
    """Bytes that the server has dropped: from C{offset} up to, but not at, C{end}."""

    offset: int
    end: int


class Ping(NamedTuple):
    """The run is silent; C{offset} is the next byte's."""

    offset: int


class End(NamedTuple):
    """
    How the run ended. All of the output came before it.

    @ivar state: C{exited} (with a C{code}), C{signaled} (with a C{signal}),
        C{failed} (never started), C{cancelled} (while queued) or C{lost}.
    @ivar signal: as kill(1) names it: C{TERM}.
    @ivar reason: why it was ended, if it did not end by itself.
    @ivar offset: the length of the whole output, in bytes.
    """

    state: str
    code: int | None
    signal: str | None
    reason: str | None
    offset: int

    @property
    def exit_code(self) -> int | None:
        """
        The code with which a shell sees the command exit, 128 + n for signal n; L{None}
        if it never ran, or if nobody knows.
        """
        if self.state == "exited":
            return self.code
        if self.state == "signaled" and self.signal is not None:
            return 128 + signal_number(self.signal)
        return None


Event = Begun | Output | Gap | Ping | End


class Result(NamedTuple):
    """
    A run that has ended, with its output.

    @ivar run: its id.
    @ivar truncated: whether some of the output is missing here.
    """

    run: str
    stdout: bytes
    stderr: bytes
    end: End
    truncated: bool = False

    @property
    def state(self) -> str:
        """How the run ended, in a word; see L{End}."""
        return self.end.state

    @property
    def exit_code(self) -> int | None:
        """The same in a number, as a shell has it; see L{End.exit_code}."""
        return self.end.exit_code


class RunEvent(NamedTuple):
    """
    Something that happened to a run.

    @ivar event: C{created}, C{started} or C{ended}; C{gap} if the server does not know
        any more what else happened.
    @ivar run: the run as it was then; L{None} for a gap.
    """

    event: str
    run: "RunInfo | None"


class StdinInfo(TypedDict):
    """
    How many bytes of input a run has taken, and whether it takes more. The offset is
    L{None} if the daemon that counted them has been restarted.
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


class ParametersInfo(TypedDict):
    """The parameters of a command: a JSON Schema, of which these are the members."""

    properties: dict[str, dict[str, Any]]
    required: list[str]


class CommandInfo(TypedDict):
    """A command as the server describes it."""

    name: str
    description: str
    methods: list[str]
    stdin: bool
    tty: bool
    timeout: float | None
    linger: float
    parameters: ParametersInfo


class CommandList(TypedDict):
    """All commands, and the name of the default one."""

    default: str | None
    commands: list[CommandInfo]


class IndexInfo(TypedDict):
    """What the server says of itself, and of who asks."""

    version: str
    principal: str


class RunPage(TypedDict):
    """Some runs, newest first, and the path of the next page."""

    runs: list[RunInfo]
    next: str | None


class RunEventInfo(TypedDict):
    """An event as the server describes it."""

    event: str
    run: RunInfo


def signal_number(name: str) -> int:
    """The number of a signal by its name or number; 0 if this system lacks it."""
    import signal  # late: --help and --version do without

    known = signal.Signals.__members__.get(f"SIG{name}")
    if known is not None:
        return known.value
    return int(name) if name.isdecimal() and len(name) < 3 else 0
