"""C{/} and C{/commands}: what there is."""

from collections.abc import Mapping
from typing import ClassVar

from twisted.web.resource import Resource as TwistedResource

from shellstream import __version__
from shellstream.config.command import Command
from shellstream.config.parameter_schema import parameter_schema
from shellstream.output.negotiation import prefers_html
from shellstream.web.server.problem_details import json_line
from shellstream.web.server.request import Request

from .base import ANYBODY, JSON, VARY, Resource, Rule
from .pages import answer_page, index_page


class Index(Resource):
    """C{/}: the console for a browser, an index in JSON for the rest."""

    rules: ClassVar[Mapping[str, Rule]] = {"GET": ANYBODY}

    def render_GET(self, request: Request) -> None:
        request.setHeader(b"vary", VARY)
        if prefers_html(request.getHeader("accept")):
            session = request.gate.session(request)
            csrf_token = None if session is None else session.csrf_token
            answer_page(request, index_page(request.runs.config, csrf_token))
            return
        index = {
            "name": "shellstream",
            "version": __version__,
            "default": request.runs.config.default,
            "stream": "/stream",
            "commands": "/commands",
            "runs": "/runs",
            "events": "/events",
            "doctor": "/doctor",
            "healthz": "/healthz",
            "openapi": "/openapi.json",
        }
        request.answer(JSON, json_line(index))


class Commands(Resource):
    """C{/commands}, C{/commands/NAME}: what may be run, and with what."""

    rules: ClassVar[Mapping[str, Rule]] = {"GET": ANYBODY}

    def getChild(self, path: bytes, request: Request) -> TwistedResource:
        if not path:
            return self
        name = path.decode("utf-8", "replace")
        return OneCommand(request.runs.command(name))

    def render_GET(self, request: Request) -> None:
        commands = request.runs.config.commands.values()
        document = {
            "default": request.runs.config.default,
            "commands": [described(command) for command in commands],
        }
        request.answer(JSON, json_line(document))


class OneCommand(Resource):
    """C{/commands/NAME}."""

    rules: ClassVar[Mapping[str, Rule]] = {"GET": ANYBODY}

    def __init__(self, command: Command) -> None:
        super().__init__()
        self._command = command

    def render_GET(self, request: Request) -> None:
        request.answer(JSON, json_line(described(self._command)))


def described(command: Command) -> dict[str, object]:
    """What a client may know of a command: not its argv, which names paths."""
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
            **parameter_schema(command),
        },
    }
