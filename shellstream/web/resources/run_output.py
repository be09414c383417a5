"""How a run's output is answered with: headers, a viewer, and the end."""

from collections.abc import Mapping
from typing import ClassVar
from weakref import WeakValueDictionary

from attrs import define, evolve
from twisted.internet.interfaces import IReactorTime

from shellstream.model.errors import (
    OffsetGone,
    ParametersRefused,
    RangeNotSatisfiable,
    RefusedParameter,
)
from shellstream.model.events import Reason, Stream
from shellstream.model.run_record import RunRecord, signal_name
from shellstream.output.formats import Format, Plain, parse_last_event_id
from shellstream.output.interfaces import IRun, ViewOptions
from shellstream.output.negotiation import negotiate
from shellstream.output.shared_encoding import SharedEncoding
from shellstream.output.tail import tail
from shellstream.output.viewer import Viewer
from shellstream.security.authorization import Action
from shellstream.web.server.request import Request

from .base import LIVE, READS, VARY, Resource, Rule, query_of, set_headers
from .byte_ranges import Range, resolve
from .query import MAX_OFFSET, Query
from .request_params import from_query

#: The most lines that may be asked for by C{tail}.
MAX_TAIL = 100_000

TRAILERS = (
    "Shellstream-State",
    "Shellstream-Exit-Code",
    "Shellstream-Exit-Signal",
    "Shellstream-Reason",
)


def outcome(record: RunRecord) -> Mapping[str, str]:
    """How a run ended, as trailers tell it, or headers where it is known before."""
    found = {
        "State": record.state.value,
        "Exit-Code": None if record.code is None else str(record.code),
        "Exit-Signal": None if record.signal is None else signal_name(record.signal),
        "Reason": None if record.reason is None else record.reason.value,
    }
    return {f"Shellstream-{k}": v for k, v in found.items() if v is not None}


