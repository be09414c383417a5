"""C{/} and C{/commands}: the console, the index and the commands."""

import re
from collections.abc import Callable
from urllib.parse import urlencode

from twisted.web.resource import Resource as TwistedResource

from shellstream import __version__
from shellstream.config.command import Command
from shellstream.config.parameters import Boolean
from shellstream.model.errors import (
    Forbidden,
    ParametersRefused,
    RefusedParameter,
    RunUnknown,
    ShellstreamError,
    Unconfirmed,
)
from shellstream.model.events import OnDisconnect
from shellstream.runs.interfaces import RunRequest
from shellstream.security.authorization import Action
from shellstream.web.console.forms import (
    CONFIRMED,
    Attempt,
    by_heading,
    entry,
    link,
)
from shellstream.web.console.frame import CSRF_FIELD
from shellstream.web.console.start_page import (
    CommandList,
    RunList,
    run_row,
    start_page,
)
from shellstream.web.server.request import Request

from .base import VARY, Resource, requires, respond_json, to_root
from .pages import frame_of, respond_see_other, respond_with_page, wants_page
from .query import Query, query_of
from .request_params import Params, from_body, from_query
from .run_list import Choice
from .run_output import OutputResponder

#: How many fields of forms are made in one turn of the reactor: about 10 ms.
FIELDS_PER_TURN = 50

#: How many commands have their forms on the page at once. Of more there are links, each
#: to the page with its form.
MAX_FORMS = 24

#: How many commands are listed. Others have to be searched.
MAX_LISTED = 200


class Index(Resource):
    """
    C{/}: the page for a browser, an index in JSON for the rest.

    @param position: returns the id of the last event.
    """

    def __init__(self, responder: OutputResponder, position: Callable[[], str]) -> None:
        super().__init__()
        self._responder = responder
        self._position = position

    @requires()
    async def render_GET(self, request: Request) -> None:
        request.set_headers({"Vary": VARY})
        if wants_page(request):
            name, attempt = await _opened(request)
            await self._respond_page(request, name, attempt)
            return
        # A script takes it after a login. Pages of other sites send no cookie.
        session = request.context.session
        index = {
            "name": "shellstream",
            "version": __version__,
            "default": request.context.runs.config.default,
            "stream": "stream",
            "commands": "commands",
            "runs": "runs",
            "events": "events",
            "doctor": "doctor",
            "healthz": "healthz",
            "openapi": "openapi.json",
            "principal": request.context.runs.caller.principal.name,
            "csrf_token": None if session is None else session.csrf_token,
        }
        respond_json(request, index)

    @requires(Action.RUN)
    async def render_POST(self, request: Request) -> None:
        """Start a run by a form of the page, which needs no script."""
        query = Query.of(request, "start")
        query.validate()
        command = request.context.runs.config.command(query.text("start"))
        body = from_body(request.content_type, request.content.getvalue())
        sent = _of_form(command, body)
        try:
            if command.confirm and (CONFIRMED, "true") not in body:
                command.invoke(sent)
                raise Unconfirmed([RefusedParameter(CONFIRMED, command.confirm)])
            wanted = RunRequest(command, sent, OnDisconnect.KEEP)
            run, _ = await request.context.runs.submit(wanted)
        except ShellstreamError as error:
            error.requested = command.name, command.masked(sent)
            if not wants_page(request):
                raise
            request.record_refusal(error)
            request.setResponseCode(error.status)
            request.set_headers(error.headers)
            attempt = _failed(command, sent, error)
            await self._respond_page(request, command.name, attempt)
            return
        respond_see_other(request, f"runs/{run.record.id}")

    async def _respond_page(
        self, request: Request, name: str | None, attempt: Attempt | None
    ) -> None:
        """
        Respond with the page.

        @param name: the command whose form is open, with C{attempt} in it.
        """
        runs = request.context.runs
        chosen = await self._read_runs(request) if runs.can(Action.READ) else None
        listed = await self._list_commands(request, name, attempt)
        if not request.disconnected:
            page = start_page(frame_of(request), listed, chosen)
            respond_with_page(request, page)

    async def _list_commands(
        self, request: Request, name: str | None, attempt: Attempt | None
    ) -> CommandList:
        frame = frame_of(request)
        every = request.context.runs.config.commands.values()
        is_long = len(every) > MAX_FORMS
        found = str(dict(from_query(query_of(request))).get("find", ""))
        some = [
            each
            for each in by_heading(every)
            if not is_long or each.name == name or _has(each, found)
        ]
        more = max(len(some) - MAX_LISTED, 0)
        if more:  # the one that is open must be among the first
            some.sort(key=lambda each: each.name != name)
        names, entries, heading, fields = list[str](), list[bytes](), "", 0
        for command in some[:MAX_LISTED]:
            new = command.heading if command.heading != heading else ""
            heading = command.heading
            names.append(command.name)
            if command.name == name or not is_long:
                form = attempt if command.name == name else None
                entries.append(entry(frame, command, new, form))
                fields += len(command.params)
            else:
                entries.append(link(frame, command, new))
            fields += 1
            if fields > FIELDS_PER_TURN:
                fields = 0
                await self._responder.turns.turn()
        return CommandList(names, entries, found if is_long else None, more)

    async def _read_runs(self, request: Request) -> RunList:
        """The runs that the query of the page chooses."""
        position, root = self._position(), to_root(request)
        ours = ("start", "again", "form", "find")
        query = Query.of(request, "text", "command", "show", "after", *ours)
        fields = {name: query.text(name) or "" for name in ("text", "command", "show")}
        choice = Choice.of_page(query)
        rows, last = await choice.read(
            request.context.runs, lambda record: run_row(root, record)
        )
        known = {name: value for name, value in fields.items() if value}
        older = None if last is None else f"?{urlencode({**known, 'after': last})}#runs"
        return RunList(rows, fields, older, position)


