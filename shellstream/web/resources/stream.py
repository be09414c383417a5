"""C{/stream}, C{/stream/NAME}: run a command and follow it to its end."""

from collections.abc import Mapping
from typing import ClassVar

from twisted.web.resource import Resource as TwistedResource

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
from shellstream.web.server.request import Request

from .base import Resource, Rule, query_of
from .pages import CSRF_FIELD
from .request_params import Given, from_body, from_query
from .run_output import OutputResponder
from .runs import key_of


class Stream(Resource):
    """Create a run, and answer with its output."""

    #: GET as well, where the command has it.
    rules: ClassVar[Mapping[str, Rule]] = {
        "GET": frozenset({Action.RUN, Action.READ}),
        "POST": frozenset({Action.RUN, Action.READ}),
    }

    def __init__(self, answers: OutputResponder, name: str | None = None) -> None:
        super().__init__()
        self._answers = answers
        self._name = name

    def getChild(self, path: bytes, request: Request) -> TwistedResource:
        if not path or self._name is not None:
            return super().getChild(path, request)
        return Stream(self._answers, path.decode("utf-8", "replace"))

    def allowed(self, request: Request) -> list[str]:
        command = request.runs.command(self._name)
        # To make a command the default is to let it be run by GET /stream.
        by_get = command.get or self._name is None
        return ["GET", "HEAD", "POST"] if by_get else ["POST"]

    async def render_GET(self, request: Request) -> None:
        self._check(request, "GET")
        given, form = self._form(request)
        last = request.getHeader("last-event-id")
        if form.name == "sse" and last is not None:
            await self._resume(request, form, last)
        else:
            await self._run(request, given, form, by_get=True)

    def render_HEAD(self, request: Request) -> None:
        self._check(request, "HEAD")  # it starts nothing
        _, form = self._form(request)
        self._answers.headers(request, form)
        request.finish()

    async def render_POST(self, request: Request) -> None:
        media_type = request.getHeader("content-type") or ""
        body = request.content.read()
        given, form = self._form(request)
        given += [each for each in from_body(media_type, body) if each[0] != CSRF_FIELD]
        await self._run(request, given, form)

    def _check(self, request: Request, method: str) -> None:
        allowed = self.allowed(request)
        if method not in allowed:
            why = " (the command may change something, so nobody runs it by accident)"
            raise MethodNotAllowed(method, allowed, why)

    def _form(self, request: Request) -> tuple[Given, Format]:
        """The query, and the format that it or C{Accept} names."""
        given = from_query(query_of(request))
        wanted = None
        if "format" not in request.runs.command(self._name).params:
            wanted = next((str(v) for k, v in given if k == "format"), None)
            given = [each for each in given if each[0] != "format"]
        return given, negotiate(request.getHeader("accept"), wanted)

    async def _run(
        self, request: Request, given: Given, form: Format, *, by_get: bool = False
    ) -> None:
        request.check_room()
        order = RunRequest(self._name, given, OnDisconnect.CANCEL, key_of(request))
        run, began = await request.runs.submit(order)
        if run.record.state is State.FAILED:
            raise RunFailed(run.record.id, run.record.failure or "it never started")
        if by_get:
            form = form.naming(run.record.id)
        self._answers.whole(request, run, ViewOptions(lossless=began), form)

    async def _resume(self, request: Request, form: Format, last: str) -> None:
        """An C{EventSource} comes back by itself, and wants no second run."""
        offset, run_id = parse_last_event_id(last)
        if run_id is None:
            why = "names no run, and this would begin a new one; follow /runs/ID/output"
            raise ParametersRefused([RefusedParameter("Last-Event-ID", why)])
        request.check_room()
        run = await request.runs.find(run_id)
        mine = run.record.principal == request.runs.caller.principal.name
        view = ViewOptions(offset, lossless=mine)
        self._answers.whole(request, run, view, form.naming(run_id))
