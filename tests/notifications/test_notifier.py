"""Tests for L{shellstream.notifications.notifier}."""

from collections.abc import Mapping
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from shellstream.config.loader import Config, parse
from shellstream.config.notification import Notification
from shellstream.model.events import State
from shellstream.notifications.attempt import Attempt, Result
from shellstream.notifications.message import Message
from shellstream.notifications.notifier import (
    FIRST_WAIT,
    LONGEST_WAIT,
    LOOK,
    MOST_AGE,
    PATIENCE,
    Notifications,
    Notifier,
)
from shellstream.notifications.run_outputs import MOST_OUTPUT, RunOutputs
from shellstream.runs.run import Run
from shellstream.storage.state.outbox import MAX_DOCUMENT, MAX_PENDING, MAX_VALUE
from tests.support.fakes import ECHO, SAY
from tests.support.registries import LOGIN, SECRET, FileTestCase, RegistryTestCase

OK = Attempt(Result.DELIVERED, "HTTP 200")
DOWN = Attempt(Result.LATER, "the connection was refused")
GONE = Attempt(Result.NEVER, "HTTP 410")

#: Longer than any wait for the next attempt.
LATER = 2 * LONGEST_WAIT


def config(text: str) -> Config:
    """C{say}, C{echo} and C{login}, with these notifications."""
    table = "[commands.%s]\nargv = ['true']\n"
    made = parse("".join(table % each for each in ("say", "echo", "login")) + text)
    commands = {each.name: each for each in (SAY, ECHO, LOGIN)}
    return evolve(made, commands=commands, default="say")


ONE = config("[notify.one]\nurl = 'https://example.org/secret'")


@define(eq=False)
class FakeSender:
    """
    Ends attempts as the test says.

    @ivar answers: how the next ones end; after these, all are delivered.
    @ivar waits: whether an attempt goes on until the test ends it.
    """

    answers: list[Attempt] = field(factory=list)
    waits: bool = False
    sent: list[Message] = field(factory=list)
    open: list[Deferred[Attempt]] = field(factory=list)

    def __call__(self, to: Notification) -> "FakeSender":
        return self

    async def send(self, to: Notification, message: Message) -> Attempt:
        self.sent.append(message)
        if self.waits:
            self.open.append(Deferred())
            return await self.open[-1]
        return self.answers.pop(0) if self.answers else OK

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """What was sent: the notification, the event and how the run stands."""
        return [(m.notify, m.event, m.run["state"]) for m in self.sent]


class NotifierTestCase(RegistryTestCase):
    """A notifier of a registry in memory."""

    config = ONE

    def restart(self, config: Config, *, recover: bool = True) -> None:
        super().restart(config, recover=False)
        self.sender = FakeSender()
        self.notifier = Notifier(
            self.clock,
            self.store,
            self.database.outbox,
            self.registry.reporter,
            RunOutputs(self.registry.find, self.secrets_of),
            self.noted.append,
            self.sender,
        )
        self.notifier.configure(Notifications.of(config))
        if recover:
            self.recover()
        self.notifier.start()

    def secrets_of(self, run_id: str) -> Mapping[str, str]:
        run = self.registry.active.get(run_id)
        return {} if run is None else run.invocation.secrets

    def end(self, code: int = 1, command: str | None = None, **more: Any) -> Run:
        """A run ends with this code."""
        run = self.submit(command, **more)
        self.last.exit(code)
        self.clock.advance(0)
        return run

    def outbox(self) -> list[tuple[str, str]]:
        """What is still to be delivered."""
        with self.database.transaction():
            return [(e.notify, e.event) for e in self.database.outbox.since(0)]

    def audited(self) -> list[dict[str, Any]]:
        """The facts of the audit's entries that notifications have made."""
        return [
            {"what": each.action.value, **each.facts}
            for each in self.noted
            if "notify" in each.facts
        ]


