"""Reports what happens to runs: to subscribers of the news, and to the audit."""

import json
from collections import Counter, deque
from collections.abc import Callable

from attrs import define, field

from shellstream.model.events import Stream, WallClock
from shellstream.model.run_record import RunRecord, to_document
from shellstream.output.log import OutputLog
from shellstream.output.unforeseen import contained
from shellstream.security.audit import AuditAction, AuditEntry
from shellstream.security.authorization import Caller

#: How much of the news is kept for clients that come back, in bytes of memory: with
#: about 900 bytes each, the last 150 events.
NEWS = 1 << 17

#: How many events wait to be formatted while nobody follows the news: about as many.
MAX_WAITING = 128


@define(eq=False)
class RunReporter:
    """
    Reports that runs are created, start and end. Nothing that fails here stops a run.

    @ivar ends: how many runs of a command ended so: C{success}, C{failure}, or as the
        state says.
    @ivar tell: is told that a run has C{started}, and that its end is recorded; L{None}
        while nobody wants to know.
    """

    _wall: WallClock
    #: Writes entries into the audit.
    _audit: Callable[..., object]
    _news: OutputLog = field(factory=lambda: OutputLog(NEWS), init=False)
    #: Events that are not in the news yet, and whether there were more.
    _waiting: "deque[tuple[str, RunRecord, int]]" = field(factory=deque, init=False)
    _missed: bool = field(default=False, init=False)
    ends: Counter[tuple[str, str]] = field(factory=Counter, init=False)
    tell: Callable[[str, RunRecord], object] | None = field(default=None, init=False)

    @property
    def news(self) -> OutputLog:
        """All events so far: each is a chunk, and a JSON document."""
        if self._missed:
            self._missed = False
            self._news.skip()
        while self._waiting:
            self._publish(*self._waiting.popleft())
        return self._news

    def report(self, event: str, record: RunRecord) -> None:
        """Send an event of a run to the subscribers."""
        if self._news.watched:
            self._publish(event, record, self._wall())
        else:  # to format three events takes a tenth of what a short run takes
            if len(self._waiting) == MAX_WAITING:
                self._waiting.popleft()
                self._missed = True
            self._waiting.append((event, record, self._wall()))
        if event == "ended":
            end = record.state._value_  # as its property says, without the call
            if record.code is not None and end == "exited":
                end = "failure" if record.code else "success"
            self.ends[record.command, end] += 1
        if self.tell is not None and event != "created":
            self.tell(event, record)

    def _publish(self, event: str, record: RunRecord, time: int) -> None:
        with contained(record.id):
            document = json.dumps({"event": event, "run": to_document(record)})
            self._news.append(Stream.STDOUT, time, document.encode())

    def report_request(self, record: RunRecord, caller: Caller) -> None:
        """
        Audit that a caller asked for a run, and send to subscribers that it was
        created, and perhaps started. Call it before its end is reported.
        """
        with contained(record.id):
            self._audit(_start_entry(record, caller))
        self._report_start(record)

    def report_whole(self, record: RunRecord, caller: Caller, end: RunRecord) -> None:
        """The same as L{report_request} and L{report_end}, for less."""
        with contained(record.id):
            self._audit(_start_entry(record, caller), _end_entry(end))
        self._report_start(record)
        self.report("ended", end)

    def _report_start(self, record: RunRecord) -> None:
        self.report("created", record)
        if record.started is not None:
            self.report("started", record)

    def report_join(self, record: RunRecord, caller: Caller) -> None:
        """Audit that a caller joined a run, which another may have started."""
        self._audit(
            AuditEntry.by_caller(
                AuditAction.JOIN, caller, command=record.command, run=record.id
            )
        )

    def report_end(self, record: RunRecord) -> None:
        """Audit the end of a run, and send it to subscribers, before viewers know."""
        self.audit_end(record)
        self.report("ended", record)

    def audit_end(self, record: RunRecord) -> None:
        """Audit the end of a run."""
        with contained(record.id):
            self._audit(_end_entry(record))


def _start_entry(record: RunRecord, caller: Caller) -> AuditEntry:
    return AuditEntry.by_caller(
        AuditAction.START,
        caller,
        command=record.command,
        run=record.id,
        params=record.params,
        facts={"state": record.state.value},
    )


def _end_entry(record: RunRecord) -> AuditEntry:
    end = record.end
    return AuditEntry(
        action=AuditAction.END,
        principal=record.principal,
        command=record.command,
        run=record.id,
        facts={
            "state": end.state.value,
            "code": end.code,
            "signal": end.signal,
            "reason": None if end.reason is None else end.reason.value,
            "failure": record.failure,
        },
    )
