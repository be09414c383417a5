"""C{/} and C{/commands}: the console, the index and the commands."""

from twisted.web.resource import Resource as TwistedResource

from shellstream import __version__
from shellstream.config.command import Command
from shellstream.web.console.start_page import start_page
from shellstream.web.server.request import Request

from .base import VARY, Resource, requires, respond_json, to_root
from .pages import frame_of, respond_with_page, wants_page


class Index(Resource):
    """C{/}: the console for a browser, an index in JSON for the rest."""

    @requires()
    def render_GET(self, request: Request) -> None:
        context = request.context
        request.set_headers({"Vary": VARY})
        if wants_page(request):
            page = start_page(frame_of(request), context.runs.config)
            respond_with_page(request, page)
            return
        # A script takes it after a login. Pages of other sites send no cookie.
        session = context.session
        index = {
            "name": "shellstream",
            "version": __version__,
            "default": context.runs.config.default,
            "stream": "stream",
            "commands": "commands",
            "runs": "runs",
            "events": "events",
            "doctor": "doctor",
            "healthz": "healthz",
            "openapi": "openapi.json",
            **({} if session is None else {"csrf_token": session.csrf_token}),
        }
        respond_json(request, index)


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
