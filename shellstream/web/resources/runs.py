"""C{/runs}: start a run that needs no viewer, and list runs."""

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource as TwistedResource
from zope.interface import implementer

from shellstream.model.errors import (
    Busy,
    ParametersRefused,
    PathNotFound,
    RefusedParameter,
)
from shellstream.model.events import OnDisconnect
from shellstream.model.run_record import to_document
from shellstream.output.interfaces import IRun, IViewer
from shellstream.runs.interfaces import RunRequest
from shellstream.security.authorization import Action
from shellstream.web.console.run_page import run_page
from shellstream.web.server.problem_details import json_line
from shellstream.web.server.request import Request

from .base import (
    VARY,
    Resource,
    requires,
    respond_json,
    to_root,
)
from .pages import frame_of, respond_with_page, wants_page
from .preconditions import entity_tag, is_unchanged
from .query import Query
from .request_params import JsonPairs, from_json, trace_of, tty_of, unknown_members
from .run_control import CONTROLS, respond_run
from .run_list import respond_list
from .run_output import Output, OutputResponder

#: The members of a request for a run.
_MEMBERS = ("command", "params", "stdin", "tty", "on_disconnect")


def key_of(request: Request) -> str | None:
    """
    The C{Idempotency-Key} of a request
    (draft-ietf-httpapi-idempotency-key-header), quoted or not.

    @raise ParametersRefused: if it is not one.
    """
    text = request.header("idempotency-key")
    if text is None:
        return None
    key = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        why = "must be 1 to 255 printable ASCII characters"
        raise ParametersRefused([RefusedParameter("Idempotency-Key", why)])
    return key


class Runs(Resource):
    """C{/runs}: creates runs, and lists them."""

    def __init__(self, responder: OutputResponder) -> None:
        super().__init__()
        self._responder = responder

    def getChild(self, path: bytes, request: Request) -> TwistedResource:
        if not path:
            if any(request.postpath):
                raise PathNotFound("the id of the run is empty; write /runs/ID")
            return self
        return OneRun(self._responder, path.decode("utf-8", "replace"))

    @requires(Action.READ)
    async def render_GET(self, request: Request) -> None:
        await respond_list(request)

    @requires(Action.RUN)
    async def render_POST(self, request: Request) -> None:
        query = Query.of(request, "wait")
        if query.text("wait") not in (None, "end"):
            query.refuse("wait", "must be end, or left out")
        query.validate()
        runs, wanted = request.context.runs, _run_request(request)
        if query.text("wait"):
            request.check_viewer_limit()
            request.begin_to_view()
        run, began = await runs.submit(wanted)
        if query.text("wait") and not await EndWaiter(run).wait(request):
            if request.disconnected:
                return
            raise Busy("the daemon is stopping; the run waits for the next one", 10)
        # A request that is repeated with its key has the same answer each time.
        request.setResponseCode(201 if began or wanted.key else 200)
        record, root = run.snapshot(), to_root(request)
        request.set_headers(
            {"Location": f"{root}runs/{record.id}", "Shellstream-Run": record.id}
        )
        # It may be another's, or have come to its end since.
        seen = runs.allows(Action.READ, record.command, record.principal)
        document = to_document(record, root) if seen else {"id": record.id}
        respond_json(request, document)


@implementer(IViewer)
@define(eq=False)
class EndWaiter:
    """
    A viewer that takes no output, and waits for the end of a run.

    It counts as a viewer for a run that is cancelled without any. No command ever
    waits for it.
    """

    _run: IRun
    offset: int = field(default=0, init=False)
    lossless: bool = field(default=False, init=False)
    _waiting: Deferred[bool] = field(factory=Deferred, init=False)

    def wait(self, request: Request) -> Deferred[bool]:
        """Fires with whether a run has ended before the client has left."""
        self._run.attach(self)
        unsubscribe = self._run.log.subscribe(self._look)
        request.on_disconnect = self.abort
        if request.disconnected:
            self.abort()
        self._look()

        def leave(ended: bool) -> bool:
            unsubscribe()
            self._run.detach(self)
            return ended

        return self._waiting.addCallback(leave)

    def abort(self) -> None:
        """The client has left, or the daemon gives the run back to the queue."""
        if not self._waiting.called:
            self._waiting.callback(False)

    def _look(self) -> None:
        log = self._run.log
        self.offset = log.end  # or a command that pauses for viewers pauses for this
        if log.closed and not self._waiting.called:
            self._waiting.callback(True)


def _run_request(request: Request) -> RunRequest:
    """
    The run that a JSON body asks for.

    @raise ParametersRefused: naming every member that does not fit.
    @raise CommandUnknown: if the caller may run no command of this name.
    """
    body = from_json(request.content_type, request.content.getvalue())
    refusals = unknown_members(body, _MEMBERS)
    name, params = body.get("command"), body.get("params", JsonPairs())
    stdin = body.get("stdin", False)
    if not isinstance(stdin, bool):
        why = "must be true or false; input itself goes to POST /runs/ID/stdin"
        refusals.append(RefusedParameter("stdin", why))
    tty = tty_of(body.get("tty", False), refusals)
    on_disconnect = body.get("on_disconnect", OnDisconnect.KEEP.value)
    if on_disconnect not in [each.value for each in OnDisconnect]:
        refusals.append(RefusedParameter("on_disconnect", 'must be "keep" or "cancel"'))
    if name is not None and not isinstance(name, str):
        refusals.append(RefusedParameter("command", "must be a string"))
    if not isinstance(params, JsonPairs):
        refusals.append(RefusedParameter("params", "must be an object: {NAME: VALUE}"))
    if refusals:
        raise ParametersRefused(refusals)
    assert name is None or isinstance(name, str)
    assert isinstance(params, JsonPairs)
    assert isinstance(stdin, bool)
    return RunRequest(
        request.context.runs.config.command(name),
        params,
        OnDisconnect(on_disconnect),
        key_of(request),
        stdin,
        tty,
        by_default=name is None,
        trace=trace_of(request),
    )


class OneRun(Resource):
    """C{/runs/ID}, and the parent of all below it."""

    def __init__(self, responder: OutputResponder, run_id: str) -> None:
        super().__init__()
        self._id = run_id
        self.putChild(b"output", Output(responder, run_id))
        for name, kind in CONTROLS.items():
            self.putChild(name, kind(run_id))

    @requires(Action.READ)
    async def render_GET(self, request: Request) -> None:
        request.set_headers({"Vary": VARY})
        if not wants_page(request):
            respond_run(request, await request.context.runs.find(self._id))
            return
        run = await request.context.runs.find(self._id)
        respond_with_page(request, run_page(frame_of(request), run.snapshot()))

    @requires(Action.ADMIN)
    async def render_DELETE(self, request: Request) -> None:
        runs = request.context.runs
        if request.header("if-match") or request.header("if-none-match"):
            run = await runs.find(self._id)
            document = to_document(run.snapshot(), to_root(request))
            is_unchanged(request, entity_tag(json_line(document)))
        await runs.delete(self._id)
        request.respond_no_content()
