"""C{/openapi.json}."""

from collections.abc import Mapping
from typing import ClassVar

from shellstream.web.resources.base import ANYBODY, Resource, Rule, respond_json
from shellstream.web.server.authentication import Authenticator, cookie_name
from shellstream.web.server.request import Request


class OpenApi(Resource):
    """C{/openapi.json}: what is answered here, and with what."""

    rules: ClassVar[Mapping[str, Rule]] = {"GET": ANYBODY}

    def __init__(self, authenticator: Authenticator) -> None:
        super().__init__()
        self._authenticator = authenticator

    def render_GET(self, request: Request) -> None:
        from .document import document  # most daemons are never asked

        config, required = request.context.runs.config, self._authenticator.required
        respond_json(request, document(config, required, cookie_name(request).decode()))
