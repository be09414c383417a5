"""
Tells of runs.

Theory of operation
===================

B{Never forgotten.} The database writes, in the step that records an end, a row for each
notification that wants to know (L{storage.state.outbox}). So a run that has an end has
its notifications, whatever happens to this daemon next. That a run has begun is written
a moment later, and may be lost with the daemon. A row goes when it is delivered, or
given up. If the daemon is killed between the answer of a server and that, the next
daemon sends it again: at least once, with the same id.

B{Never in the way.} Runs know nothing of this. L{Notifier.tell} is called when an end
is recorded; all else happens later. Each notification has a queue of its own and sends
one at a time, in order, and a few of all send at once. So a server that answers slowly
or never costs others nothing.

B{Attempts.} After an attempt that may succeed later its queue waits: L{FIRST_WAIT}
seconds, then twice that and so on up to L{LONGEST_WAIT}, each time a little more or
less. The oldest is tried first: a server that is down gets one request after each
wait, and all that wait, in order, as soon as it is back. One that has failed
L{PATIENCE} times steps behind the others: it alone may be at fault. After L{MOST_AGE}
of a running daemon a notification is given up; at once, if the server says that it is
in vain.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from heapq import heappop, heappush
from random import uniform
from typing import Any, Protocol, TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from shellstream.config.loader import Config
from shellstream.config.notification import Notification
from shellstream.config.notification_trigger import ENDED, STARTED
from shellstream.model.errors import ShellstreamError
from shellstream.model.run_record import RunRecord
from shellstream.security.audit import AuditAction, AuditEntry

from .attempt import Attempt, Result
from .message import Message
from .run_outputs import RunOutputs
from .senders import Sender, send

_log = Logger(namespace="shellstream")

T = TypeVar("T")

#: Seconds until the second attempt, and the most between two.
FIRST_WAIT, LONGEST_WAIT = 5.0, 900.0

#: After this time a notification is given up, in microseconds of the age clock.
MOST_AGE = 24 * 3600 * 1_000_000

#: After so many attempts, 10 minutes at least, one steps behind the others.
PATIENCE = 8

#: How many are sent at once.
MOST_AT_ONCE = 8

#: Seconds between two looks for what was recorded later than it was told, or is old.
LOOK = 60.0


class Store(Protocol):
    """Calls methods of the database in a thread (L{storage.run_store.RunStore})."""

    def transact(self, call: Callable[[Any], T]) -> Deferred[T]: ...


class Outbox(Protocol):
    """Finds the notifications that an end makes (L{storage.state.outbox.Outbox})."""

    subscribers: Callable[[RunRecord], Sequence[str]] | None


class Reporter(Protocol):
    """Tells what happens to runs (L{runs.reporter.RunReporter})."""

    tell: Callable[[str, RunRecord], object] | None


@frozen
class Notifications:
    """
    Whom to tell, and of what. A reload replaces it as a whole.

    @ivar by_name: all notifications.
    @ivar public_url: the address under which people reach the daemon.
    """

    by_name: Mapping[str, Notification] = {}
    public_url: str | None = None

    @classmethod
    def of(cls, config: Config) -> "Notifications":
        """Those of a configuration."""
        return cls(config.notify, config.access.public_url)

    def names(self, event: str, record: RunRecord) -> Sequence[str]:
        """Those that tell of an event of a run. Any thread may ask."""
        return [
            name for name, each in self.by_name.items() if each.wants(event, record)
        ]

    def link(self, run_id: str) -> str:
        """The address of a run's page; empty if that is not known."""
        if self.public_url is None:
            return ""
        return f"{self.public_url.rstrip('/')}/runs/{run_id}"


@define(order=True)
class _Waiting:
    turn: int  # how often it has stepped back
    number: int
    entry: Any = field(order=False)
    attempts: int = field(order=False)


