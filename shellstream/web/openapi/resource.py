"""C{/openapi.json}."""

from collections.abc import Mapping
from typing import ClassVar

from shellstream.web.resources.base import ANYBODY, JSON, Resource, Rule
from shellstream.web.server.authentication import cookie_name
from shellstream.web.server.problem_details import json_line
from shellstream.web.server.request import Request


class OpenApi(Resource):
    """C{/openapi.json}: what is answered here, and with what."""

    rules: ClassVar[Mapping[str, Rule]] = {"GET": ANYBODY}

    def render_GET(self, request: Request) -> None:
        from .document import document  # most daemons are never asked

        config, required = request.runs.config, request.gate.required
        cookie = cookie_name(request).decode()
        request.answer(JSON, json_line(document(config, required, cookie)))
