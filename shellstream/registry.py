"""All that runs, and how much may."""

from collections.abc import Callable, Iterable

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from uuid6 import uuid7

from .command import Command, Invocation
from .config import Config
from .errors import Busy, CommandUnknown, NoDefaultCommand
from .events import Reason
from .run import Child, Run

#: Starts the process of a command and tells the run what becomes of it.
Spawn = Callable[[Command, Invocation, Run], Child]


@define(eq=False)
class Registry:
    """
    Starts runs, and knows every one until it has ended.

    @ivar active: the runs that have not ended, by id.
    """

    config: Config
    clock: IReactorTime
    _spawn: Spawn
    active: dict[str, Run] = field(factory=dict, init=False)
    _stopping: bool = field(default=False, init=False)
    _idle: list[Deferred[None]] = field(factory=list, init=False)

    def command(self, name: str | None) -> Command:
        """
        The command of this name; the default one for L{None}.

        @raise CommandUnknown: if none has this name.
        @raise NoDefaultCommand: if no command is the default.
        """
        name = self.config.default if name is None else name
        if name is None:
            raise NoDefaultCommand
        try:
            return self.config.commands[name]
        except KeyError:
            raise CommandUnknown(name, self.config.commands) from None

    def start(self, command: Command, given: Iterable[tuple[str, object]]) -> Run:
        """
        Run a command with the parameters that a client sent.

        @raise ParametersRefused: if they do not fit.
        @raise Busy: if the daemon is at its limit, or stopping.
        @raise CannotStart: if the process could not be started.
        """
        invocation = command.invoke(given)
        if self._stopping:
            raise Busy("the daemon is stopping", 10)
        if len(self.active) >= self.config.max_running:
            raise Busy(f"{len(self.active)} commands are running already", 5)
        run = Run(str(uuid7()), command, self.clock, self._ended)
        child = self._spawn(command, invocation, run)
        self.active[run.id] = run
        run.started(child)
        return run

    def stop(self) -> Deferred[None]:
        """Start nothing more and end what runs; fires when all has ended."""
        self._stopping = True
        for run in tuple(self.active.values()):
            run.cancel(Reason.SHUTDOWN)
        return self.idle()

    def idle(self) -> Deferred[None]:
        """Fires when nothing runs."""
        if not self.active:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        return waiting

    def _ended(self, run: Run) -> None:
        del self.active[run.id]
        if not self.active:
            waiting, self._idle = self._idle, []
            for each in waiting:
                each.callback(None)
