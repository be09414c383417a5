"""Which runs may run now, which wait, and which are refused."""

from bisect import insort
from collections import Counter, defaultdict

from attrs import define, field

from shellstream.config.command import Command, Invocation
from shellstream.config.live import LiveConfig
from shellstream.model.errors import Busy, TooManyWaiting
from shellstream.model.events import Reason
from shellstream.model.limits import WhenBusy
from shellstream.security.shares import has_share

from .run import Run

#: Seconds after which a refused client may try again.
RETRY_AFTER = 5


@define(eq=False)
class Admission:
    """
    Gives runs their places: at most C{max_running} of each command, and in all.

    Principals take turns, or the last in a long queue of one would be the last of all.
    A turn is a number: a run's is one more than that of the last run of its principal
    in the queue, or than the last that was given, whichever is later. So the runs of
    one principal start in the order of its requests, and those of several start
    alternately, however many of them each has. (This is start-time fair queueing, with
    runs of equal length: Goyal, Vin and Cheng, 1996.)

    @ivar queue: the runs that wait, in the order of their turns.
    """

    _live: LiveConfig
    queue: list[Run] = field(factory=list, init=False)
    _running: defaultdict[str, list[Run]] = field(
        factory=lambda: defaultdict(list), init=False
    )
    #: Places of commands whose processes a killed daemon has left running.
    _left_running: Counter[str] = field(factory=Counter, init=False)
    #: The runs of each principal in the queue, in the order of their turns.
    _queued: defaultdict[str, list[Run]] = field(
        factory=lambda: defaultdict(list), init=False
    )
    _turns: dict[str, int] = field(factory=dict, init=False)  # by ids of runs
    _turn: int = field(default=0, init=False)  # the last that was given

    @property
    def _max_running(self) -> int:
        return self._live.now.max_running

    @property
    def _count(self) -> int:
        return sum(map(len, self._running.values())) + self._left_running.total()

    def joinable(
        self, command: Command, invocation: Invocation, owner: str | None = None
    ) -> Run | None:
        """
        The run that a request for the same shall join, instead of starting one more.

        A request with input always gets a run of its own: two clients cannot both
        write to one standard input.

        @param owner: the principal that must have started it; L{None}: any.
        """
        if invocation.stdin:
            return None
        if command.limits.when_busy is WhenBusy.JOIN and not self._room(command):
            for run in (*self._running[command.name], *self.queue):
                same = run.command is command and run.invocation == invocation
                theirs = owner in (None, run.record.principal)
                if same and theirs and not run.has_ended:
                    return run
        return None

    def admit(self, run: Run) -> bool:
        """
        Give a run a place: L{True} among those that run, L{False} in the queue.

        @raise Busy: if it gets neither.
        """
        command = run.command
        running, left = self._running[command.name], self._left_running[command.name]
        waiting = [each for each in self.queue if each.command.name == command.name]
        # There may be room and still a run that waits: it is not recorded yet.
        if self._room(command) and not waiting:
            running.append(run)
            return True
        name = run.record.principal
        used, own = len(self.queue), len(self._queued.get(name, ()))
        replaced: list[Run] = []
        match command.limits.when_busy:
            case WhenBusy.QUEUE:
                pass
            case WhenBusy.REPLACE if (running or waiting or left) and not self._full(
                command
            ):
                # Those that wait give their places in the queue to the new one.
                replaced = [*running, *waiting]
                used -= len(waiting)
                own -= sum(each.record.principal == name for each in waiting)
            case _:
                raise Busy(self._why(command), RETRY_AFTER)
        most = self._live.now.max_queued
        if used >= most:
            raise Busy(f"{used} runs are waiting already", RETRY_AFTER)
        if not has_share(name, own, used, most):
            raise TooManyWaiting(own, RETRY_AFTER)
        # Queued before the others are stopped: the place of one that ends at once is
        # given to the next in the queue.
        self.enqueue(run)
        for each in replaced:
            each.cancel(Reason.CANCELLED)
        return False

    def hold_place(self, command: str) -> None:
        """Processes of a command are left from a killed daemon: they count as a run."""
        self._left_running[command] += 1

    def free_place(self, command: str) -> None:
        """Those of one run are gone."""
        self._left_running[command] -= 1

    def enqueue(self, run: Run) -> None:
        """Let a run wait for its turn, however many others do."""
        theirs = self._queued[run.record.principal]
        last = self._turns[theirs[-1].id] if theirs else 0
        self._insert(run, max(last, self._turn) + 1)

    def give_back(self, run: Run) -> None:
        """Let a run wait that has had its turn in vain: it is among the next."""
        self.leave(run)
        self._insert(run, self._turn)

    def leave(self, run: Run) -> None:
        """Take a run's place away, if it has one."""
        if run.id in self._turns:
            self._dequeue(run)
        running = self._running[run.command.name]
        if run in running:
            running.remove(run)

    def next(self) -> Run | None:
        """Give room that there is now to a run that waits, and return it."""
        for run in self.queue:
            if run.recorded and self._room(run.command):
                # A run that waited for room of its command may have an earlier one.
                self._turn = max(self._turn, self._dequeue(run))
                self._running[run.command.name].append(run)
                return run
        return None

    def _insert(self, run: Run, turn: int) -> None:
        self._turns[run.id] = turn
        for queue in (self._queued[run.record.principal], self.queue):
            insort(queue, run, key=lambda each: self._turns[each.id])

    def _dequeue(self, run: Run) -> int:
        name = run.record.principal
        self.queue.remove(run)
        self._queued[name].remove(run)
        if not self._queued[name]:
            del self._queued[name]
        return self._turns.pop(run.id)

    def _full(self, command: Command) -> bool:
        """Whether there is no room even without the runs of this command."""
        return self._count - self._running_of(command) >= self._max_running

    def _running_of(self, command: Command) -> int:
        name = command.name
        return len(self._running[name]) + self._left_running[name]

    def _room(self, command: Command) -> bool:
        limit = command.limits.max_running
        room = limit is None or self._running_of(command) < limit
        return room and self._count < self._max_running

    def _why(self, command: Command) -> str:
        if self._count >= self._max_running:
            return f"{self._count} commands are running already"
        limit = command.limits.max_running
        return (
            f"{command.name!r} is running already, as often as its max_running "
            f"({limit}) allows"
        )
