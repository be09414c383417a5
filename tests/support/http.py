"""HTTP in memory: a connection to the resource tree, and its answers."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin

from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress, ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from shellstream.config.loader import Config
from shellstream.process.file_limits import scarce
from shellstream.security.audit import AuditEntry
from shellstream.security.authorization import Principal
from shellstream.security.request_origin import HostNames
from shellstream.web import Now, Site, represent, root
from shellstream.web.monitoring.table import Values
from shellstream.web.server.access_log import LoggedNames
from shellstream.web.server.authentication import Authenticator
from shellstream.web.server.request import Request
from tests.support.fakes import ECHO, SAY, FakeSpawn, Started, T, make_registry, wall


@implementer(ITCPTransport)
class Wire(StringTransport):
    """The server's end of a TCP connection, half of which may be closed."""

    half_closed = False

    def __init__(self, peer: IAddress | None = None) -> None:
        super().__init__(peerAddress=peer, lenient=True)

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def unregisterProducer(self) -> None:
        self.producer = None

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Memory has no Nagle algorithm."""

    def getTcpKeepAlive(self) -> bool:
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Peers in memory do not vanish."""


@define
class Reply:
    """An HTTP answer, as far as it has come (RFC 9112)."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    trailers: dict[str, str] = field(factory=dict)
    whole: bool = False
    rest: bytes = b""


def parsed(data: bytes, *, head: bool = False) -> Reply:
    """Parse one response; C{rest} has the bytes after it."""
    top, blank, rest = data.partition(b"\r\n\r\n")
    assert blank, f"no whole head: {data!r}"
    first, *lines = top.decode("ascii").split("\r\n")
    reply = Reply(int(first.split(" ")[1]), _fields(lines), rest=rest)
    if head:
        reply.whole = True
    elif reply.headers.get("transfer-encoding") == "chunked":
        _dechunk(reply)
    elif "content-length" in reply.headers:
        size = int(reply.headers["content-length"])
        reply.body, reply.rest = rest[:size], rest[size:]
        reply.whole = len(reply.body) == size
    else:  # delimited by the close, which is not in the data
        reply.body, reply.rest = rest, b""
    return reply


def _dechunk(reply: Reply) -> None:
    while b"\r\n" in reply.rest:
        size, _, rest = reply.rest.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            trailer, _, reply.rest = (b"\r\n" + rest).partition(b"\r\n\r\n")
            reply.trailers = _fields(trailer.decode("ascii").split("\r\n")[1:])
            reply.whole = True
            return
        assert rest[length : length + 2] == b"\r\n", (
            f"a chunk without its end: {rest!r}"
        )
        reply.body += rest[:length]
        reply.rest = rest[length + 2 :]


def _fields(lines: list[str]) -> dict[str, str]:
    pairs = [line.split(": ", 1) for line in lines]
    fields = {name.lower(): value for name, value in pairs}
    challenges = [value for name, value in pairs if name == "WWW-Authenticate"]
    if challenges:  # the one that a response has several times
        fields["www-authenticate"] = ", ".join(challenges)
    more = max(0, len(challenges) - 1)
    assert len(fields) + more == len(pairs), f"a header twice: {lines}"
    return fields


#: The members of documents that are references to resources.
_REFERENCES = ("output", "stream", "next")


def resolved(base: str, document: Any) -> Any:
    """A document from a path, with its relative references as paths."""
    if isinstance(document, list):
        return [resolved(base, each) for each in document]
    if not isinstance(document, dict):
        return document
    return {
        name: urljoin(base, value)
        if name in _REFERENCES and isinstance(value, str)
        else resolved(base, value)
        for name, value in document.items()
    }


#: Where a client is, unless a test says otherwise.
PEER = IPv4Address("TCP", "127.0.0.1", 54321)


class Connection:
    """A client's connection to the real L{Site}, one request at a time."""

    def __init__(self, site: Site, peer: IAddress = PEER) -> None:
        self.wire = Wire(peer)
        self.channel = site.buildProtocol(peer)
        assert self.channel is not None
        self.channel.makeConnection(self.wire)
        self.asked = ""
        self._head = False

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        version: str = "HTTP/1.1",
    ) -> Reply:
        """Send a request, and return the response as far as it is there."""
        self.request(method, path, body, headers, version)
        return self.reply()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        version: str = "HTTP/1.1",
    ) -> None:
        """Send a request."""
        lines = [f"{method} {path} {version}", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.asked, self._head = path, method == "HEAD"
        self.wire.clear()
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))

    def send(self, data: bytes) -> None:
        """Send bytes that may be no request, in one piece."""
        self.channel.dataReceived(data)

    def reply(self) -> Reply:
        """The answer as far as it has come."""
        return parsed(self.wire.value(), head=self._head)

    def target(self, name: str = "location") -> str:
        """The path that a header of the answer refers to."""
        return urljoin(self.asked, self.reply().headers[name])

    def lose(self) -> None:
        """Break the connection, as a TCP transport does."""
        if self.wire.producer is not None:
            self.wire.producer.stopProducing()
        self.channel.connectionLost(Failure(ConnectionLost()))