@define(eq=False)
class _Queue:
    """
    What one notification has to send.

    @ivar waiting: a heap.
    @ivar failures: how many attempts have failed since one has not.
    @ivar not_before: when the next one is made.
    """

    waiting: list[_Waiting] = field(factory=list)
    failures: int = 0
    not_before: float = 0.0


@define(eq=False)
class Notifier:
    """
    Delivers what is in the outbox.

    @ivar settings: the receivers; L{configure} replaces them.
    @ivar delivered: how many were delivered.
    @ivar retried: how many attempts failed that are made again.
    @ivar given_up: how many were given up.
    @ivar _outputs: finds the output of a run.
    @ivar _senders: those for a C{url} and for an C{argv}.
    """

    _clock: IReactorTime
    _store: Store
    _outbox: Outbox
    _reporter: Reporter
    _outputs: RunOutputs
    _audit: Callable[[AuditEntry], object]
    _senders: Callable[[Notification], Sender]
    settings: Notifications = field(factory=Notifications, init=False)
    delivered: int = field(default=0, init=False)
    retried: int = field(default=0, init=False)
    given_up: int = field(default=0, init=False)
    _queues: dict[str, _Queue] = field(factory=dict, init=False)
    _sending: dict[str, Deferred[None]] = field(factory=dict, init=False)
    _attempts: dict[str, Deferred[Attempt]] = field(factory=dict, init=False)
    _busy_runs: set[str] = field(factory=set, init=False)
    _newest: int = field(default=0, init=False)
    _loading: bool = field(default=False, init=False)
    _load_again: bool = field(default=False, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _looking: IDelayedCall | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)

    @property
    def pending(self) -> int:
        """How many are still to be delivered."""
        queues = self._queues.values()
        return sum(len(each.waiting) for each in queues) + len(self._sending)

    def configure(self, settings: Notifications) -> None:
        """Tell these from now on. What waits for another that is gone is given up."""
        self.settings = settings
        told = bool(settings.by_name)
        # While nobody is told, this costs a run nothing.
        self._outbox.subscribers = partial(settings.names, ENDED) if told else None
        self._reporter.tell = self.tell if told else None

    def start(self) -> None:
        """Begin to deliver; first of all what the last daemon has left."""
        self._load()
        self._looking = self._clock.callLater(LOOK, self._look)

    def stop(self) -> None:
        """Deliver no more: the next daemon goes on."""
        self._stopped = True
        for timer in (self._timer, self._looking):
            if timer is not None and timer.active():
                timer.cancel()
        # Only these: what is known of the others is still written.
        for each in tuple(self._attempts.values()):
            each.cancel()

    def tell(self, event: str, record: RunRecord) -> None:
        """
        A run has begun, or its end is recorded. This takes no time and never fails.
        """
        try:
            names = self.settings.names(event, record)
            if not names or self._stopped:
                return
            if any(self.settings.by_name[each].lines for each in names):
                self._outputs.remember(record.id)
            if event == ENDED:
                self._load()
                return
            self._store.transact(
                lambda database: database.outbox.put(
                    event, record, names, database.age.now()
                )
            ).addCallbacks(lambda _: self._load(), self._log_failure)
        except Exception:  # noqa: BLE001  # the run goes on
            _log.failure("run {run}: nobody is told", run=record.id)

    def _look(self) -> None:
        self._looking = self._clock.callLater(LOOK, self._look)
        if self.settings.by_name or self._queues:
            self._load()

    def _load(self) -> None:
        """Find what was added to the outbox."""
        if self._loading:
            self._load_again = True
            return
        self._loading = True
        newest = self._newest
        loading = self._store.transact(
            lambda database: (
                database.outbox.since(newest),
                database.outbox.take_expired(database.age.now() - MOST_AGE),
                database.outbox.take_refused(),
            )
        )
        loading.addCallback(self._loaded).addErrback(self._log_failure)
        loading.addCallback(self._load_done)

    def _loaded(self, found: tuple[list[Any], list[Any], list[Any]]) -> None:
        entries, expired, refused = found
        now = self._clock.seconds()
        for entry in entries:
            self._newest = max(self._newest, entry.number)
            queue = self._queues.setdefault(entry.notify, _Queue())
            if entry.attempts and not queue.waiting:
                # Of a daemon that starts again and again, no server is asked each time.
                queue.failures = entry.attempts
                queue.not_before = now + _wait_after(entry.attempts)
            self._enqueue(entry, entry.attempts)
        for name, run_id in expired:
            self._count_given_up(name, run_id, {}, "it was not delivered for a day")
        for name, run_id in refused:
            self._count_given_up(name, run_id, {}, "too many are waiting already")
        self._next()

    def _load_done(self, _: object) -> None:
        self._loading, again, self._load_again = False, self._load_again, False
        if again:
            self._load()

    def _enqueue(self, entry: Any, attempts: int) -> _Queue:
        queue = self._queues.setdefault(entry.notify, _Queue())
        turn = attempts // PATIENCE
        heappush(queue.waiting, _Waiting(turn, entry.number, entry, attempts))
        return queue

    def _next(self) -> None:
        """Send what is due, as far as there is room."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._stopped:
            return
        now, later = self._clock.seconds(), []
        for name, queue in tuple(self._queues.items()):
            # One at a time of a name, so that they come in order; and one of a run, so
            # that its end does not overtake its start.
            if name in self._sending:
                continue
            if not queue.waiting:
                del self._queues[name]
                continue
            first = queue.waiting[0]
            if queue.not_before > now:
                later.append(queue.not_before)
            elif len(self._sending) < MOST_AT_ONCE and (
                first.entry.run not in self._busy_runs
            ):
                # At the end of all, so that each has its turn.
                self._queues[name] = self._queues.pop(name)
                self._begin(name, heappop(queue.waiting))
        if later:
            self._timer = self._clock.callLater(min(later) - now, self._next)

    def _begin(self, name: str, waiting: _Waiting) -> None:
        self._busy_runs.add(waiting.entry.run)
        sending = Deferred.fromCoroutine(self._deliver(waiting))
        self._sending[name] = sending
        sending.addErrback(self._log_failure)
        sending.addCallback(self._ended, name, waiting.entry)

    def _ended(self, _: object, name: str, entry: Any) -> None:
        run_id = entry.run
        self._sending.pop(name, None)
        self._busy_runs.discard(run_id)
        queues = self._queues.values()
        # All that tell of its end were found at once.
        if entry.event == ENDED and not any(
            each.entry.run == run_id for queue in queues for each in queue.waiting
        ):
            self._outputs.forget(run_id)
        if not self._stopped:
            self._clock.callLater(0, self._next)

    async def _deliver(self, waiting: _Waiting) -> None:
        entry = waiting.entry
        try:
            content = await self._store.transact(
                lambda database: database.outbox.content(entry.number)
            )
        except ShellstreamError:  # the disk fails
            self._put_off(waiting, LOOK)
            return
        if content is None:  # too old, or sent by another
            return
        try:
            run = json.loads(content.document)
        except ValueError:
            await self._give_up(entry, {}, "its row in the history is damaged")
            return
        if entry.event == STARTED and content.run_ended:
            await self._drop(entry)  # its end says more, and may be delivered already
            return
        to = self.settings.by_name.get(entry.notify)
        if to is None:
            await self._give_up(entry, run, "the configuration has it no more")
            return
        attempting = Deferred.fromCoroutine(self._attempt(to, entry, run))
        self._attempts[entry.notify] = attempting
        attempt = await attempting
        del self._attempts[entry.notify]
        if self._stopped and attempt.result is not Result.DELIVERED:
            return
        if attempt.result is Result.LATER:
            await self._retry(waiting, attempt)
            return
        queue = self._queues.setdefault(entry.notify, _Queue())
        failures, queue.failures = queue.failures, 0
        if attempt.result is Result.NEVER:
            await self._give_up(entry, run, attempt.detail)
            return
        if failures:
            _log.info(
                "run {run}: notification {name} is delivered again, after {failures} "
                "attempts that failed",
                run=entry.run,
                name=entry.notify,
                failures=failures,
            )
        await self._drop(entry)
        self.delivered += 1
        facts = {"event": entry.event, "target": to.target}
        self._record(AuditAction.NOTIFIED, entry.notify, entry.run, run, facts)

    async def _attempt(
        self, to: Notification, entry: Any, run: Mapping[str, Any]
    ) -> Attempt:
        if self._stopped:
            return Attempt(Result.LATER, "the daemon stops")
        try:
            message = Message(
                delivery=f"{entry.run}.{entry.event}.{entry.notify}",
                notify=entry.notify,
                event=entry.event,
                run=run,
                link=self.settings.link(entry.run),
                output=await self._outputs.last_lines(to, entry.event, run),
            )
            return await send(self._senders(to), to, message, self._clock)
        except CancelledError:
            return Attempt(Result.LATER, "the daemon stops")
        except Exception:  # noqa: BLE001  # it is tried again, then given up
            _log.failure("run {run}: unforeseen", run=entry.run)
            return Attempt(Result.LATER, "something unforeseen")

    async def _retry(self, waiting: _Waiting, attempt: Attempt) -> None:
        entry = waiting.entry
        queue = self._queues.setdefault(entry.notify, _Queue())
        self.retried += 1
        queue.failures += 1
        waiting.attempts += 1
        if queue.failures == waiting.attempts == 1:
            _log.warn(
                "run {run}: notification {name} is not delivered: {why}; it is tried "
                "again for a day",
                run=entry.run,
                name=entry.notify,
                why=attempt.detail,
            )
        self._put_off(waiting, max(_wait_after(queue.failures), attempt.retry_after))
        await self._write(lambda outbox: outbox.count_attempt(entry.number))

    def _put_off(self, waiting: _Waiting, wait: float) -> None:
        queue = self._enqueue(waiting.entry, waiting.attempts)
        queue.not_before = self._clock.seconds() + wait

    async def _give_up(self, entry: Any, run: Mapping[str, Any], why: str) -> None:
        await self._drop(entry)
        self._count_given_up(entry.notify, entry.run, run, why)

    def _count_given_up(
        self, name: str, run_id: str, run: Mapping[str, Any], why: str
    ) -> None:
        self.given_up += 1
        _log.error(
            "run {run}: notification {name} is given up: {why}",
            run=run_id,
            name=name,
            why=why,
        )
        self._record(AuditAction.NOTIFY_FAILED, name, run_id, run, {"why": why})

    def _record(
        self,
        action: AuditAction,
        name: str,
        run_id: str,
        run: Mapping[str, Any],
        facts: Mapping[str, str],
    ) -> None:
        self._audit(
            AuditEntry(
                action=action,
                principal=run.get("principal", ""),
                command=run.get("command", ""),
                run=run_id,
                facts={"notify": name, **facts},
            )
        )

    async def _drop(self, entry: Any) -> None:
        await self._write(lambda outbox: outbox.delete(entry.number))

    async def _write(self, call: Callable[[Any], object]) -> None:
        try:
            await self._store.transact(lambda database: call(database.outbox))
        except ShellstreamError as error:  # the next daemon sends it once more
            _log.error("the outbox cannot be written: {error}", error=error)

    def _log_failure(self, failure: Failure) -> None:
        if failure.check(ShellstreamError):
            why = failure.getErrorMessage()
            _log.error("the outbox cannot be used: {why}", why=why)
        else:
            _log.failure("while telling of runs", failure)


def _wait_after(attempts: int) -> float:
    """Seconds until the next attempt; not the same for all, or they came together."""
    wait = FIRST_WAIT * 2.0 ** min(max(attempts - 1, 0), 20)
    return min(wait, LONGEST_WAIT) * uniform(0.75, 1.25)  # nosec B311  # noqa: S311  # no secret