class OutputResponder:
    """Answers requests with output, each at its own pace."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._renditions: WeakValueDictionary[object, SharedEncoding] = (
            WeakValueDictionary()
        )

    def headers(
        self, request: Request, form: Format, record: RunRecord | None = None
    ) -> None:
        """Say what is to come."""
        set_headers(request, LIVE)
        request.setHeader(b"content-type", form.content_type.encode())
        request.setHeader(b"vary", VARY)
        if record is not None:
            request.setHeader(b"shellstream-run", record.id.encode())

    def whole(
        self, request: Request, run: IRun, view: ViewOptions, form: Format
    ) -> None:
        """
        Answer with all of the output that a view wants.

        @raise OffsetGone: if some is not kept, and the format cannot say so.
        """
        record = run.record
        self.headers(request, form, record)
        if isinstance(form, Plain) and view.offset < run.log.start:
            if not view.skip_gaps:
                raise OffsetGone(view.offset, run.log.start)
            view = evolve(view, offset=run.log.start)
        if record.state.ended and isinstance(form, Plain):
            set_headers(request, outcome(record))
            chunked = request.clientproto == b"HTTP/1.1" and request.method != b"HEAD"
            if not (chunked or view.only or view.skip_gaps):
                size = run.log.end - view.offset
                request.setHeader(b"content-length", b"%d" % size)
        if isinstance(form, Plain):
            announce_trailers(request)
        self.follow(request, run, view, form)

    def part(
        self, request: Request, run: IRun, view: ViewOptions, wanted: Range
    ) -> None:
        """Answer with the part of the output that a C{Range} asked for."""
        self.headers(request, Plain(), run.record)
        request.setResponseCode(206)
        request.setHeader(b"content-range", wanted.content_range.encode())
        if not wanted.live:
            size = wanted.until - wanted.offset
            request.setHeader(b"content-length", b"%d" % size)
        else:
            announce_trailers(request)
        view = evolve(
            view, offset=wanted.offset, until=wanted.until, follow=wanted.live
        )
        self.follow(request, run, view, Plain())

    def follow(
        self, request: Request, run: IRun, view: ViewOptions, form: Format
    ) -> None:
        """
        Send the headers, then all that a view wants, then the end.

        @raise OffsetGone: if none of it can be read, and the format cannot say so.
        """
        over, plain = run.record.state.ended, isinstance(form, Plain)
        rendition = SharedEncoding(run, form, view.only)
        if plain and not view.skip_gaps and view.offset < run.log.end:
            run.log.read(view.offset, 1)  # or it would begin, and break off at once
        if not view.lossless:  # a run has few whom it waits for
            key = run, form, view.only
            rendition = self._renditions.setdefault(key, rendition)
        viewer = Viewer(
            view,
            rendition,
            request,
            _End(run, request, plain and not over),
            request.abort,
            self._clock,
        )
        if request.gone:  # while the run was being looked for
            run.attach(viewer)
            run.detach(viewer)
            return
        if request.method == b"HEAD":
            request.finish()
            return
        record = run.record
        # Headers now: a silent run is no hung server.
        request.begin(form.begin(record.id, record.command, view.offset))
        request.when_gone = viewer.stopProducing
        viewer.start()


def announce_trailers(request: Request) -> None:
    """Say that plain output may be followed by L{TRAILERS}."""
    if request.clientproto == b"HTTP/1.1":
        request.setHeader(b"trailer", ", ".join(TRAILERS).encode())


@define(eq=False)
class _End:
    """
    Ends an answer when it is told whether the run's output is at its end, too.

    @ivar hides: whether a client would take what is cut short for the whole.
    """

    _run: IRun
    _request: Request
    _hides: bool

    def __call__(self, ended: bool) -> None:
        record = self._run.record
        if record.reason is Reason.SHUTDOWN and ended and self._hides:
            self._request.cut()  # what the command had still to say, nobody knows
        else:
            self._request.finish_with(outcome(record) if ended else {})


class Output(Resource):
    """C{/runs/ID/output}: from any offset on, then live until the end."""

    rules: ClassVar[Mapping[str, Rule]] = {"GET": READS}

    def __init__(self, answers: OutputResponder, run_id: str) -> None:
        super().__init__()
        self._answers = answers
        self._id = run_id

    async def render_GET(self, request: Request) -> None:
        request.check_room()
        run = await request.runs.find(self._id)
        log = run.log
        ended = run.record.state.ended
        query = Query(
            from_query(query_of(request)),
            ("offset", "stream", "tail", "follow", "lossless", "gap", "format"),
        )
        offset = query.number("offset", 0, MAX_OFFSET)
        lines = query.number("tail", 0, MAX_TAIL)
        if offset is not None and lines is not None:
            query.refuse("tail", "cannot be combined with offset")
        if query.text("gap") not in (None, "skip"):
            query.refuse("gap", "must be skip, or left out")
        view = ViewOptions(
            follow=query.flag("follow", default=True),
            lossless=query.flag("lossless"),
            skip_gaps=query.text("gap") == "skip",
            only=query.one_of("stream", Stream),
        )
        form = negotiate(request.getHeader("accept"), query.text("format"))
        seen = _last_event_id(request, form, run.record.id)
        query.close()
        if view.lossless:  # it would make the command wait
            request.runs.require(Action.SIGNAL)
        if lines is not None:
            offset = tail(log, lines, view.only)
        header = request.getHeader("range")
        # The ranges of a part would have offsets of their own.
        if isinstance(form, Plain) and view.only is None and offset is None:
            tag = f'"{run.record.id}"'
            set_headers(request, {"Accept-Ranges": "bytes", "ETag": tag})
            same = request.getHeader("if-range") in (None, tag)
            if header is not None and same and request.method == b"GET":
                snapshot = ended or not view.follow
                wanted = resolve(header, log.start, log.end, ended=snapshot)
                if wanted is not None:
                    self._answers.part(request, run, view, wanted)
                    return
        offset = seen if seen is not None else offset or 0
        if ended and offset > log.end:
            raise RangeNotSatisfiable(offset, log.end)
        self._answers.whole(request, run, evolve(view, offset=offset), form)

    render_HEAD = render_GET


def _last_event_id(request: Request, form: Format, run: str) -> int | None:
    """
    Where an C{EventSource} was when its connection broke.

    @raise ParametersRefused: if it was at another run.
    """
    text = request.getHeader("last-event-id")
    if text is None or form.name != "sse":
        return None
    offset, named = parse_last_event_id(text)
    if named not in (None, run):
        raise ParametersRefused(
            [RefusedParameter("Last-Event-ID", "names another run")]
        )
    return offset
