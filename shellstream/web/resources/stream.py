"""C{/stream}, C{/stream/NAME}: run a command and follow it to its end."""

from twisted.web.resource import Resource as TwistedResource

from shellstream.config.command import Command
from shellstream.model.errors import (
    MethodNotAllowed,
    ParametersRefused,
    RefusedParameter,
    RunFailed,
)
from shellstream.model.events import OnDisconnect, State
from shellstream.output.formats import Format, parse_last_event_id
from shellstream.output.interfaces import ViewOptions
from shellstream.output.negotiation import negotiate
from shellstream.runs.interfaces import RunRequest
from shellstream.security.authorization import Action
from shellstream.web.console.frame import CSRF_FIELD
from shellstream.web.server.request import Request

from .base import Resource, requires
from .preconditions import refuse_if_match
from .query import LAST_EVENT_ID, last_event_id, query_of
from .request_params import Params, from_body, from_query, trace_of
from .run_output import OutputResponder
from .runs import key_of


class Stream(Resource):
    """Creates a run, and responds with its output."""

    def __init__(self, responder: OutputResponder, name: str | None = None) -> None:
        super().__init__()
        self._responder = responder
        self._name = name

    def getChild(self, path: bytes, request: Request) -> TwistedResource:
        if not path or self._name is not None:
            return super().getChild(path, request)
        return Stream(self._responder, path.decode("utf-8", "replace"))

    def allowed(self, request: Request) -> list[str]:
        by_get = request.context.runs.config.runs_by_get(self._command(request))
        return ["GET", "HEAD", "POST"] if by_get else ["POST"]

    def _command(self, request: Request) -> Command:
        return request.context.runs.config.command(self._name)

    @requires(Action.RUN, Action.READ)
    async def render_GET(self, request: Request) -> None:
        await self._run_or_resume(request, self._command_by_get(request), [])

    def render_HEAD(self, request: Request) -> None:
        # It starts nothing: what a GET would answer with is known without a run.
        _, form, _ = self._read_query(request, self._command_by_get(request))
        self._responder.set_headers(request, form)
        request.finish()

    @requires(Action.RUN, Action.READ)
    async def render_POST(self, request: Request) -> None:
        command = self._command(request)
        body = from_body(request.content_type, request.content.getvalue())
        # A form of our page has one field that is not the command's.
        params = [each for each in body if each[0] != CSRF_FIELD]
        await self._run_or_resume(request, command, params)

    def _command_by_get(self, request: Request) -> Command:
        command = self._command(request)
        method, allowed = request.method.decode("ascii"), self.allowed(request)
        if method not in allowed:
            why = " (the command may change something, so nobody runs it by accident)"
            raise MethodNotAllowed(method, allowed, why)
        return command

    def _read_query(
        self, request: Request, command: Command
    ) -> tuple[Params, Format, str | None]:
        """The command's parameters, the wanted format, and the last event's id."""
        params, ours = Params(), dict[str, str]()
        for name, value in from_query(query_of(request)):
            # A command may have a parameter of such a name.
            if name in ("format", LAST_EVENT_ID) and name not in command.params:
                ours.setdefault(name, str(value))
            else:
                params.append((name, value))
        form = negotiate(request.header("accept"), ours.get("format"))
        return params, form, last_event_id(request, ours.get(LAST_EVENT_ID))

    async def _run_or_resume(
        self, request: Request, command: Command, more: Params
    ) -> None:
        params, form, last = self._read_query(request, command)
        refuse_if_match(request)  # by GET, too: a new run has no tag yet
        request.check_viewer_limit()
        if last is not None:
            # Clients send it in any format, and repeat a POST with it by themselves.
            await self._resume(request, command, form, last)
            return
        wanted = RunRequest(
            command,
            params + more,
            OnDisconnect.CANCEL,
            key_of(request),
            by_default=self._name is None,
            trace=trace_of(request),
        )
        run, began = await request.context.runs.submit(wanted)
        record = run.record
        if record.state is State.FAILED:
            raise RunFailed(record.id, record.failure or "it never started")
        view = ViewOptions(lossless=began)
        self._responder.respond(request, run, view, form.naming_run(record.id))

    async def _resume(
        self, request: Request, command: Command, form: Format, last: str
    ) -> None:
        """
        Go on where a client was when its connection broke: it wants no second run.

        @raise ParametersRefused: if the id names no run of this command.
        """
        offset, run_id = parse_last_event_id(last)
        why = "names no run, and this would begin a new one; follow /runs/ID/output"
        if run_id is not None:
            context = request.context
            run = await context.runs.find(run_id)
            record = run.record
            if record.command == command.name:
                ours = record.principal == context.runs.caller.principal.name
                view = ViewOptions(offset, lossless=ours)
                form = form.naming_run(run_id)
                self._responder.respond(request, run, view, form)
                return
            why = f"names a run of another command than {command.name}"
        raise ParametersRefused([RefusedParameter("Last-Event-ID", why)])
