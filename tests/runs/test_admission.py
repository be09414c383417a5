"""Tests for L{shellstream.runs.admission}.

Who gets a place, by example and hypothesis.
"""

from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.command import Command
from shellstream.config.live import LiveConfig
from shellstream.config.parameters import String
from shellstream.model.errors import Busy, TooManyWaiting
from shellstream.model.events import ExitStatus, OnDisconnect, Reason, State
from shellstream.model.limits import Limits, WhenBusy
from shellstream.model.run_input import Tty
from shellstream.model.run_record import RunRecord
from shellstream.output.log import OutputLog
from shellstream.runs.admission import RETRY_AFTER, Admission
from shellstream.runs.run import Run
from tests.support.fakes import FakeChild, wall
from tests.support.registries import CONFIG, FakeOwner


def places(running: int, queued: int) -> Admission:
    """Return the admission of a daemon with these limits."""
    limits = evolve(CONFIG, max_running=running, max_queued=queued)
    return Admission(LiveConfig(limits))


@define(eq=False)
class Owner(FakeOwner):
    """Passes on the places of ended runs, as a registry does."""

    admission: Admission = field(factory=lambda: places(2, 2))
    children: dict[str, FakeChild] = field(factory=dict)
    clock: Clock = field(factory=Clock)

    def run_ended(self, run: Run, outcome: RunRecord) -> None:
        self.admission.leave(run)
        super().run_ended(run, outcome)

    def run(
        self, command: Command, *given: tuple[str, object], of: str = "anonymous"
    ) -> Run:
        """Return a run of a principal that is not admitted yet."""
        record = RunRecord(
            id=str(len(self.children)),
            command=command.name,
            params={},
            created=0,
            on_disconnect=OnDisconnect.KEEP,
            principal=of,
        )
        now, invocation = wall(self.clock), command.invoke(given)
        log = OutputLog(100)
        run = Run(record, command, invocation, log, self.clock, now, self)
        self.children[record.id] = FakeChild()
        return run

    def start(self, run: Run) -> None:
        """Record a run, and start its process."""
        run.recording.done = True
        run.take_turn()
        run.launch()
        run.started(self.children[run.id])

    def exit(self, run: Run) -> None:
        """End a run's process and its whole group."""
        self.children[run.id].lives = False
        run.finished(ExitStatus(0, None))


def command(name: str, when_busy: WhenBusy, max_running: int | None = None) -> Command:
    """A command with these limits."""
    limits = Limits(when_busy=when_busy, max_running=max_running)
    return Command(name=name, argv=("x",), limits=limits)