class DeliveryTests(NotifierTestCase):
    """Somebody is told, once it is recorded, and never twice without need."""

    def test_failure(self) -> None:
        """A run that failed is told of, and a success is not."""
        self.end(0)
        run = self.end(3)
        self.assertEqual(self.sender.told, [("one", "ended", "exited")])
        (message,) = self.sender.sent
        self.assertEqual(message.delivery, f"{run.id}.ended.one")
        self.assertEqual((message.run["id"], message.run["code"]), (run.id, 3))
        self.assertEqual(self.outbox(), [])
        self.assertEqual(self.notifier.delivered, 1)

    def test_audit(self) -> None:
        """The audit has the host alone of what was told, or why it was given up."""
        self.end()
        self.sender.answers = [GONE]
        self.end()
        facts = {"notify": "one"}
        target = "https://example.org"
        self.assertEqual(
            self.audited(),
            [
                {"what": "notified", **facts, "event": "ended", "target": target},
                {"what": "notify-failed", **facts, "why": "HTTP 410"},
            ],
        )
        self.assertEqual(self.notifier.given_up, 1)
        self.assertEqual(self.outbox(), [])

    def test_again(self) -> None:
        """An attempt that fails is made again, each time after a longer wait."""
        self.sender.answers = [DOWN, DOWN, DOWN]
        self.end()
        waits = []
        for _ in range(3):
            before = self.clock.seconds()
            due = min(each.getTime() for each in self.clock.getDelayedCalls())
            waits.append(due - before)
            self.clock.advance(due - before)
            self.clock.advance(0)
        self.assertEqual(self.sender.told, [("one", "ended", "exited")] * 4)
        self.assertEqual(len({each.delivery for each in self.sender.sent}), 1)
        for number, wait in enumerate(waits):
            least = FIRST_WAIT * 2**number * 0.75
            self.assertTrue(least <= wait <= least * 5 / 3, waits)
        self.assertEqual(self.notifier.retried, 3)

    def test_server_down(self) -> None:
        """While a server is down it gets one request after each wait, for all."""
        self.sender.answers = [DOWN] * 3
        for _ in range(5):
            self.end()
        self.assertEqual(len(self.sender.sent), 1)
        self.advance(LATER)
        self.assertEqual(self.notifier.delivered, 5)
        self.assertEqual(len(self.sender.sent), 8)

    def test_order(self) -> None:
        """After an outage all come in the order of their runs, and the log tells it."""
        self.sender.answers = [DOWN] * 7
        ids = []
        for _ in range(5):
            ids.append(self.end().id)
            self.advance(40)
        with capturedLogs() as seen:
            self.advance(LATER)
        self.assertEqual([each.run["id"] for each in self.sender.sent[7:]], ids)
        told = [e["failures"] for e in seen if "again, after" in str(e["log_format"])]
        self.assertEqual(told, [7])

    def test_fault_of_one(self) -> None:
        """One that fails time and again does not keep the others waiting for ever."""
        self.sender.answers = [DOWN] * PATIENCE
        first, second = self.end().id, self.end().id
        self.advance(2 * LATER)
        sent = [each.run["id"] for each in self.sender.sent]
        self.assertEqual(sent, [first] * PATIENCE + [second, first])

    def advance(self, seconds: float) -> None:
        """Let time pass, in steps that no timer is longer than."""
        for _ in range(int(seconds / 10)):
            self.clock.advance(10)

    def test_retry_after(self) -> None:
        """A server that asks for patience gets it."""
        self.sender.answers = [evolve(DOWN, retry_after=1000.0)]
        self.end()
        self.advance(980)
        self.assertEqual(len(self.sender.sent), 1)
        self.advance(40)
        self.assertEqual(len(self.sender.sent), 2)

    def test_given_up(self) -> None:
        """After a day of attempts a notification is given up."""
        self.sender.answers = [DOWN] * 100_000
        self.end()
        self.database.age.seen += MOST_AGE
        self.advance(2 * LOOK)
        self.assertEqual(self.outbox(), [])
        self.assertIn("for a day", self.audited()[-1]["why"])
        self.flushLoggedErrors()

    def test_slow(self) -> None:
        """A server that never answers costs its own notification time, and no run."""
        self.restart(
            config(
                "[notify.slow]\nargv = ['true']\ntimeout = 20\n"
                "[notify.fast]\nargv = ['true']\n"
            )
        )
        self.sender.waits = True
        run = self.end()
        self.assertTrue(run.log.closed)
        self.assertEqual([each.notify for each in self.sender.sent], ["slow"])
        self.clock.advance(20)
        self.clock.advance(0)
        self.assertEqual([each.notify for each in self.sender.sent], ["slow", "fast"])
        self.assertEqual(self.notifier.retried, 1)

    def test_one_at_a_time(self) -> None:
        """What one notification has to tell is told in order, one after the other."""
        self.sender.waits = True
        first, second = self.end().id, self.end().id
        self.assertEqual([each.run["id"] for each in self.sender.sent], [first])
        self.sender.open[0].callback(OK)
        self.clock.advance(0)
        self.assertEqual([each.run["id"] for each in self.sender.sent], [first, second])

    def test_started(self) -> None:
        """That a run began is told before its end, and not after it."""
        self.restart(config("[notify.a]\nargv = ['x']\non = ['started', 'ended']"))
        self.submit()
        self.clock.advance(0)
        self.assertEqual(self.sender.told, [("a", "started", "running")])
        self.sender.answers = [DOWN]
        self.last.exit(0)
        self.clock.advance(0)
        self.sender.sent.clear()
        self.advance(LATER)
        self.assertEqual(self.sender.told, [("a", "ended", "exited")])

    def test_too_late_to_start(self) -> None:
        """That a run began is not told once it has ended."""
        self.restart(config("[notify.a]\nargv = ['x']\non = ['started', 'ended']"))
        self.sender.answers = [DOWN]
        self.submit()
        self.clock.advance(0)
        self.last.exit(0)
        self.sender.sent.clear()
        self.advance(LATER)
        self.assertEqual(self.sender.told, [("a", "ended", "exited")])
        self.assertEqual(self.outbox(), [])

    def test_nobody(self) -> None:
        """Without a notification nothing is asked of the outbox or the notifier."""
        self.restart(config(""))
        self.assertIsNone(self.database.outbox.subscribers)
        self.assertIsNone(self.registry.reporter.tell)
        self.end()
        self.assertEqual(self.sender.sent, [])

    def test_stop(self) -> None:
        """A daemon that stops ends its attempts, which the next one makes again."""
        self.sender.waits = True
        self.end()
        self.notifier.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.outbox(), [("one", "ended")])
        self.restart(self.config)
        self.assertEqual(self.sender.told, [("one", "ended", "exited")])

    def test_stop_between_attempts(self) -> None:
        """A daemon that stops as it writes down a failed attempt finishes that."""
        self.stop_after(DOWN)
        self.assertEqual(self.outbox(), [("one", "ended")])

    def test_stop_once_delivered(self) -> None:
        """A daemon that stops once something is delivered does not send it again."""
        self.stop_after(OK)
        self.assertEqual(self.outbox(), [])
        self.assertEqual([each["what"] for each in self.audited()], ["notified"])

    def stop_after(self, attempt: Attempt) -> None:
        """The daemon stops after an attempt, before the disk knows of it."""
        self.sender.waits = True
        self.end()
        self.thread.manual = True
        self.sender.open[0].callback(attempt)
        self.notifier.stop()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.thread.manual = False
        self.thread.step()


