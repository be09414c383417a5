"""Connections are cut at any byte; the client still shows the command's output."""

import os
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.end_to_end.command_line import ClientTestCase
from tests.support.programs import Program

#: How many connections are cut in all, by how many clients side by side.
CUTS = int(os.environ.get("SHELLSTREAM_CUTS", 500 if os.environ.get("CI") else 60))
CLIENTS = 3

#: More than can be shown between so many cuts.
LAST = 200_000

CONFIG = f"""
[commands.count]
shell = "seq 1 {LAST} & seq 1 1000 >&2; wait; exit 3"
[commands.short]
shell = "echo one; echo two >&2"
[commands.tick]
shell = "for k in $(seq 1 200); do echo $k; sleep 0.01; done"
"""


class CuttingProxy(Protocol):
    """Passes bytes on in both directions, and cuts after so many of an answer."""

    def __init__(self, proxy: "Proxy") -> None:
        self.proxy = proxy
        self.left = proxy.next_cut()
        self.peer: Protocol | None = None
        self.held: list[bytes] = []

    def connectionMade(self) -> None:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.proxy.port)
        connected: Deferred[Any] = endpoint.connect(
            Factory.forProtocol(lambda: Upstream(self))
        )
        connected.addErrback(self.refused)

    def refused(self, reason: Failure) -> None:
        """The daemon refused the connection."""
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.left == 0:  # before the daemon has heard of it
            self.cut()
        elif self.peer is None:
            self.held.append(data)
        else:
            self.peer.transport.write(data)

    def answered(self, data: bytes) -> None:
        if self.left is None:
            self.transport.write(data)
            return
        piece = data[: self.left]
        self.transport.write(piece)
        self.left -= len(piece)
        if piece and self.left == 0:
            # In the turn after the one that sends them.
            reactor.callLater(0, reactor.callLater, 0, self.cut)

    def cut(self) -> None:
        if self.proxy.random.random() < 0.5:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()  # in the midst of it, but orderly
        if self.peer is not None:
            self.peer.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.peer is not None:
            self.peer.transport.loseConnection()


class Upstream(Protocol):
    """The daemon's side of a connection."""

    def __init__(self, client: CuttingProxy) -> None:
        self.client = client

    def connectionMade(self) -> None:
        self.client.peer = self
        self.transport.registerProducer(self.client.transport, True)
        self.client.transport.registerProducer(self.transport, True)
        for data in self.client.held:
            self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        self.client.answered(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.client.transport.loseConnection()


class Proxy:
    """
    Where the connections are cut.

    @ivar cuts: how many are still to be cut.
    @ivar port: that of the daemon.
    """

    def __init__(self, random: Random, cuts: int, port: int) -> None:
        self.random = random
        self.cuts = cuts
        self.port = port

    def next_cut(self) -> int | None:
        """Return the number of bytes after which the next connection is cut."""
        if self.cuts <= 0:
            return None
        self.cuts -= 1
        # Before the request, in the headers, in the records, in the output.
        most = self.random.choice([0, 500, *[4_000] * 5, *[10_000] * 5])
        return self.random.randint(0, most)

    async def listen(self, test: ClientTestCase) -> str:
        """Begin; returns the URL to use instead of the daemon's."""
        factory = Factory.forProtocol(lambda: CuttingProxy(self))
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port: Any = await endpoint.listen(factory)
        test.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}"


class CutTests(ClientTestCase):
    """Truth does not depend on the network."""

    timeout = 240

    def setUp(self) -> None:
        given = os.environ.get("SHELLSTREAM_SEED")
        self.seed = Random().randrange(1 << 32) if given is None else int(given)

    async def proxied(self, seed: int, cuts: int) -> Proxy:
        """A proxy before the daemon; C{self.url} is its URL."""
        proxy = Proxy(Random(seed), cuts, self.daemon.port)
        self.url = await proxy.listen(self)
        return proxy

    async def test_any_byte(self) -> None:
        """After hundreds of cuts stdout, stderr and exit code are unchanged."""
        await self.serve(CONFIG)
        numbers = "".join(f"{k}\n" for k in range(1, LAST + 1)).encode()
        errors = "".join(f"{k}\n" for k in range(1, 1001)).encode()
        clients, proxies = [], []
        for number in range(CLIENTS):
            proxies.append(await self.proxied(self.seed + number, CUTS // CLIENTS))
            clients.append(self.client("--server", self.url, "count"))
        codes = await gatherResults([each.ended() for each in clients])
        for client, code, proxy in zip(clients, codes, proxies, strict=True):
            why = f"SHELLSTREAM_SEED={self.seed}: {client.err[-300:]!r}"
            self.assertEqual(code, 3, why)
            self.assertEqual(client.err, errors, why)
            self.assertTrue(client.out == numbers, why)
            self.assertEqual(proxy.cuts, 0, "it was over before it was cut enough")
        # However often a request had to be sent again.
        self.assertEqual(len(await self.runs()), CLIENTS)

    async def test_objects(self) -> None:
        """NDJSON goes on behind the last whole line."""
        await self.serve(CONFIG)
        proxy = await self.proxied(self.seed, 20)
        client = await self.done("--server", self.url, "--prefix", "-t", "tick")
        lines = client.out.decode().splitlines()
        self.assertEqual(
            [line.split(" ")[1:] for line in lines],
            [["[tick/stdout]", str(k)] for k in range(1, 201)],
            f"SHELLSTREAM_SEED={self.seed}",
        )
        self.assertLess(proxy.cuts, 20)

    async def test_told(self) -> None:
        """With -v each cut is reported on stderr; without it none."""
        await self.serve(CONFIG)
        # Not any seed: the client need not report a cut after the end record.
        proxy = await self.proxied(1, 5)
        words = ("--server", self.url, "-v", "--no-stdin", "count")
        client = await self.done(*words, code=3)
        self.assertEqual(proxy.cuts, 0)
        told = [line for line in client.err.splitlines() if b"reconnecting" in line]
        self.assertGreaterEqual(len(told), 5, client.err[-500:])

    async def test_given_up(self) -> None:
        """A stream that cannot be resumed has its own exit code, and a hint."""
        await self.serve(CONFIG)
        await self.proxied(self.seed, 1_000_000)
        client = self.client("--server", self.url, "--retry-for", "0.5", "short")
        program: Program = client
        for _ in range(20):  # unless luck lets it through
            if await program.ended() != 0:
                break
            program = self.client("--server", self.url, "--retry-for", "0", "short")
        self.assertEqual(program.status, 75)
        self.assertIn(b"not resumed", program.err)