class AdmissionTests(SynchronousTestCase):
    """An L{Admission} keeps the number of runs below its limits."""

    def setUp(self) -> None:
        self.owner = Owner()
        self.admission = self.owner.admission

    def admit(self, command: Command, of: str = "anonymous") -> Run:
        """A run that has got a place, and is started if that is not in the queue."""
        run = self.owner.run(command, of=of)
        if self.admission.admit(run):
            self.owner.start(run)
        run.recording.done = True
        return run

    def test_room(self) -> None:
        """While there is room, every run is admitted."""
        run = self.owner.run(command("a", WhenBusy.REJECT))
        self.assertTrue(self.admission.admit(run))
        self.assertEqual(self.admission.queue, [])

    def test_reject(self) -> None:
        """A rejected run gets the reason, and the time to ask again."""
        a = command("a", WhenBusy.REJECT, 1)
        self.admit(a)
        error = self.assertRaises(Busy, self.admission.admit, self.owner.run(a))
        self.assertEqual(error.headers, {"Retry-After": str(RETRY_AFTER)})
        self.assertIn(
            "'a' is running already, as often as its max_running (1) allows", str(error)
        )
        b = command("b", WhenBusy.REJECT)
        self.admit(b)
        error = self.assertRaises(Busy, self.admission.admit, self.owner.run(b))
        self.assertIn("2 commands are running already", str(error))

    def test_queue(self) -> None:
        """Queued runs start in the order in which they came."""
        a = command("a", WhenBusy.QUEUE)
        runs = [self.admit(a) for _ in range(4)]
        self.assertEqual(self.admission.queue, runs[2:])
        self.assertIsNone(self.admission.next())
        self.admission.leave(runs[0])
        self.assertIs(self.admission.next(), runs[2])
        self.assertIsNone(self.admission.next())

    def test_left_twice(self) -> None:
        """A place is given back but once."""
        a = command("a", WhenBusy.QUEUE)
        runs = [self.admit(a) for _ in range(4)]
        for _ in range(3):
            self.admission.leave(runs[0])
        self.assertIs(self.admission.next(), runs[2])
        self.assertIsNone(self.admission.next())

    def test_unrecorded(self) -> None:
        """A run that is not recorded yet blocks the queue of its command."""
        a = command("a", WhenBusy.QUEUE, 1)
        first, second = self.admit(a), self.admit(a)
        second.recording.done = False
        self.admission.leave(first)
        self.assertIsNone(self.admission.next())
        third = self.owner.run(a)
        self.assertFalse(self.admission.admit(third))
        second.recording.done = True
        self.assertIs(self.admission.next(), second)

    def test_bounded(self) -> None:
        """The queue is bounded, for all commands together."""
        a, b = command("a", WhenBusy.QUEUE), command("b", WhenBusy.QUEUE)
        for each in (a, b, a, b):
            self.admit(each)
        error = self.assertRaises(Busy, self.admission.admit, self.owner.run(a))
        self.assertIn("2 runs are waiting already", str(error))

    def fill(self, admission: Admission) -> Command:
        """Let two runs of this command run, so that others have to wait."""
        self.owner.admission = self.admission = admission
        a = command("a", WhenBusy.QUEUE)
        for _ in range(2):
            self.admit(a, "ann")
        return a

    def test_share(self) -> None:
        """One principal leaves room in the queue for others, who get what is left."""
        a = self.fill(places(2, 4))
        for _ in range(3):
            self.admit(a, "ann")
        more = self.owner.run(a, of="ann")
        error = self.assertRaises(TooManyWaiting, self.admission.admit, more)
        self.assertEqual(error.headers, {"Retry-After": str(RETRY_AFTER)})
        self.assertIn("3 runs of yours are waiting already", str(error))
        self.admit(a, "bob")
        for name in ("bob", "cid"):  # now it is full
            error = self.assertRaises(
                Busy, self.admission.admit, self.owner.run(a, of=name)
            )
            self.assertIn("4 runs are waiting already", str(error))
        self.admission.next()
        self.admission.leave(self.admission.queue[0])
        self.admit(a, "cid")

    def test_share_replaced(self) -> None:
        """A run that replaces others takes their part of the share."""
        self.fill(places(3, 2))
        x = command("x", WhenBusy.REPLACE, 1)
        runs = [self.admit(x, "ann") for _ in range(4)]
        self.assertEqual(self.admission.queue, runs[3:])

    def test_turns(self) -> None:
        """Principals take turns, however many runs of each wait."""
        a = self.fill(places(2, 100))
        names = ["ann"] * 4 + ["bob"] * 2 + ["cid"]
        waiting = [self.admit(a, name) for name in names]
        late = []
        order = ""
        for _ in range(7):
            running = next(iter(self.admission._running["a"]))
            self.admission.leave(running)
            begun = self.admission.next()
            assert begun is not None
            order += begun.record.principal[0]
            if begun.record.principal == "cid":  # has always one that waits
                late.append(self.admit(a, "cid"))
        self.assertEqual(order, "abcabca")
        starts = [run for run in waiting if run not in self.admission.queue]
        self.assertEqual([each for each in starts if each in waiting[:4]], waiting[:3])

    def test_join(self) -> None:
        """Only an identical run can be joined, and only without room."""
        x = String(name="x")
        limits = Limits(when_busy=WhenBusy.JOIN, max_running=1)
        a = Command(name="a", argv=("a", "{x}"), params={"x": x}, limits=limits)
        same, another = a.invoke([("x", "1")]), a.invoke([("x", "2")])
        self.assertIsNone(self.admission.joinable(a, same))
        run = self.owner.run(a, ("x", "1"))
        self.assertTrue(self.admission.admit(run))
        self.assertIs(self.admission.joinable(a, same), run)
        self.assertIsNone(self.admission.joinable(a, another))
        other = evolve(a, limits=Limits(when_busy=WhenBusy.REJECT, max_running=1))
        self.assertIsNone(self.admission.joinable(other, same))
        run.take_turn()
        run.launch()
        run.failed("no such program")
        self.assertIsNone(self.admission.joinable(a, same))

    def test_join_input(self) -> None:
        """A run with input or a terminal is never shared."""
        limits = Limits(when_busy=WhenBusy.JOIN, max_running=1)
        a = Command(name="a", argv=("a",), stdin=True, tty=True, limits=limits)
        plain, fed, typed = a.invoke([]), a.invoke([], True), a.invoke([], tty=Tty())
        for first in (plain, fed, typed):
            run = self.owner.run(a)
            run.invocation = first
            self.assertTrue(self.admission.admit(run))
            for second in (plain, fed, typed):
                expected = run if first is second is plain else None
                self.assertIs(self.admission.joinable(a, second), expected)
            self.admission.leave(run)

    def test_replace(self) -> None:
        """
        The running run is ended, a waiting one is cancelled, and the newest is next.
        """
        a = command("a", WhenBusy.REPLACE, 1)
        runs = [self.admit(a) for _ in range(3)]
        child = self.owner.children[runs[0].id]
        self.assertEqual(child.signals, ["SIGTERM", "SIGCONT"])
        self.assertIs(runs[1].record.state, State.CANCELLED)
        self.assertIs(runs[1].record.reason, Reason.CANCELLED)
        self.assertEqual(self.admission.queue, runs[2:])

    def test_replace_others(self) -> None:
        """No other command's run is ended for it."""
        a, b = command("a", WhenBusy.REPLACE), command("b", WhenBusy.QUEUE)
        runs = [self.admit(b), self.admit(b)]
        self.assertRaises(Busy, self.admission.admit, self.owner.run(a))
        for run in runs:
            self.assertEqual(self.owner.children[run.id].signals, [])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from("qrjx"), st.sampled_from("ab")),
        st.tuples(st.just("record"), st.integers(0, 9), st.just("")),
        st.tuples(st.just("go"), st.integers(0, 9), st.just("")),
    ),
    max_size=40,
)
COMMANDS = {
    "q": command("q", WhenBusy.QUEUE, 2),
    "r": command("r", WhenBusy.REJECT, 1),
    "j": command("j", WhenBusy.JOIN),
    "x": command("x", WhenBusy.REPLACE, 1),
}


