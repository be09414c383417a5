"""C{/events}: runs as they are created, start and end."""

import json
import re
import secrets
from collections.abc import Callable, Sequence
from functools import lru_cache

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

from .base import Resource, requires, to_root
from .query import LAST_EVENT_ID, Query, last_event_id
from .run_output import OutputResponder


@implementer(IRun)
@frozen(eq=False)
class _EventsRun:
    """All events, as the output of a run that never ends."""

    record: RunRecord
    log: OutputLog
    stall_timeout: float = Limits().stall_timeout

    def snapshot(self) -> RunRecord:
        return self.record

    def attach(self, viewer: IViewer) -> None:
        """No command waits for these viewers."""

    def detach(self, viewer: IViewer) -> None:
        """No command waits for these viewers."""

    def apply_backpressure(self) -> None:
        """No command waits for these viewers."""


@frozen(kw_only=True)
class _Format(Format):
    """
    A chunk of the log is a JSON document, and becomes an event.

    @ivar boot: tells the events of this daemon from those of the one before.
    @ivar reader: whose rights decide which events are left out; L{None}: no event is.
    @ivar missed: whether the reader knows only events of the daemon before.
    @ivar root: the relative reference from the stream to the root of the API.
    """

    name = "events"
    content_type = "text/event-stream; charset=utf-8"
    read_size = 1 << 14

    boot: str
    reader: Principal | None = None
    missed: bool = False
    root: str = ""

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
            name, command, owner, data = _parse(each.data, self.root)
            asked = Action.READ, command, owner
            if self.reader is None or decide(self.reader, *asked) is Verdict.ALLOWED:
                fields = name, each.end, self.boot.encode(), data
                wire.append(b"event: %b\nid: %d@%b\ndata: %b\n\n" % fields)
        return b"".join(wire), chunks[-1].end

    def gap(self, gap: Gap) -> bytes:
        document = json.dumps({"type": "gap"}).encode()
        mark = f"{gap.end}@{self.boot}".encode()
        return b"event: gap\nid: %b\ndata: %b\n\n" % (mark, document)

    def ping(self, offset: int) -> bytes:
        return b": ping\n\n"

    def end(self, end: End) -> bytes:
        return b""


@lru_cache(maxsize=16)
def _parse(event: bytes, root: str) -> tuple[bytes, str, str, bytes]:
    """
    The name of an event, the command and the owner of its run, and the event with its
    paths below C{root}.
    """
    # The readers of an event come one after the other, and it may have 64 KiB.
    document = json.loads(event)
    name, run = document["event"].encode(), document["run"]
    if root:
        run["output"] = root + run["output"]
        event = json.dumps(document).encode()
    return name, run["command"], run["principal"], event


def _starts_event(log: OutputLog, offset: int) -> bool:
    """Whether an event begins at an offset, and not the rest of one."""
    if not log.start <= offset < log.end:
        return True
    # Within a string of JSON the quotes would be escaped.
    return log.read(offset, 1)[0].data.startswith(b'{"event": ')


class Events(Resource):
    """C{/events}: server-sent events about runs, those that the caller may read."""

    def __init__(
        self, events: Callable[[], OutputLog], responder: OutputResponder
    ) -> None:
        """@param events: returns the log, always the same, with all events so far."""
        super().__init__()
        self._events = events
        self._boot = secrets.token_hex(8)
        record = RunRecord(
            id=self._boot,
            command="",
            params={},
            created=0,
            on_disconnect=OnDisconnect.KEEP,
            state=State.RUNNING,
        )
        self._run = _EventsRun(record, events())
        self._responder = responder

    def position(self) -> str:
        """The id of the last event."""
        return f"{self._events().end}@{self._boot}"

    @requires(Action.READ)
    def render_GET(self, request: Request) -> None:
        query = Query.of(request, LAST_EVENT_ID)
        query.validate()
        request.check_viewer_limit()
        log, principal = self._events(), request.context.runs.caller.principal
        grant = principal.grant
        # All who may read every event share one encoding.
        restricted = grant.own or "*" not in grant.commands
        form = _Format(
            boot=self._boot,
            reader=principal if restricted else None,
            root=to_root(request),
        )
        offset, last = log.end, last_event_id(request, query.text(LAST_EVENT_ID))
        if last is not None:
            match = re.fullmatch(r"([0-9]{1,16})@([0-9a-f]+)", last, re.ASCII)
            if match is not None and match[2] == self._boot:
                offset = min(int(match[1]), log.end)
            else:
                offset, form = 0, evolve(form, missed=True)
            if not _starts_event(log, offset):
                why = "takes the id of an event as it was sent"
                raise ParametersRefused([RefusedParameter("Last-Event-ID", why)])
        self._responder.set_headers(request, form)
        self._responder.stream(request, self._run, ViewOptions(offset), form)
