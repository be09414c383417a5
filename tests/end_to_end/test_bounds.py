"""A daemon's memory and time stay bounded, whatever clients and commands do."""

import os
import sys
from pathlib import Path

import treq
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import cooperate, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, ResponseFailed

from shellstream.config.live import LiveConfig
from shellstream.config.loader import parse
from shellstream.daemon.service import Daemon
from tests.support.programs import readable, start_daemon
from tests.support.resident import resident

#: Writes without waiting until nobody has taken anything for a second, says how
#: much that was, and then waits for its output to be read as any program does.
STUBBORN = r"""
import os, select, sys
os.set_blocking(1, False)
sent = 0
while select.select([], [1], [], 1)[1]:
    try:
        sent += os.write(1, b"x" * 65536)
    except BlockingIOError:
        pass
os.set_blocking(1, True)
with open(sys.argv[1], "w") as report:
    report.write(f"{sent}\n")
while sent < 50_000_000:
    sent += os.write(1, b"x" * 65536)
print("end")
"""


class Taker(Protocol):
    """A client that reads nothing until L{take} is called."""

    def __init__(self) -> None:
        self.taken = 0
        self.tail = b""
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        self.transport.write(b"GET /stream HTTP/1.0\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.taken += len(data)
        self.tail = (self.tail + data)[-10:]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


class BackPressureTests(TestCase):
    """A client that stops reading pauses the command, at almost no cost."""

    timeout = 120

    async def test_client_that_does_not_read(self) -> None:
        """The command is held, the daemon stays small, and no byte is lost."""
        fifo = os.path.abspath(self.mktemp())
        os.mkfifo(fifo)
        report = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, report)
        program = Path(self.mktemp()).absolute()
        program.write_text(STUBBORN)
        daemon = await start_daemon(
            self,
            'default = "stubborn"\n[commands.stubborn]\n'
            f"argv = ['{sys.executable}', '{program}', '{fifo}']\n"
            'retain = "1 MiB"\n',
        )
        before = resident(daemon.pid)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", daemon.port)
        taker = await endpoint.connect(Factory.forProtocol(Taker))
        await readable(report)
        sent = int(os.read(report, 100))
        self.assertLess(sent, 20_000_000)
        self.assertLess(resident(daemon.pid) - before, 10_000_000)
        taker.transport.resumeProducing()
        await taker.gone
        self.assertGreater(taker.taken, 50_000_000)
        self.assertEqual(taker.tail[-5:], b"xend\n")

    async def test_small_when_idle(self) -> None:
        """An idle daemon needs less than 50 MB."""
        daemon = await start_daemon(self)
        self.assertLess(resident(daemon.pid), 50_000_000)


class NothingLingersTests(TestCase):
    """Streams leave nothing behind, however they end."""

    timeout = 120

    STREAMS = 1000
    AT_ONCE = 50

    async def test_thousand_streams(self) -> None:
        """After 1,000 streams, half of them cut off, the daemon is as before."""
        config = parse(
            '[commands.whole]\nargv = ["echo", "hi"]\n'
            '[commands.cut]\nshell = "echo hi; sleep 1000 & wait"\nlinger = 0\n'
        )
        daemon = Daemon(LiveConfig(config), self.mktemp(), reactor)
        daemon.startService()
        self.addCleanup(daemon.stopService)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(daemon.site)
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}/stream"
        http = HTTPClient(Agent(reactor))
        await self.whole(http, url)
        before = held()
        work = (
            Deferred.fromCoroutine(
                self.cut(http, url) if n % 2 else self.whole(http, url)
            )
            for n in range(self.STREAMS)
        )
        workers = [cooperate(work) for _ in range(self.AT_ONCE)]
        for worker in workers:
            await worker.whenDone()
        await daemon.registry.supervisor.idle()
        while any(now > then for now, then in zip(held(), before, strict=True)):
            await deferLater(reactor, 0)  # sockets close in turns still to come
        self.assertEqual(daemon.registry.active, {})

    async def whole(self, http: HTTPClient, url: str) -> None:
        response = await http.post(f"{url}/whole", unbuffered=True)
        self.assertEqual(await treq.content(response), b"hi\n")

    async def cut(self, http: HTTPClient, url: str) -> None:
        response = await http.post(f"{url}/cut", unbuffered=True)

        def leave(data: bytes) -> None:
            self.assertEqual(data, b"hi\n")
            raise CancelledError

        try:
            await treq.collect(response, leave)
        except (CancelledError, ResponseFailed):
            return
        self.fail("the stream ended by itself")


def held() -> tuple[int, int, int]:
    """Descriptors, child processes and pending calls of this process."""
    children = Path("/proc/thread-self/children").read_text().split()
    return (
        len(os.listdir("/proc/self/fd")),
        len(children),
        len(reactor.getDelayedCalls()),
    )