class AdmissionProperties(SynchronousTestCase):
    """Limits hold for any order in which runs come and go."""

    @given(STEPS)
    def test_limits(self, steps) -> None:
        """
        The limits hold, no recorded run waits in vain, and after the last run all room
        is free again.
        """
        owner = Owner(admission=places(3, 3))
        admission = owner.admission
        running: list[Run] = []
        pending: list[Run] = []

        def launch() -> None:
            while (run := admission.next()) is not None:
                owner.start(run)
                running.append(run)

        for step, value, name in steps:
            if step == "come":
                run = owner.run(COMMANDS[value], of=name)
                try:
                    if admission.admit(run):
                        owner.start(run)
                        running.append(run)
                    else:
                        pending.append(run)
                except Busy:
                    self.assertNotIn(run, admission.queue)
            elif step == "record" and pending:
                pending.pop(value % len(pending)).recording.done = True
            elif step == "go" and running:
                owner.exit(running.pop(value % len(running)))
            launch()
            self.assertLessEqual(len(running), 3)
            self.assertLessEqual(len(admission.queue), 3)
            for each in COMMANDS.values():
                mine = [run for run in running if run.command is each]
                self.assertLessEqual(len(mine), each.limits.max_running or 3)
        for run in pending:
            run.recording.done = True
        launch()
        while running:
            owner.exit(running.pop())
            launch()
        self.assertEqual((admission.queue, admission._queued), ([], {}))
        free = command("free", WhenBusy.REJECT)
        for _ in range(3):
            self.assertTrue(admission.admit(owner.run(free)))
