"""Responses with a run's output: headers, a viewer, and the end."""

from collections.abc import Mapping
from functools import partial
from weakref import WeakValueDictionary

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from shellstream.model.errors import (
    OffsetGone,
    ParametersRefused,
    RangeNotSatisfiable,
    RefusedParameter,
)
from shellstream.model.events import Reason, Stream
from shellstream.model.run_record import RunRecord, signal_name
from shellstream.output.counts import OutputCounts
from shellstream.output.fair_turns import FairTurns
from shellstream.output.formats import Format, Plain, parse_last_event_id
from shellstream.output.interfaces import IRun, ViewOptions
from shellstream.output.negotiation import negotiate
from shellstream.output.shared_encoding import SharedEncoding
from shellstream.output.tail import tail
from shellstream.output.viewer import Viewer
from shellstream.security.authorization import Action
from shellstream.web.server.request import Request

from .base import VARY, Resource, requires
from .byte_ranges import Range, is_tag_of, tag_of, wanted_range
from .preconditions import is_unchanged, respond_not_modified
from .query import LAST_EVENT_ID, MAX_OFFSET, Query, last_event_id

#: The most lines that may be asked for by C{tail}.
MAX_TAIL = 100_000

#: Headers that keep the way of a live response free: caches do not store it, proxies
#: neither transform nor buffer it.
_LIVE = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "Vary": VARY,
}

#: The trailers in which plain output tells how its run ended.
TRAILERS = (
    "Shellstream-State",
    "Shellstream-Exit-Code",
    "Shellstream-Exit-Signal",
    "Shellstream-Reason",
)
_ANNOUNCED = {"Trailer": ", ".join(TRAILERS)}


def outcome(record: RunRecord) -> Mapping[str, str]:
    """How a run ended, as trailers, or as headers where it has ended already."""
    found = {
        "State": record.state.value,
        "Exit-Code": None if record.code is None else str(record.code),
        "Exit-Signal": None if record.signal is None else signal_name(record.signal),
        "Reason": None if record.reason is None else record.reason.value,
    }
    return {f"Shellstream-{k}": v for k, v in found.items() if v is not None}


def announce_trailers(request: Request) -> None:
    """Say that plain output may be followed by L{TRAILERS}."""
    if request.clientproto == b"HTTP/1.1":
        request.set_headers(_ANNOUNCED)


class OutputResponder:
    """
    Responds with output, to each client at its own pace.

    @ivar turns: for work that can wait, of all responses together.
    """

    def __init__(self, clock: IReactorTime, counts: OutputCounts) -> None:
        self._clock = clock
        self._counts = counts
        self.turns = FairTurns(clock)
        #: One encoding for each run and format, kept while the run has viewers in it.
        self._encodings: WeakValueDictionary[object, SharedEncoding] = (
            WeakValueDictionary()
        )

    def set_headers(
        self, request: Request, form: Format, record: RunRecord | None = None
    ) -> None:
        """Set the headers of a live response."""
        headers = {**_LIVE, "Content-Type": form.content_type}
        if record is not None:
            headers["Shellstream-Run"] = record.id
        request.set_headers(headers)

    def respond(
        self, request: Request, run: IRun, view: ViewOptions, form: Format
    ) -> None:
        """
        Respond with all of the output that a view wants.

        @raise OffsetGone: if some is not kept, and the format cannot say so.
        """
        record = run.record
        self.set_headers(request, form, record)
        if isinstance(form, Plain):
            if view.offset < run.log.start:
                if not view.skip_gaps:
                    raise OffsetGone(view.offset, run.log.start)
                view = evolve(view, offset=run.log.start)
            ended, end = record.state.ended, run.log.end
            if ended:
                request.set_headers(outcome(record))
            if ended or not view.follow:
                # Of a part of it nobody has counted the bytes.
                if not (view.only or view.skip_gaps):
                    size = max(end - view.offset, 0)
                    request.set_headers({"Content-Length": str(size)})
                    view = evolve(view, until=end)
            else:
                announce_trailers(request)
        if record.state.ended and view.offset > run.log.end:
            raise RangeNotSatisfiable(view.offset, run.log.end)
        self.stream(request, run, view, form)

    def respond_not_modified(self, request: Request, run: IRun) -> None:
        """Respond that a client has all of the plain output already."""
        record = run.record
        self.set_headers(request, Plain(), record)
        if record.state.ended:
            request.set_headers(outcome(record))
        respond_not_modified(request)

    def respond_part(
        self, request: Request, run: IRun, view: ViewOptions, wanted: Range
    ) -> None:
        """Respond with the part of the output that a C{Range} asked for."""
        self.set_headers(request, Plain(), run.record)
        request.setResponseCode(206)
        request.set_headers({"Content-Range": wanted.content_range})
        if wanted.live:
            announce_trailers(request)
        else:
            size = wanted.until - wanted.offset
            request.set_headers({"Content-Length": str(size)})
        view = evolve(
            view, offset=wanted.offset, until=wanted.until, follow=wanted.live
        )
        self.stream(request, run, view, Plain())

    def stream(
        self, request: Request, run: IRun, view: ViewOptions, form: Format
    ) -> None:
        """
        Send the headers, then all that a view wants, then the end.

        @raise OffsetGone: if the beginning cannot be read, and the format cannot say
            so.
        """
        plain, record = isinstance(form, Plain), run.record
        if plain and not view.skip_gaps and view.offset < run.log.end:
            run.log.read(view.offset, 1)  # or it would begin, and break off at once
        encoding = SharedEncoding(run, form, view.only)
        if not view.lossless:  # the few viewers that a run waits for share nothing
            key = run, form, view.only
            encoding = self._encodings.setdefault(key, encoding)
        plain_live = plain and view.follow and not record.state.ended
        viewer = Viewer(
            view,
            encoding,
            request,
            _Ending(run, request, plain_live),
            request.abort,
            self._clock,
            self.turns,
            self._counts,
        )
        self._counts.resumed += view.offset > 0
        if request.disconnected:  # while the run was being found or made
            # A run that is cancelled without viewers must see this one come and go.
            run.attach(viewer)
            run.detach(viewer)
            return
        if request.method == b"HEAD":
            request.finish()
            return
        # The headers leave now: a silent run is not a server that hangs.
        request.start_streaming(form.begin(record.id, record.command, view.offset))
        request.on_disconnect = viewer.stopProducing
        viewer.start()


