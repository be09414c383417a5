"""C{/runs}: start a run that needs no viewer, and list runs."""

import json
import re
from collections.abc import Sequence
from urllib.parse import urlencode

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource as TwistedResource
from zope.interface import implementer

from shellstream.model.errors import (
    Busy,
    ParametersRefused,
    PathNotFound,
    RefusedParameter,
)
from shellstream.model.events import OnDisconnect, Outcome, State
from shellstream.model.run_record import RunQuery, to_document
from shellstream.output.interfaces import IRun, IViewer
from shellstream.runs.authorized_runs import AuthorizedRuns
from shellstream.runs.interfaces import RunRequest
from shellstream.security.authorization import Action
from shellstream.web.console.run_page import run_page
from shellstream.web.server.problem_details import json_line
from shellstream.web.server.request import Request

from .base import (
    JSON,
    VARY,
    Resource,
    requires,
    respond_document,
    respond_json,
    to_root,
)
from .pages import frame_of, respond_with_page, wants_page
from .preconditions import entity_tag, is_unchanged
from .query import Query
from .request_params import JsonPairs, from_json, unknown_members
from .run_control import CONTROLS, respond_run
from .run_output import Output, OutputResponder
from .terminal_size import tty_of

#: How many runs a page holds by default, and at most.
PAGE, MAX_PAGE = 50, 1000

#: How many runs are looked up and written in one turn of the reactor. The parameters of
#: a run may be 64 KiB.
BATCH = 25

#: The size of a page after which it has no more runs, whatever the client asks for, in
#: bytes.
MAX_PAGE_SIZE = 1 << 20

#: The highest exit code (wait(2)).
MAX_CODE = 255

#: The members of a request for a run.
_MEMBERS = ("command", "params", "stdin", "tty", "on_disconnect")

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


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
        query = Query.of(
            request, "state", "outcome", "code", "command", "limit", "after"
        )
        state, outcome = query.one_of("state", State), query.one_of("outcome", Outcome)
        code = query.number("code", 0, MAX_CODE)
        limit = query.number("limit", 1, MAX_PAGE) or PAGE
        after = query.text("after")
        if after is not None and not _ID.fullmatch(after):
            query.refuse("after", "must be the id of a run")
        query.validate()
        command = query.text("command")
        root, following = to_root(request), None
        query_of_page = RunQuery(
            limit, after, state, command, outcome=outcome, code=code
        )
        page, last = await _read_page(request.context.runs, query_of_page, root)
        if last is not None:
            fields = {
                "state": state.value if state else None,
                "outcome": outcome.value if outcome else None,
                "code": None if code is None else str(code),
                "command": command,
                "limit": str(limit),
                "after": last,
            }
            known = {name: value for name, value in fields.items() if value is not None}
            following = f"{root}runs?{urlencode(known)}"
            request.set_headers({"Link": f'<{following}>; rel="next"'})
        respond_document(request, JSON, _page_document(page, following))

    @requires(Action.RUN)
    async def render_POST(self, request: Request) -> None:
        query = Query.of(request, "wait")
        if query.text("wait") not in (None, "end"):
            query.refuse("wait", "must be end, or left out")
        query.validate()
        runs, wanted = request.context.runs, _run_request(request)
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


async def _read_page(
    runs: AuthorizedRuns, query: RunQuery, root: str
) -> tuple[list[str], str | None]:
    """
    The runs of a page as JSON, and the id of the last one if more follow.

    @param root: the way from the address of the page to that of C{/}.
    A page may have fewer runs than were asked for: it ends at L{MAX_PAGE_SIZE}.
    """
    page: list[str] = []
    size, last = 0, query.after
    while True:
        some = min(BATCH, query.limit - len(page))
        # One more tells whether another follows.
        batch = await runs.page(evolve(query, limit=some + 1, after=last))
        for record in batch[:some]:
            if size > MAX_PAGE_SIZE:
                return page, last
            page.append(json.dumps(to_document(record, root), indent=2))
            size += len(page[-1])
            last = record.id
        if len(batch) <= some:
            return page, None
        if len(page) == query.limit:
            return page, last


def _page_document(page: Sequence[str], following: str | None) -> bytes:
    """A page that reads well in a terminal."""
    # Within a string of JSON a line end is escaped: these are between members.
    runs = ",\n".join(page).replace("\n", "\n    ")
    listed = f"[\n    {runs}\n  ]" if page else "[]"
    document = f'{{\n  "runs": {listed},\n  "next": {json.dumps(following)}\n}}\n'
    return document.encode()


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
        run = await request.context.runs.find(self._id)
        request.set_headers({"Vary": VARY})
        if wants_page(request):
            respond_with_page(request, run_page(frame_of(request), run.snapshot()))
            return
        respond_run(request, run)

    @requires(Action.ADMIN)
    async def render_DELETE(self, request: Request) -> None:
        runs = request.context.runs
        if request.header("if-match") or request.header("if-none-match"):
            run = await runs.find(self._id)
            document = to_document(run.snapshot(), to_root(request))
            is_unchanged(request, entity_tag(json_line(document)))
        await runs.delete(self._id)
        request.respond_no_content()