class NoContent:
    """Answers every request with 204."""

    def authorize_body(self, request: Request, *, is_input: bool) -> None:
        """Any body is welcome."""

    def render(self, request: Request) -> None:
        request.respond_no_content()


@define
class FakePolicy:
    """Whether clients have to authenticate, as a test says."""

    required: bool = False
    insecure: bool = False


@define(eq=False)
class FakeMonitor:
    """Measures what the test says."""

    lag: float = 0.0
    measured: dict[str, Values] = field(factory=dict)
    disk: dict[str, Values] = field(factory=dict)
    calls: list[tuple[Callable[[], Any], Deferred[Any]]] = field(factory=list)
    waits: bool = False

    def measure(self) -> Mapping[str, Values]:
        return self.measured

    def measure_disk(self) -> Mapping[str, Values]:
        return self.disk

    def in_thread(self, call: Callable[[], T]) -> Deferred[T]:
        if not self.waits:
            return maybeDeferred(call)
        self.calls.append((call, Deferred()))
        return self.calls[-1][1]


class NoTokens:
    """A token store without tokens."""

    def find(self, text: str) -> Principal | None:
        return None

    def is_valid(self, credential: str) -> bool:
        return False


class WebTestCase(SynchronousTestCase):
    """A test of the whole HTTP face, whose commands start no process."""

    config = Config(commands={"echo": ECHO, "say": SAY}, default="say")

    def setUp(self) -> None:
        self.serve(self.config)

    def serve(self, config: Config) -> None:
        """Start again with this configuration."""
        self.clock = Clock()
        self.spawn = FakeSpawn()
        self.noted: list[AuditEntry] = []
        self.registry = make_registry(
            config,
            self.clock,
            self.spawn,
            self.in_thread,
            lambda *entries: self.noted.extend(entries),
        )
        now = Now(wall(self.clock), self.clock.seconds)
        self.authenticator = self.make_authenticator(config)
        record = self.noted.append
        self.monitor = FakeMonitor()
        self.access_control = root(
            self.registry, self.authenticator, self.clock, now, record, self.monitor
        )
        self.site = Site(
            self.access_control,
            self.clock,
            config.http,
            record=record,
            represent=represent,
            names=LoggedNames.of(config),
            is_scarce=scarce,
            is_proxy=config.access.is_proxy,
        )
        self.connection = Connection(self.site)
        self.ask = self.connection.ask
        self.reply = self.connection.reply

    def make_authenticator(self, config: Config) -> Authenticator:
        """The authenticator; by default it requires no credentials."""
        return Authenticator(
            HostNames(patterns=["ci.example.org"]),
            config.access,
            NoTokens(),
            FakePolicy(),
            seconds=self.clock.seconds,
            wall=wall(self.clock),
        )

    def begin(self, command: str = "say", **params: str) -> Started:
        """Create a run that needs no viewer, on its own connection."""
        body = json.dumps({"command": command, "params": params}).encode()
        connection = Connection(self.site)
        reply = connection.ask("POST", "/runs", body)
        connection.lose()
        assert reply.status == 201, reply
        return self.spawn.started[-1]

    def in_thread(self, call: Callable[[], T], /) -> Deferred[T]:
        """Make a call of the store: at once, unless a test overrides it."""
        return maybeDeferred(call)

    @property
    def started(self) -> Started:
        """The one command that was started."""
        (started,) = self.spawn.started
        return started