def _has(command: Command, text: str) -> bool:
    """Whether a command has a text, in any case."""
    texts = (command.name, command.heading, command.description)
    return any(text.casefold() in each.casefold() for each in texts)


async def _opened(request: Request) -> tuple[str | None, Attempt | None]:
    """
    The command whose form is open, and the values in it: those of the run that shall
    be started again, if any.
    """
    query = dict(from_query(query_of(request)))
    again, form = query.get("again"), query.get("form")
    if again is None:
        return (None, None) if form is None else (str(form), Attempt())
    try:
        record = (await request.context.runs.find(str(again))).record
    except (Forbidden, RunUnknown):
        return None, None
    return record.command, Attempt(record.params)


def _of_form(command: Command, body: Params) -> Params:
    """
    The parameters in the body of a form: a box that is not ticked sends nothing, a
    field that nobody filled in an empty text.
    """
    ours = (CSRF_FIELD, CONFIRMED)
    sent = [
        (name, value)
        for name, value in body
        if name not in ours and (value or name not in command.required)
    ]
    names = {name for name, _ in sent}
    for each in command.params.values():
        if isinstance(each, Boolean) and each.name not in names:
            sent.append((each.name, "false"))
    # HTML ends the lines of a text with CR LF.
    return [
        (name, value.replace("\r\n", "\n") if isinstance(value, str) else value)
        for name, value in sent
    ]


def _failed(command: Command, sent: Params, error: ShellstreamError) -> Attempt:
    """A form that is shown again, as it was sent, with what is wrong."""
    values = {
        name: str(value)
        for name, value in sent
        if name in command.params and not command.params[name].secret
    }
    if not isinstance(error, ParametersRefused):
        return Attempt(values, message=str(error))
    errors = {
        # What it takes stands there already.
        each.name: re.sub(r"(?s)^is required \(.*", "is required", each.detail)
        for each in error.refused
    }
    # Such as the question that was not answered.
    others = [each.detail for each in error.refused if each.name not in command.params]
    message = "; ".join(others) or "The run was not started: see the fields above."
    return Attempt(values, errors, message)


class Commands(Resource):
    """C{/commands}: the commands that the caller may run, and their parameters."""

    def getChild(self, path: bytes, request: Request) -> TwistedResource:
        if not path:
            return self
        name = path.decode("utf-8", "replace")
        return OneCommand(request.context.runs.config.command(name))

    @requires()
    def render_GET(self, request: Request) -> None:
        config, root = request.context.runs.config, to_root(request)
        document = {
            "default": config.default,
            "commands": [
                to_document(each, config.runs_by_get(each), root)
                for each in config.commands.values()
            ],
        }
        respond_json(request, document)


class OneCommand(Resource):
    """C{/commands/NAME}: one of them."""

    def __init__(self, command: Command) -> None:
        super().__init__()
        self._command = command

    @requires()
    def render_GET(self, request: Request) -> None:
        by_get = request.context.runs.config.runs_by_get(self._command)
        respond_json(request, to_document(self._command, by_get, to_root(request)))


def to_document(command: Command, by_get: bool, root: str = "") -> dict[str, object]:
    """
    A command as clients see it: without its argv, which names paths.

    @param by_get: whether GET runs it.
    @param root: the relative reference from where it is shown to the root.
    """
    return {
        "name": command.name,
        "description": command.description,
        "heading": command.heading,
        "confirm": command.confirm,
        "stream": f"{root}stream/{command.name}",
        "methods": ["GET", "POST"] if by_get else ["POST"],
        "stdin": command.stdin,
        "tty": command.tty,
        "timeout": command.limits.timeout,
        "linger": command.limits.linger,
        "parameters": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **command.parameter_schema(),
        },
    }