class KilledTests(NotifierTestCase):
    """What was recorded is told, whatever happens to the daemon."""

    def test_recorded_end(self) -> None:
        """The daemon is killed once an end is recorded: the next one tells of it."""
        self.submit()
        self.thread.manual = True
        self.last.exit(3)
        self.thread.step()
        self.assertEqual(self.sender.sent, [])
        self.thread.manual = False
        self.restart(self.config)
        self.assertEqual(self.sender.told, [("one", "ended", "exited")])

    def test_lost(self) -> None:
        """Runs that were lost with the daemon are told of by the next one."""
        self.submit()
        self.restart(self.config)
        self.assertEqual(self.sender.told, [("one", "ended", "lost")])
        self.restart(self.config)
        self.assertEqual(self.sender.sent, [])

    def test_disk_fails(self) -> None:
        """An end that is recorded late is told of then."""
        self.submit()
        self.thread.broken = True
        self.last.exit(3)
        self.clock.advance(0)
        self.assertEqual(self.sender.sent, [])
        self.thread.broken = False
        self.clock.pump([LOOK / 2] * 3)
        self.assertEqual(self.sender.told, [("one", "ended", "exited")])
        self.flushLoggedErrors()

    def test_removed(self) -> None:
        """What waits for a notification that is not there any more is given up."""
        self.sender.answers = [DOWN]
        self.end()
        self.restart(config("[notify.other]\nargv = ['true']"))
        self.clock.pump([FIRST_WAIT, FIRST_WAIT])
        self.assertEqual(self.sender.sent, [])
        self.assertEqual(self.outbox(), [])
        self.assertIn("no more", self.audited()[-1]["why"])


