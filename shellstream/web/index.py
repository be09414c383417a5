"""C{/} and C{/commands}: what there is."""

from twisted.web.resource import Resource as TwistedResource

from shellstream import __version__
from shellstream.command import Command
from shellstream.interfaces import IRuns
from shellstream.negotiation import prefers_html

from .http import Request, json_line
from .page import POLICY, index_page
from .resource import JSON, Resource


class Index(Resource):
    """C{/}: the console for a browser, an index in JSON for the rest."""

    def __init__(self, runs: IRuns) -> None:
        super().__init__()
        self._runs = runs

    def render_GET(self, request: Request) -> None:
        request.setHeader(b"vary", b"Accept")
        if prefers_html(request.getHeader("accept")):
            page = index_page(self._runs.config)
            request.setHeader(b"content-security-policy", POLICY)
            request.answer(b"text/html; charset=utf-8", page)
            return
        index = {
            "name": "shellstream",
            "version": __version__,
            "default": self._runs.config.default,
            "stream": "/stream",
            "commands": "/commands",
            "runs": "/runs",
            "events": "/events",
            "doctor": "/doctor",
        }
        request.answer(JSON, json_line(index))


class Commands(Resource):
    """C{/commands}, C{/commands/NAME}: what may be run, and with what."""

    def __init__(self, runs: IRuns) -> None:
        super().__init__()
        self._runs = runs

    def getChild(self, path: bytes, request: Request) -> TwistedResource:
        if not path:
            return self
        name = path.decode("utf-8", "replace")
        return OneCommand(self._runs.command(name))

    def render_GET(self, request: Request) -> None:
        commands = self._runs.config.commands.values()
        document = {
            "default": self._runs.config.default,
            "commands": [described(command) for command in commands],
        }
        request.answer(JSON, json_line(document))


class OneCommand(Resource):
    """C{/commands/NAME}."""

    def __init__(self, command: Command) -> None:
        super().__init__()
        self._command = command

    def render_GET(self, request: Request) -> None:
        request.answer(JSON, json_line(described(self._command)))


def described(command: Command) -> dict[str, object]:
    """What a client may know of a command: not its argv, which names paths."""
    params = command.params.values()
    return {
        "name": command.name,
        "description": command.description,
        "stream": f"/stream/{command.name}",
        "methods": ["GET", "POST"] if command.get else ["POST"],
        "stdin": command.stdin,
        "tty": command.tty,
        "timeout": command.limits.timeout,
        "parameters": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {each.name: each.schema() for each in params},
            "required": [each.name for each in params if each.default is None],
            "additionalProperties": False,
        },
    }
