"""C{/openapi.json}."""

from shellstream.web.resources.base import Resource, requires, respond_json
from shellstream.web.server.authentication import Authenticator, cookie_name
from shellstream.web.server.request import Request


class OpenApi(Resource):
    """C{/openapi.json}: what is answered here, and with what."""

    def __init__(self, authenticator: Authenticator) -> None:
        super().__init__()
        self._authenticator = authenticator

    @requires()
    def render_GET(self, request: Request) -> None:
        from .document import document  # most daemons are never asked

        config, required = (
            request.context.runs.config,
            self._authenticator.policy.required,
        )
        respond_json(request, document(config, required, cookie_name(request).decode()))