class BoundTests(NotifierTestCase):
    """What waits is bounded."""

    def test_pending(self) -> None:
        """Of too many that wait, the newest are given up, and the audit says so."""
        self.sender.answers = [DOWN] * 10
        run = self.end()
        with self.database.transaction():
            for number in range(MAX_PENDING):
                record = evolve(run.record, id=str(number))
                self.database.outbox.put("ended", record, ["one"], 0)
        self.assertEqual(len(self.outbox()), MAX_PENDING)
        self.clock.advance(LOOK)
        self.assertIn("too many", self.audited()[-1]["why"])

    def test_parameters(self) -> None:
        """Long parameters are cut, and left out if there are too many."""
        self.sender.waits = True
        run = self.end(command="echo", given=[("x", "y" * 4000)])
        self.assertEqual(len(self.sender.sent[-1].run["params"]["x"]), MAX_VALUE + 1)
        many = {f"p{number}": "y" * 900 for number in range(100)}
        record = evolve(run.record, id="many", params=many)
        with self.database.transaction():
            self.database.outbox.put("ended", record, ["one"], 0)
            number = self.database.outbox.since(0)[-1].number
            content = self.database.outbox.content(number)
        assert content is not None
        self.assertLess(len(content.document), MAX_DOCUMENT)


class OutputTests(NotifierTestCase, FileTestCase):
    """The last lines of the output are told, without what is secret."""

    config = config("[notify.one]\nargv = ['true']\nlines = 2")

    def say(self, *words: bytes, command: str = "say", **more: Any) -> str | None:
        """A command prints this and fails: what is told of its output."""
        self.submit(command, **more)
        for each in words:
            self.last.say(each)
        self.last.exit(1)
        self.clock.advance(0)
        return self.sender.sent[-1].output

    def test_lines(self) -> None:
        """The last lines are told as a terminal would show them."""
        self.assertEqual(self.say(b"one\ntwo\n10%\r\x1b[1m20%", b"\n"), "two\n20%")

    def test_none(self) -> None:
        """A run without output has an empty text."""
        self.assertEqual(self.say(), "")

    def test_secret(self) -> None:
        """A secret parameter that the command prints is masked."""
        given = [("who", "root"), ("password", SECRET)]
        said = self.say(f"got {SECRET}!\n".encode(), command="login", given=given)
        self.assertEqual(said, "got ***!")
        self.assertEqual(self.sender.sent[-1].run["params"]["password"], "***")

    def test_part_of_secret(self) -> None:
        """No part of a secret is told where the output is cut within it."""
        key = "\n".join(f"line {number} of a key" for number in range(9))
        given = [("who", "root"), ("password", key)]
        for printed in (key, key.replace("\n", "\r\n")):
            said = self.say(printed.encode(), command="login", given=given)
            self.assertEqual(said, "***")
        given = [("who", "root"), ("password", SECRET)]
        for more in (-2, 4 * len(SECRET) - 2):
            long = SECRET.encode() + b"x" * (MOST_OUTPUT + more)
            said = self.say(long, command="login", given=given)
            self.assertLessEqual({*str(said)}, {"*", "x"})

    def test_secret_forgotten(self) -> None:
        """After a restart nobody knows what to mask: the output is left out."""
        self.sender.answers = [DOWN]
        given = [("who", "root"), ("password", SECRET)]
        self.say(SECRET.encode(), command="login", given=given)
        self.reopen(self.config)
        self.clock.pump([FIRST_WAIT, FIRST_WAIT])
        self.assertEqual(self.sender.told, [("one", "ended", "exited")])
        self.assertIsNone(self.sender.sent[-1].output)

    def test_forgotten(self) -> None:
        """A run that was deleted meanwhile is told of, without output."""
        self.sender.answers = [DOWN]
        run = self.end()
        deleting = Deferred.fromCoroutine(self.registry.delete(run.id))
        self.successResultOf(deleting)
        self.clock.pump([FIRST_WAIT, FIRST_WAIT])
        self.assertEqual(self.sender.sent[-1].run["state"], State.EXITED.value)
        self.assertIsNone(self.sender.sent[-1].output)
