"""Stand-ins for processes and clocks."""

from collections.abc import Callable
from signal import Signals
from typing import TypeVar

from attrs import define, field
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from shellstream.config.command import Command, Invocation
from shellstream.config.live import LiveConfig
from shellstream.config.loader import Config
from shellstream.config.parameters import String
from shellstream.model.events import ExitStatus, Stream, WallClock
from shellstream.model.run_input import Tty
from shellstream.runs.history import History
from shellstream.runs.registry import Registry
from shellstream.runs.run import Child, Run
from shellstream.security.audit import AuditEntry
from shellstream.storage.database import Database
from shellstream.storage.log_store import MemoryLogs
from shellstream.storage.run_store import InThread, RunStore

T = TypeVar("T")


@define(eq=False)
class FakeChild:
    """A process that the test controls, and that records the run's calls."""

    lives: bool = True
    pid: int = 4242
    start_time: int | None = 17
    paused: bool = field(default=False, init=False)
    immortal: bool = field(default=False, init=False)
    strays: bool = field(default=False, init=False)
    signals: list[str] = field(factory=list, init=False)
    room: int = field(default=1 << 30, init=False)  # for so much more input
    given: bytes = field(default=b"", init=False)
    ended: bool = field(default=False, init=False)
    size: Tty | None = field(default=None, init=False)
    _ready: Callable[[], None] | None = field(default=None, init=False)

    def pause(self) -> None:
        assert not self.paused, "paused twice"
        self.paused = True

    def resume(self) -> None:
        assert self.paused, "resumed without a pause"
        self.paused = False

    def signal(self, *numbers: int, strays: bool = False) -> None:
        self.strays |= strays
        for number in numbers:
            named = number in {*Signals}
            self.signals.append(Signals(number).name if named else str(number))
            if number == Signals.SIGKILL and not self.immortal:
                self.lives = False

    def session_lives(self) -> bool:
        return self.lives

    def write(self, data: memoryview, ready: Callable[[], None]) -> int:
        assert not self.ended, "input after its end"
        taken = bytes(data[: self.room])
        self.given += taken
        self.room -= len(taken)
        if len(taken) < len(data):
            self._ready = ready
        return len(taken)

    def take(self, size: int) -> None:
        """Read input, and so make room for more."""
        self.room += size
        ready, self._ready = self._ready, None
        if ready is not None:
            ready()

    def end_input(self) -> None:
        assert not self.ended, "ended twice"
        self.ended = True

    def resize(self, size: Tty) -> None:
        self.size = size


@define(eq=False)
class Started:
    """One start of a process."""

    command: Command
    invocation: Invocation
    run: Run
    child: FakeChild = field(factory=FakeChild)

    def say(self, data: bytes, stream: Stream = Stream.STDOUT) -> None:
        """The process writes, and was not asked to wait."""
        assert not self.child.paused, "it was read though it was paused"
        self.run.output(stream, data)

    def exit(self, code: int | None = 0, signal: int | None = None) -> None:
        """The process ends, and its group with it."""
        self.child.lives = False
        self.run.input_lost()
        self.run.finished(ExitStatus(code, signal))


@define(eq=False)
class FakeSpawn:
    """A spawn that starts nothing, or raises C{error}."""

    error: Exception | None = None
    started: list[Started] = field(factory=list, init=False)

    async def __call__(
        self, command: Command, invocation: Invocation, run: Run
    ) -> Child:
        if self.error is not None:
            raise self.error
        self.started.append(Started(command, invocation, run))
        return self.started[-1].child


ECHO = Command(name="echo", argv=("echo", "{x}"), params={"x": String(name="x")})


SAY = Command(name="say", argv=("say", "hello"), get=True)


#: One that reads.
HEAR = Command(name="hear", argv=("hear",), stdin=True, tty=True)


def make_registry(
    config: Config,
    clock: Clock,
    spawn: FakeSpawn,
    in_thread: InThread = maybeDeferred,
    note: Callable[[AuditEntry], object] = lambda entry: None,
) -> Registry:
    """A registry that keeps all in memory, and waits for no thread of its own."""
    store = RunStore(Database.open(":memory:"), in_thread, clock)
    now = wall(clock)
    live = LiveConfig(config)
    history = History(live, clock, now, store, MemoryLogs())
    return Registry(live, clock, now, spawn, history, note, b"pepper", 0.0)


def wall(clock: Clock) -> WallClock:
    """Return the time of day: the test's clock, on 2026-01-01."""
    return lambda: 1_767_225_600_000_000 + int(clock.seconds() * 1_000_000)
