"""C{/runs/ID/…}: what can be done to a run."""

from collections.abc import Mapping
from signal import Signals
from typing import ClassVar

from twisted.internet.defer import CancelledError, Deferred

from shellstream.model.errors import Forbidden, ParametersRefused, RefusedParameter
from shellstream.model.run_input import StdinChunk
from shellstream.model.run_record import to_document
from shellstream.output.interfaces import IRun
from shellstream.security.authorization import Action
from shellstream.web.server.problem_details import json_line
from shellstream.web.server.request import Request

from .base import JSON, Resource, Rule, query_of
from .query import MAX_OFFSET, Query
from .request_params import from_json, from_query
from .terminal_size import size_of


def answer_with(request: Request, run: IRun) -> None:
    """Answer with a run as it stands."""
    request.setHeader(b"shellstream-run", run.record.id.encode())
    request.answer(JSON, json_line(to_document(run.snapshot())))


async def _answer_done(request: Request, run_id: str) -> None:
    """Answer that it is done, with the run if whoever did it may see that."""
    request.setResponseCode(202)
    try:
        answer_with(request, await request.runs.find(run_id))
    except Forbidden:
        request.answer(JSON, json_line({"id": run_id}))


class _Steering(Resource):
    """What is done to a run by POST."""

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self._id = run_id


class _Cancel(_Steering):
    """C{/runs/ID/cancel}: TERM, then KILL."""

    rules: ClassVar[Mapping[str, Rule]] = {"POST": frozenset({Action.SIGNAL})}

    async def render_POST(self, request: Request) -> None:
        await request.runs.cancel(self._id)
        await _answer_done(request, self._id)


class _Signal(_Steering):
    """C{/runs/ID/signal}: any signal, to all processes of the run."""

    rules: ClassVar[Mapping[str, Rule]] = {"POST": frozenset({Action.SIGNAL})}

    async def render_POST(self, request: Request) -> None:
        body = from_json(
            request.getHeader("content-type") or "", request.content.read()
        )
        refusals = [
            RefusedParameter(name[:80], "is unknown here; send signal")
            for name in body
            if name != "signal"
        ]
        number = _signal_number(body.get("signal"))
        if number is None:
            why = 'must name one, such as {"signal": "INT"}'
            refusals.append(RefusedParameter("signal", why))
        if refusals:
            raise ParametersRefused(refusals)
        assert number is not None
        await request.runs.signal(self._id, number)
        await _answer_done(request, self._id)


def _signal_number(name: object) -> int | None:
    """The number of a signal by its name, C{INT} or C{SIGINT}."""
    if not isinstance(name, str):
        return None
    found = Signals.__members__.get(f"SIG{name.removeprefix('SIG')}")
    return None if found is None else found.value


class _Stdin(_Steering):
    """C{/runs/ID/stdin}: what a run is to read; answered when it could."""

    rules: ClassVar[Mapping[str, Rule]] = {"POST": frozenset({Action.WRITE})}

    async def render_POST(self, request: Request) -> None:
        query = Query(from_query(query_of(request)), ("offset", "eof"))
        offset = query.number("offset", 0, MAX_OFFSET)
        eof = query.flag("eof")
        query.close()
        piece = StdinChunk(request.content.getvalue(), offset, eof)
        feeding = Deferred.fromCoroutine(request.runs.feed(self._id, piece))
        # What a client that leaves has sent counts as far as it was taken.
        request.notifyFinish().addErrback(lambda _: feeding.cancel())
        try:
            taken = await feeding
        except CancelledError:
            return
        request.setHeader(b"shellstream-stdin-offset", b"%d" % taken)
        request.answer_nothing()


class _Resize(_Steering):
    """C{/runs/ID/resize}: another size for a run's terminal."""

    rules: ClassVar[Mapping[str, Rule]] = {"POST": frozenset({Action.WRITE})}

    async def render_POST(self, request: Request) -> None:
        body = from_json(
            request.getHeader("content-type") or "", request.content.read()
        )
        await request.runs.resize(self._id, *size_of(body))
        request.answer_nothing()


#: What lives below a run, by name.
STEERING: Mapping[bytes, type[_Steering]] = {
    b"cancel": _Cancel,
    b"resize": _Resize,
    b"signal": _Signal,
    b"stdin": _Stdin,
}