@frozen(eq=False)
class _Ending:
    """
    Ends a response whose viewer has all that it wanted.

    @ivar plain_live: whether it is plain output of a run that went on: only a broken
        connection tells its client that some is missing, and only trailers tell how
        the run ended. All other answers say both; and there are proxies that take
        trailers for a fault.
    """

    _run: IRun
    _request: Request
    _plain_live: bool

    def __call__(self, ended: bool) -> None:
        """@param ended: whether this is the end of the run's output, too."""
        record, request = self._run.record, self._request
        if not (ended and self._plain_live):
            request.finish_with_trailers({})
        elif record.reason in (Reason.SHUTDOWN, Reason.ERROR):
            request.abort_incomplete()  # the command may have had more to say
        else:
            request.finish_with_trailers(outcome(record))


class Output(Resource):
    """C{/runs/ID/output}: from any offset on, then live until the end."""

    def __init__(self, responder: OutputResponder, run_id: str) -> None:
        super().__init__()
        self._responder = responder
        self._id = run_id

    @requires(Action.READ)
    async def render_GET(self, request: Request) -> None:
        request.check_viewer_limit()
        runs = request.context.runs
        run = await runs.find(self._id)
        query = Query.of(
            request,
            *("offset", "stream", "tail", "follow", "lossless", "gap", "format"),
            LAST_EVENT_ID,
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
        form = negotiate(request.header("accept"), query.text("format"))
        seen = _offset_after(
            last_event_id(request, query.text(LAST_EVENT_ID)), run.record.id
        )
        query.validate()
        if view.lossless:  # it would make the command wait
            runs.require(Action.SIGNAL)
        if lines is not None:
            looking = tail(run.log, lines, self._responder.turns, view.only)
            finding = Deferred.fromCoroutine(looking)
            request.notifyFinish().addErrback(lambda _: finding.cancel())
            try:
                offset = await finding
            except CancelledError:
                return
        if seen is not None:
            offset = seen
        view = evolve(view, offset=offset or 0)
        tagged = isinstance(form, Plain) and not view.skip_gaps
        if tagged and _is_unchanged(request, run, view.offset):
            self._responder.respond_not_modified(request, run)
            return
        # Ranges count bytes of the whole output: a part of it would shift them.
        if isinstance(form, Plain) and view.only is None and offset is None:
            wanted = wanted_range(request, run, follow=view.follow)
            if wanted is not None:
                self._responder.respond_part(request, run, view, wanted)
                return
        self._responder.respond(request, run, view, form)


def _is_unchanged(request: Request, run: IRun, offset: int) -> bool:
    """
    Whether a client has the plain output from an offset on already.

    @raise PreconditionFailed: see L{is_unchanged}.
    """
    log, tag = run.log, tag_of(run)
    request.set_headers({"ETag": tag})
    # An error goes before (RFC 9110, 13.2.1).
    refused = offset < log.start or (run.record.state.ended and offset > log.end)
    return not refused and is_unchanged(request, tag, partial(is_tag_of, run))


def _offset_after(event_id: str | None, run: str) -> int | None:
    """
    Where a client was when its connection broke.

    @raise ParametersRefused: if it was at another run.
    """
    if event_id is None:
        return None
    offset, named = parse_last_event_id(event_id)
    if named not in (None, run):
        raise ParametersRefused(
            [RefusedParameter("Last-Event-ID", "names another run")]
        )
    return offset
