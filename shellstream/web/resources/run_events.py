"""C{/events}: what happens to runs, as it happens."""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import ClassVar

from attrs import evolve, frozen
from zope.interface import implementer

from shellstream.model.errors import ParametersRefused, RefusedParameter
from shellstream.model.events import Chunk, End, Gap, OnDisconnect, State, Stream
from shellstream.model.limits import Limits
from shellstream.model.run_record import RunRecord
from shellstream.output.formats import Format
from shellstream.output.interfaces import IRun, IViewer, ViewOptions
from shellstream.output.log import OutputLog
from shellstream.security.authorization import Action, Principal, Verdict, decide
from shellstream.web.server.request import Request

from .base import READS, Resource, Rule, query_of
from .query import Query
from .request_params import from_query
from .run_output import OutputResponder


@implementer(IRun)
@frozen(eq=False)
class _News:
    """The news, as the output of a run that never ends."""

    record: RunRecord
    log: OutputLog
    stall_timeout: float = Limits().stall_timeout

    def snapshot(self) -> RunRecord:
        return self.record

    def attach(self, viewer: IViewer) -> None:
        """Nothing waits for viewers."""

    def detach(self, viewer: IViewer) -> None:
        """Nothing waits for viewers."""

    def apply_backpressure(self) -> None:
        """There is nothing to slow down."""


@frozen(kw_only=True)
class _Format(Format):
    """
    A chunk of the log is a JSON document and becomes an event.

    @ivar boot: tells the news of this daemon from those of the one before.
    @ivar sees: what its reader may know of; L{None}: all.
    @ivar missed: whether the reader knows only those of the one before.
    """

    name = "events"
    content_type = "text/event-stream; charset=utf-8"
    read_size = 1 << 14

    boot: str
    sees: "_Sees | None" = None
    missed: bool = False

    def begin(self, run: str, command: str, offset: int) -> bytes:
        # The id is kept though nothing is dispatched: see L{formats.Sse}.
        begin = b"retry: 1000\nid: %d@%b\n\n" % (offset, self.boot.encode())
        return begin + self.gap(Gap(0, 0)) if self.missed else begin

    def output(
        self,
        chunks: Sequence[Chunk],
        offset: int,
        *,
        final: bool,
        only: Stream | None = None,
    ) -> tuple[bytes, int]:
        wire = []
        for each in chunks:
            news = json.loads(each.data)
            run = news["run"]
            if self.sees is None or self.sees(run["command"], run["principal"]):
                told = news["event"].encode(), each.end, self.boot.encode(), each.data
                wire.append(b"event: %b\nid: %d@%b\ndata: %b\n\n" % told)
        return b"".join(wire), chunks[-1].end

    def gap(self, gap: Gap) -> bytes:
        document = json.dumps({"type": "gap"}).encode()
        mark = f"{gap.end}@{self.boot}".encode()
        return b"event: gap\nid: %b\ndata: %b\n\n" % (mark, document)

    def ping(self, offset: int) -> bytes:
        return b": ping\n\n"

    def end(self, end: End) -> bytes:
        return b""


@frozen
class _Sees:
    """Whether somebody may know of a run, by its command and owner."""

    principal: Principal

    @classmethod
    def of(cls, principal: Principal) -> "_Sees | None":
        """For somebody; L{None} for one who may know of all."""
        grant = principal.grant
        return cls(principal) if grant.own or "*" not in grant.commands else None

    def __call__(self, command: str, owner: str) -> bool:
        verdict = decide(self.principal, Action.READ, command, owner)
        return verdict is Verdict.ALLOWED


def _begins(log: OutputLog, offset: int) -> bool:
    """Whether an event, and not the rest of one, is what is read from there on."""
    if not log.start <= offset < log.end:
        return True
    # Within a string of JSON the quotes would be escaped.
    return log.read(offset, 1)[0].data.startswith(b'{"event": ')


class Events(Resource):
    """C{/events}: an C{EventSource} hears of runs as they are created, start, end."""

    rules: ClassVar[Mapping[str, Rule]] = {"GET": READS}

    def __init__(self, events: OutputLog, answers: OutputResponder) -> None:
        super().__init__()
        boot = secrets.token_hex(8)
        record = RunRecord(
            id=boot,
            command="",
            params={},
            created=0,
            on_disconnect=OnDisconnect.KEEP,
            state=State.RUNNING,
        )
        self._news = _News(record, events)
        self._boot = boot
        self._answers = answers

    def render_GET(self, request: Request) -> None:
        Query(from_query(query_of(request)), ()).close()
        request.check_room()
        log = self._news.log
        offset, form = (
            log.end,
            _Format(boot=self._boot, sees=_Sees.of(request.runs.caller.principal)),
        )
        last = request.getHeader("last-event-id")
        if last is not None:
            match = re.fullmatch(r"([0-9]{1,16})@([0-9a-f]+)", last, re.ASCII)
            if match is not None and match[2] == self._news.record.id:
                offset = min(int(match[1]), log.end)
            else:
                offset, form = 0, evolve(form, missed=True)
            if not _begins(log, offset):
                why = "takes the id of an event as it was sent"
                raise ParametersRefused([RefusedParameter("Last-Event-ID", why)])
        self._answers.headers(request, form)
        self._answers.follow(request, self._news, ViewOptions(offset), form)

    render_HEAD = render_GET
