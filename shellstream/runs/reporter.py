"""Reports what happens to runs: to subscribers of the news, and to the audit."""

import json
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


@define(eq=False)
class RunReporter:
    """
    Reports that runs are created, start and end. Nothing that fails here stops a run.

    @ivar news: each event is a chunk, and a JSON document.
    @ivar tell: is told that a run has C{started}, and that its end is recorded; L{None}
        while nobody wants to know.
    """

    _wall: WallClock
    _audit: Callable[[AuditEntry], object]
    news: OutputLog = field(factory=lambda: OutputLog(NEWS), init=False)
    tell: Callable[[str, RunRecord], object] | None = field(default=None, init=False)

    def report(self, event: str, record: RunRecord) -> None:
        """Send an event of a run to the subscribers."""
        with contained(record.id):
            document = json.dumps({"event": event, "run": to_document(record)})
            self.news.append(Stream.STDOUT, self._wall(), document.encode())
        if event == "started" and self.tell is not None:
            self.tell(event, record)

    def report_request(self, record: RunRecord, caller: Caller) -> None:
        """
        Audit that a caller asked for a run, and send to subscribers that it was
        created, and perhaps started. Call it before its end is reported.
        """
        with contained(record.id):
            self._audit(
                AuditEntry.by_caller(
                    AuditAction.START,
                    caller,
                    command=record.command,
                    run=record.id,
                    params=record.params,
                    facts={"state": record.state.value},
                )
            )
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
        self.report("ended", record)
        self.audit_end(record)
        if self.tell is not None:
            self.tell("ended", record)

    def audit_end(self, record: RunRecord) -> None:
        """Audit the end of a run."""
        with contained(record.id):
            end = record.end
            facts = {
                "state": end.state.value,
                "code": end.code,
                "signal": end.signal,
                "reason": None if end.reason is None else end.reason.value,
                "failure": record.failure,
            }
            self._audit(
                AuditEntry(
                    action=AuditAction.END,
                    principal=record.principal,
                    command=record.command,
                    run=record.id,
                    facts=facts,
                )
            )
