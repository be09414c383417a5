"""Targets: what could cost much: bodies of C{POST /runs}, and patterns."""

import re
import time
from contextlib import suppress

from twisted.internet.task import Clock

from shellstream.config.backtracking import TooManyWays, check_ways
from shellstream.config.loader import Config
from shellstream.security.principals import AccessSettings
from shellstream.web import Now, Site, root
from shellstream.web.server.authentication import Authenticator
from tests.fuzz.byte_source import ByteSource
from tests.fuzz.channel import NAMES
from tests.support.fakes import ECHO, HEAR, SAY, FakeSpawn, make_registry, wall
from tests.support.http import Connection, FakePolicy, NoTokens

#: The largest answer to a body, in bytes.
LARGEST_ANSWER = 20_000

#: The longest text that a pattern is tried on, and the seconds that it may take.
LONGEST, PATIENCE = 200, 1.0


def run_request(data: bytes) -> None:
    """Any body starts one run or none; the answer is no failure, and not large."""
    clock, spawn = Clock(), FakeSpawn()
    commands = {each.name: each for each in (ECHO, HEAR, SAY)}
    registry = make_registry(Config(commands=commands, default="say"), clock, spawn)
    authenticator = Authenticator(
        NAMES, AccessSettings(), NoTokens(), FakePolicy(), clock.seconds, wall(clock)
    )
    now = Now(wall(clock), clock.seconds)
    site = Site(root(registry, authenticator, clock, now), clock)
    connection = Connection(site)
    head = (
        b"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    )
    connection.send(head + b"Content-Length: %d\r\n\r\n" % len(data) + data)
    clock.advance(0)
    answer = connection.wire.value()
    assert answer[9:12] in (b"201", b"400", b"404", b"413", b"415"), answer
    assert len(spawn.started) == (answer[9:12] == b"201"), answer
    assert len(answer) < LARGEST_ANSWER, answer
    for started in spawn.started:
        started.exit()
    connection.lose()


def pattern(data: bytes) -> None:
    """What C{--check} lets pass is matched in a short time, on any text."""
    source = ByteSource(data)
    unit, end = source.take(3).decode("latin-1"), source.take(1).decode("latin-1")
    try:
        compiled = re.compile(source.rest().decode("utf-8", "replace"))
    except (re.error, OverflowError, RecursionError):
        return
    with suppress(TooManyWays):
        check_ways(compiled, LONGEST)
        began = time.thread_time()
        compiled.fullmatch((unit * LONGEST)[:LONGEST] + end)
        assert time.thread_time() - began < PATIENCE, compiled
