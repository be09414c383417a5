"""Target: the bytes of a connection."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from urllib.parse import unquote_to_bytes

import h11
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from shellstream.config.loader import Config
from shellstream.security.authorization import Grant
from shellstream.security.principals import AccessSettings, KnownPrincipal
from shellstream.security.request_origin import HostNames
from shellstream.web import Now, Site, root
from shellstream.web.server.authentication import Authenticator
from tests.fuzz.byte_source import ByteSource
from tests.support.fakes import ECHO, HEAR, SAY, FakeSpawn, make_registry, wall
from tests.support.frames import pieces
from tests.support.http import Connection, FakePolicy, NoTokens

NAMES = HostNames(patterns=["x"])
ACCESS = AccessSettings(
    proxies=(ip_network("127.0.0.0/8"),),
    user_header="remote-user",
    known={"*": KnownPrincipal(grant=Grant(commands=("say",), own=True))},
)


def channel(data: bytes) -> None:
    """
    Any bytes: nothing fails, only valid requests start commands, and the access log has
    a line for each response.
    """
    clock, spawn = Clock(), FakeSpawn()
    commands = {each.name: each for each in (ECHO, HEAR, SAY)}
    configured = Config(commands=commands, default="say")
    registry = make_registry(configured, clock, spawn)
    now = Now(wall(clock), clock.seconds)
    source = ByteSource(data)
    size = source.number(256)
    required = size % 8 == 7  # one size of each eight requires a credential
    authenticator = Authenticator(
        NAMES, ACCESS, NoTokens(), FakePolicy(required), clock.seconds, wall(clock)
    )
    site = Site(root(registry, authenticator, clock, now), clock)
    lines: list[str] = []
    site.log = lambda request: lines.append(str(site.access_log.line(request)))  # type: ignore[method-assign]
    connection = Connection(site)
    wire = source.rest()
    with _nothing_fails():
        for piece in pieces(wire, [size or len(wire)]):
            connection.send(piece)
        for started in spawn.started:
            started.exit()
        clock.advance(0)
        answer = connection.wire.value()
        connection.lose()
    statuses = re.findall(rb"(?m)^HTTP/1\.[01] ([0-9]{3}) ", answer)
    assert b"500" not in statuses, answer
    starts = _count_starts(wire)
    assert len(spawn.started) <= starts, wire
    assert not (spawn.started and required) or b"remote-user" in wire.lower(), wire
    for line in lines:
        assert re.fullmatch(r"[\x20-\x7e]+", line), line


@contextmanager
def _nothing_fails() -> Iterator[None]:
    """Let logged failures fail the target."""
    failures: list[LogEvent] = []

    @implementer(ILogObserver)
    def note(event: LogEvent) -> None:
        if "log_failure" in event:
            failures.append(event)

    globalLogPublisher.addObserver(note)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(note)
    for event in failures:
        raise AssertionError(event["log_failure"].getTraceback())


def _count_starts(wire: bytes) -> int:
    """
    How many requests that may start a command an independent parser (h11) finds in the
    same bytes, up to the first that it refuses.
    """
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(wire)
    count = 0
    try:
        while True:
            event = server.next_event()
            if isinstance(event, h11.Request):
                path = unquote_to_bytes(event.target)
                count += b"stream" in path or b"runs" in path
            elif isinstance(event, h11.EndOfMessage):
                server.send(h11.Response(status_code=204, headers=[]))
                server.send(h11.EndOfMessage())
                if server.our_state is not h11.DONE:
                    return count
                server.start_next_cycle()
            elif not isinstance(event, h11.Data):
                return count
    except h11.RemoteProtocolError:
        return count
