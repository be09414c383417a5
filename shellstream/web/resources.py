"""Which path answers what."""

from collections.abc import Mapping
from signal import Signals

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource as TwistedResource
from twisted.web.server import NOT_DONE_YET

from shellstream import __version__
from shellstream.command import Command
from shellstream.errors import CrossSite, MethodNotAllowed, NothingHere
from shellstream.events import Reason
from shellstream.registry import Registry
from shellstream.run import Run
from shellstream.viewer import Viewer

from .given import Given, from_body, from_query
from .http import Request, json_line
from .page import POLICY, index_page, prefers_html

JSON = b"application/json"

#: What keeps the way of a live answer free: browsers do not sniff, caches do
#: not store, proxies neither transform nor buffer.
LIVE = {
    b"Content-Type": b"text/plain; charset=utf-8",
    b"X-Content-Type-Options": b"nosniff",
    b"Cache-Control": b"no-store, no-transform",
    b"X-Accel-Buffering": b"no",
}


class Resource(TwistedResource):
    """A resource that raises what is wrong, for L{Request} to answer."""

    def render(self, request: Request) -> int:
        method = request.method.decode("ascii", "replace")
        handler = getattr(self, f"render_{method}", None)
        if handler is None:
            raise MethodNotAllowed(method, self.allowed())
        handler(request)
        return NOT_DONE_YET

    def allowed(self) -> list[str]:
        """The methods that this resource answers."""
        return ["GET", "HEAD"]

    def getChild(self, path: bytes, request: Request) -> TwistedResource:
        if path:
            raise NothingHere
        return self  # a slash at the end means nothing


class Root(Resource):
    """C{/}: what there is."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry
        self.putChild(b"stream", Stream(registry))
        self.putChild(b"commands", Commands(registry))

    def render_GET(self, request: Request) -> None:
        request.setHeader(b"vary", b"Accept")
        if prefers_html(request.getHeader(b"accept") or b""):
            page = index_page(self._registry.config)
            request.setHeader(b"content-security-policy", POLICY)
            request.answer(b"text/html; charset=utf-8", page)
            return
        index = {
            "name": "shellstream",
            "version": __version__,
            "stream": "/stream",
            "default": self._registry.config.default,
            "commands": "/commands",
        }
        request.answer(JSON, json_line(index))


class Commands(Resource):
    """C{/commands}, C{/commands/NAME}: what may be run, and with what."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry

    def getChild(self, path: bytes, request: Request) -> TwistedResource:
        if not path:
            return self
        name = path.decode("utf-8", "replace")
        return OneCommand(self._registry.command(name))

    def render_GET(self, request: Request) -> None:
        commands = self._registry.config.commands.values()
        document = {
            "default": self._registry.config.default,
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
        "timeout": command.timeout,
        "parameters": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {each.name: each.schema() for each in params},
            "required": [each.name for each in params if each.default is None],
            "additionalProperties": False,
        },
    }


class Stream(Resource):
    """C{/stream}, C{/stream/NAME}: run a command and follow it to its end."""

    def __init__(self, registry: Registry, name: str | None = None) -> None:
        super().__init__()
        self._registry = registry
        self._name = name

    def getChild(self, path: bytes, request: Request) -> TwistedResource:
        if not path or self._name is not None:
            return super().getChild(path, request)
        return Stream(self._registry, path.decode("utf-8", "replace"))

    def allowed(self) -> list[str]:
        command = self._registry.command(self._name)
        # To make a command the default is to let it be run by GET /stream.
        by_get = command.get or self._name is None
        return ["GET", "HEAD", "POST"] if by_get else ["POST"]

    def render_GET(self, request: Request) -> None:
        self._check(request, "GET")
        self._stream(request, from_query(_query(request)))

    def render_HEAD(self, request: Request) -> None:
        self._check(request, "HEAD")  # it starts nothing
        _live(request)
        request.finish()

    def render_POST(self, request: Request) -> None:
        media_type = request.getHeader("content-type") or ""
        body = request.content.read()
        given = from_query(_query(request)) + from_body(media_type, body)
        self._stream(request, given)

    def _check(self, request: Request, method: str) -> None:
        allowed = self.allowed()
        if method not in allowed:
            why = " (the command may change something, so nobody runs it by accident)"
            raise MethodNotAllowed(method, allowed, why)

    def _stream(self, request: Request, given: Given) -> None:
        _check_origin(request)
        registry = self._registry
        run = registry.start(registry.command(self._name), given)
        _live(request)
        request.setHeader(b"shellstream-run", run.id.encode())
        if request.clientproto == b"HTTP/1.1":
            request.setHeader(b"trailer", ", ".join(TRAILERS).encode())
        request.write(b"")  # headers now: a silent run is no hung server
        viewer = Viewer(
            0,
            run,
            request,
            lambda: _end(run, request),
            request.abort,
            registry.clock,
            registry.config.stall_timeout,
        )
        gone: Deferred[None] = request.notifyFinish()
        gone.addBoth(lambda _: viewer.stopProducing())
        viewer.start()


def _check_origin(request: Request) -> None:
    """
    A page of another site may make its reader's browser send requests here.

    @raise CrossSite: if this is one (Fetch Metadata; RFC 6454).
    """
    site = request.getHeader("sec-fetch-site")
    origin = request.getHeader("origin")
    if site is not None:  # a browser knows best: proxies may rewrite Host
        foreign = site not in ("same-origin", "none")
    else:
        host = request.getHeader("host")
        foreign = origin is not None and origin.partition("://")[2] != host
    if foreign:
        raise CrossSite


def _query(request: Request) -> bytes:
    return request.uri.partition(b"?")[2]


def _live(request: Request) -> None:
    for name, value in LIVE.items():
        request.setHeader(name, value)


TRAILERS = (
    "Shellstream-State",
    "Shellstream-Exit-Code",
    "Shellstream-Exit-Signal",
    "Shellstream-Reason",
)


def _trailers(run: Run) -> Mapping[str, str]:
    assert run.status is not None
    code, signal = run.status.code, run.status.signal
    found = {
        "State": run.state.value,
        "Exit-Code": None if code is None else str(code),
        "Exit-Signal": None if signal is None else signal_name(signal),
        "Reason": None if run.reason is None else run.reason.value,
    }
    return {f"Shellstream-{k}": v for k, v in found.items() if v is not None}


def signal_name(number: int) -> str:
    """A signal as kill(1) names it: TERM, or its number where it has no name."""
    try:
        return Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


def _end(run: Run, request: Request) -> None:
    if run.reason is Reason.SHUTDOWN:
        request.cut()  # what the command had still to say, nobody knows
    else:
        request.finish_with(_trailers(run))
