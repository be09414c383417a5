"""C{/runs/ID/…}: cancel, signal, input and the size of the terminal."""

from collections.abc import Mapping
from signal import Signals, valid_signals

from twisted.internet.defer import CancelledError, Deferred

from shellstream.model.errors import Forbidden, ParametersRefused, RefusedParameter
from shellstream.model.run_input import StdinChunk
from shellstream.model.run_record import to_document
from shellstream.output.interfaces import IRun
from shellstream.security.authorization import Action
from shellstream.web.server.request import Request

from .base import Resource, requires, respond_json, to_root
from .pages import respond_see_other, wants_page
from .query import MAX_OFFSET, Query
from .request_params import from_json, size_of, unknown_members


def respond_run(request: Request, run: IRun) -> None:
    """Respond with a run as it stands."""
    request.set_headers({"Shellstream-Run": run.record.id})
    respond_json(request, to_document(run.snapshot(), to_root(request)))


async def _respond_accepted(request: Request, run_id: str) -> None:
    """
    Respond that something was done, with the run if the caller may see it. A browser
    that has sent a form is shown the run's page again.
    """
    if wants_page(request):
        respond_see_other(request, f"runs/{run_id}")
        return
    request.setResponseCode(202)
    try:
        respond_run(request, await request.context.runs.find(run_id))
    except Forbidden:
        respond_json(request, {"id": run_id})


class _Control(Resource):
    """Something that a POST does to a run."""

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self._id = run_id


class _Cancel(_Control):
    """C{/runs/ID/cancel}: TERM, then KILL."""

    @requires(Action.SIGNAL)
    async def render_POST(self, request: Request) -> None:
        await request.context.runs.cancel(self._id)
        await _respond_accepted(request, self._id)


class _Signal(_Control):
    """C{/runs/ID/signal}: any signal, to all processes of the run."""

    @requires(Action.SIGNAL)
    async def render_POST(self, request: Request) -> None:
        body = from_json(request.content_type, request.content.getvalue())
        refusals = unknown_members(body, ("signal",))
        name = body.get("signal")
        number = SIGNALS.get(name) if isinstance(name, str) else None
        if number is None:
            why = _unknown_signal(name)
            refusals.append(RefusedParameter("signal", why, "signal: names none"))
        if refusals:
            raise ParametersRefused(refusals)
        assert number is not None
        await request.context.runs.signal(self._id, number)
        await _respond_accepted(request, self._id)


def _signals() -> dict[str, int]:
    """
    Every signal that a process can be sent, by each of its names: C{INT} and C{SIGINT};
    real-time signals also as kill(1) counts them, C{RTMIN+1} and C{RTMAX-1}; and its
    number on this machine.
    """
    found = {
        name[len("SIG") :]: each.value for name, each in Signals.__members__.items()
    }
    first, last = found["RTMIN"], found["RTMAX"]
    for count in range(1, last - first):
        found[f"RTMIN+{count}"] = first + count
        found[f"RTMAX-{count}"] = last - count
    found.update({f"SIG{name}": number for name, number in found.items()})
    # Those that the C library keeps for its threads are not valid.
    return {**found, **{str(int(number)): int(number) for number in valid_signals()}}


#: The signals that a client may name.
SIGNALS: Mapping[str, int] = _signals()


def _unknown_signal(name: object) -> str:
    if not isinstance(name, str):
        return 'must name one, such as {"signal": "INT"}'
    # A number has a name, or is of a real-time signal.
    names = (each for each in Signals.__members__ if not each.startswith("SIGRT"))
    known = ", ".join(each.removeprefix("SIG") for each in names)
    return f"there is no signal {name[:20]!r}; send one of {known}, RTMIN+N, RTMAX-N"


class _Stdin(_Control):
    """C{/runs/ID/stdin}: input for a run; answered when the run's pipe took it."""

    @requires(Action.WRITE)
    async def render_POST(self, request: Request) -> None:
        query = Query.of(request, "offset", "eof")
        offset = query.number("offset", 0, MAX_OFFSET)
        eof = query.flag("eof")
        query.validate()
        chunk = StdinChunk(request.content.getvalue(), offset, eof)
        feeding = Deferred.fromCoroutine(request.context.runs.feed(self._id, chunk))
        # Of what a client sent before it left, the part that the run took counts.
        request.notifyFinish().addErrback(lambda _: feeding.cancel())
        try:
            taken = await feeding
        except CancelledError:
            return
        request.set_headers({"Shellstream-Stdin-Offset": str(taken)})
        request.respond_no_content()


class _Resize(_Control):
    """C{/runs/ID/resize}: another size for a run's terminal."""

    @requires(Action.WRITE)
    async def render_POST(self, request: Request) -> None:
        body = from_json(request.content_type, request.content.getvalue())
        await request.context.runs.resize(self._id, *size_of(body))
        request.respond_no_content()


#: What lives below a run, by name.
CONTROLS: Mapping[bytes, type[_Control]] = {
    b"cancel": _Cancel,
    b"resize": _Resize,
    b"signal": _Signal,
    b"stdin": _Stdin,
}
