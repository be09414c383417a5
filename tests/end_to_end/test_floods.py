"""Clients that overload a daemon: too many, too much, too slow, or vanishing."""

import json
import resource
import selectors
import socket
from collections.abc import Sequence
from http.client import HTTPSConnection
from pathlib import Path
from ssl import SSLContext, create_default_context

import trustme
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.end_to_end.state_daemons import processes_gone
from tests.support.http_watcher import ask, fetch, get, post, watch
from tests.support.programs import Daemon, Gate, needs, start_daemon
from tests.support.resident import resident

CONFIG = """
default = "wait"
[commands.wait]
shell = "echo here; exec sleep 1000"
get = true
linger = 0
[commands.sum]
argv = ["true", "{x}"]
params.x = { type = "string", default = "" }
[http]
"""


class Flood:
    """
    Connections of one address, which block, and so belong into a thread.

    @ivar wires: the response on each.
    @ivar over: those that the daemon has closed or reset.
    """

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._port, self._source = port, source
        self.sockets: list[socket.socket] = []
        self.wires: dict[socket.socket, bytes] = {}
        self.over: set[socket.socket] = set()

    def connect(self, count: int, data: bytes = b"") -> None:
        """Open so many more, each of which sends something."""
        for _ in range(count):
            made = socket.socket()
            self.sockets.append(made)
            self.wires[made] = b""
            made.settimeout(30)
            made.bind((self._source, 0))
            try:
                made.connect(("127.0.0.1", self._port))
            except ConnectionResetError:  # as soon as it was accepted
                self.over.add(made)
            else:
                self.send(made, data)

    def send(self, connection: socket.socket, data: bytes) -> None:
        """Send on a connection that is still open."""
        try:
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return  # as will be read

    def wait(self, count: int, dribble: bytes = b"") -> None:
        """Wait until so many have ended, while the others send now and then."""
        with selectors.DefaultSelector() as selector:
            for each in self.sockets:
                if each not in self.over:
                    selector.register(each, selectors.EVENT_READ, each)
            while len(self.over) < count:
                for key, _ in selector.select(0.2 if dribble else None):
                    each = key.data
                    try:
                        data = each.recv(1 << 16)
                    except ConnectionResetError:
                        data = b""
                    self.wires[each] += data
                    if not data:
                        self.over.add(each)
                        selector.unregister(each)
                for each in self.sockets if dribble else ():
                    if each not in self.over:
                        self.send(each, dribble)

    def statuses(self) -> Sequence[bytes]:
        """
        Return the status of each ended connection; nothing for one that was only
        closed.
        """
        return [self.wires[each][9:12] for each in self.sockets if each in self.over]

    def close(self) -> None:
        for each in self.sockets:
            each.close()


def tls(test: TestCase) -> tuple[str, SSLContext]:
    """Return an endpoint with a certificate, and a context that trusts it."""
    folder = Path(test.mktemp()).absolute()
    folder.mkdir(parents=True)
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    trust = create_default_context()
    authority.configure_trust(trust)
    listen = f"ssl:0:interface=127.0.0.1:privateKey={folder}/key.pem"
    return f"{listen}:certKey={folder}/cert.pem", trust


class FloodTestCase(TestCase):
    """A daemon with low limits."""

    timeout = 120

    async def serve(self, http: str = "") -> Daemon:
        return await start_daemon(self, CONFIG + http)

    def flood(self, daemon: Daemon, source: str = "127.0.0.1") -> Flood:
        made = Flood(daemon.port, source)
        self.addCleanup(made.close)
        return made

    async def assert_served(self, daemon: Daemon) -> None:
        """A client is answered, and may run a command."""
        found = await fetch(daemon.port, "/commands")
        self.assertIn(" 200 ", found.head)
        order = {"command": "sum", "params": {"x": "1"}}
        created = await ask(daemon.port, post("/runs", order))
        self.assertIn(" 201 ", created.head, created.body)


class SlowTests(FloodTestCase):
    """Slow clients are cut, and others do not wait for them."""

    async def test_heads(self) -> None:
        """Three hundred clients that never end their heads are cut."""
        daemon = await self.serve("header_timeout = 3\n")
        flood = self.flood(daemon)
        begin = b"GET /stream HTTP/1.1\r\nHost: localhost\r\nX-0: "
        await deferToThread(flood.connect, 300, begin)
        await self.assert_served(daemon)
        await deferToThread(flood.wait, 300, b"x")
        self.assertEqual(set(flood.statuses()) - {b""}, {b"408"})
        await self.assert_served(daemon)

    async def test_bodies(self) -> None:
        """Clients whose bodies do not grow are cut, and start nothing."""
        daemon = await self.serve("body_timeout = 1\n")
        flood = self.flood(daemon)
        begin = post("/stream/wait", {"x": "y"}).encode()[:-1]
        await deferToThread(flood.connect, 100, begin)
        await deferToThread(flood.wait, 100)
        self.assertEqual(set(flood.statuses()), {b"408"})
        found = await fetch(daemon.port, "/runs")
        self.assertEqual(json.loads(found.body)["runs"], [])

    async def test_silent(self) -> None:
        """Silent clients are cut; a viewer never is."""
        daemon = await self.serve("header_timeout = 1\nidle_timeout = 1\n")
        viewer = await watch(daemon.port, get("/stream"))
        await viewer.seen(b"here\n")
        flood = self.flood(daemon)
        await deferToThread(flood.connect, 50)
        request = b"GET /commands HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await deferToThread(flood.connect, 50, request)
        await deferToThread(flood.wait, 100)
        self.assertEqual(flood.statuses(), [b""] * 50 + [b"200"] * 50)
        self.assertFalse(viewer.gone.called)
        viewer.leave()


class HandshakeTests(FloodTestCase):
    """Under TLS the limits hold before the first request."""

    async def test_none(self) -> None:
        """A client that never ends the handshake is cut; others are served."""
        listen, trust = tls(self)
        daemon = await start_daemon(
            self, CONFIG + "header_timeout = 2\n", "--listen", listen
        )
        flood = self.flood(daemon)
        await deferToThread(flood.connect, 50)
        await deferToThread(flood.connect, 50, b"\x16\x03\x01\x02\x00\x01")
        told = await deferToThread(self.ask, daemon.port, trust)
        self.assertEqual(told, 200)
        await deferToThread(flood.wait, 100)
        self.assertEqual(set(flood.wires.values()), {b""})

    async def test_one_address(self) -> None:
        """A connection beyond the limit of an address gets no handshake."""
        listen, trust = tls(self)
        http = "connections = 60\nconnections_per_address = 40\n"
        daemon = await start_daemon(self, CONFIG + http, "--listen", listen)
        flood = self.flood(daemon, "127.0.0.2")
        await deferToThread(flood.connect, 200)
        await deferToThread(flood.wait, 160)
        self.assertEqual(set(flood.statuses()), {b""})
        told = await deferToThread(self.ask, daemon.port, trust)
        self.assertEqual(told, 200)

    def ask(self, port: int, trust: SSLContext) -> int:
        """The status that a client's request is answered with."""
        client = HTTPSConnection("127.0.0.1", port, timeout=30, context=trust)
        client.request("GET", "/commands")
        answer = client.getresponse()
        answer.read()
        client.close()
        return answer.status


class ManyTests(FloodTestCase):
    """Connections are bounded, and one address does not keep another out."""

    async def test_one_address(self) -> None:
        """A flood of one address leaves others served, and is a line of the log."""
        daemon = await self.serve("connections = 100\nconnections_per_address = 60\n")
        flood = self.flood(daemon, "127.0.0.2")
        await deferToThread(flood.connect, 400)
        await deferToThread(flood.wait, 340)
        self.assertEqual(set(flood.statuses()) - {b""}, {b"429"})
        await self.assert_served(daemon)
        log = daemon.program.out + daemon.program.err
        self.assertLessEqual(log.count(b"too many connections"), 2)
        flood.close()
        again = self.flood(daemon, "127.0.0.2")
        await deferToThread(again.connect, 60, get("/commands").encode())
        await deferToThread(again.wait, 60)
        self.assertIn(b"200", again.statuses())

    async def test_all(self) -> None:
        """Connections beyond the limit get a time to retry."""
        daemon = await self.serve("connections = 40\nconnections_per_address = 40\n")
        first = self.flood(daemon, "127.0.0.2")
        await deferToThread(first.connect, 20)
        second = self.flood(daemon, "127.0.0.3")
        await deferToThread(second.connect, 50)
        await deferToThread(second.wait, 30)
        self.assertEqual(set(second.statuses()) - {b""}, {b"503"})
        told = [wire for wire in second.wires.values() if wire]
        self.assertTrue(all(b"Retry-After: 5\r\n" in wire for wire in told))
        first.close()
        second.close()
        await self.assert_served(daemon)

    async def test_viewers(self) -> None:
        """A viewer beyond the limit is refused, and its command is not run."""
        daemon = await self.serve("viewers = 1\n")
        viewer = await watch(daemon.port, get("/stream"))
        await viewer.seen(b"here\n")
        refused = await fetch(daemon.port, "/stream")
        self.assertIn(" 503 ", refused.head)
        found = await fetch(daemon.port, "/runs")
        self.assertEqual(len(json.loads(found.body)["runs"]), 1)
        viewer.leave()


class LargeTests(FloodTestCase):
    """Requests that are too large are refused, and cost nothing."""

    async def test_large(self) -> None:
        """Headers and bodies of 10 MB, a million of each, and chunks without end."""
        daemon = await self.serve()
        before = resident(daemon.pid)
        post = b"POST /stream/sum HTTP/1.1\r\nHost: localhost\r\n"
        form = b"Content-Type: application/x-www-form-urlencoded\r\n"
        for data, status in (
            (b"GET /commands HTTP/1.1\r\nX: " + b"x" * 10_000_000, b"431"),
            (b"GET /commands HTTP/1.1\r\n" + b"X: y\r\n" * 1_000_000, b"431"),
            (b"GET /stream/sum?" + b"x=1&" * 1_000_000, b"431"),
            (post + b"Content-Length: 10000000\r\n\r\n" + b"x" * 10_000_000, b"413"),
            (
                post + form + b"Transfer-Encoding: chunked\r\n\r\n"
                b"400\r\n" + (b"x=1&" * 256 + b"\r\n400\r\n") * 4000,
                b"413",
            ),
        ):
            flood = self.flood(daemon)
            await deferToThread(flood.connect, 5, data)
            await deferToThread(flood.wait, 5)
            # Some are still sending when they are closed, and do not read why.
            self.assertEqual(set(flood.statuses()) - {b""}, {status})
        self.assertLess(resident(daemon.pid) - before, 10_000_000)
        await self.assert_served(daemon)

    async def test_bounds(self) -> None:
        """The limits are those of the configuration."""
        daemon = await self.serve(
            "header_size = 200\nheaders = 3\nbody_size = 10\ninput_size = 20\n"
        )
        for request, status in (
            (get("/commands", A="1", B="2", C="3"), 200),
            (get("/commands", A="1", B="2", C="3", D="4"), 431),
            (get("/commands", A="x" * 200), 431),
            (post("/runs/x/cancel", [1, 2, 3]), 404),
            (post("/runs/x/cancel", [1, 2, 3, 4]), 413),
            (post("/runs/x/stdin", [1, 2, 3, 4, 5]), 404),
            (post("/runs/x/stdin", [1, 2, 3, 4, 5, 6, 7, 8]), 413),
        ):
            found = await ask(daemon.port, request)
            self.assertIn(f" {status} ", found.head, request)


class DescriptorTests(FloodTestCase):
    """A daemon without descriptors refuses, and goes on."""

    async def test_none_left(self) -> None:
        """Without descriptors new connections are closed, and the others go on."""
        gate = Gate(self)
        config = gate.config + '[commands.other]\nargv = ["true"]\n'
        daemon = await start_daemon(self, config)
        viewer = await watch(daemon.port, get("/stream"))
        await viewer.seen(b"line 1\n")
        there = len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))
        limits = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        low = (there + 4, limits[1])
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, low)
        flood = self.flood(daemon)
        await deferToThread(flood.connect, 100)
        await deferToThread(flood.wait, 90)
        gate.let_through()
        await viewer.seen(b"line 2\n")
        flood.close()
        gate.let_through()
        await viewer.seen(b"line 3\n")
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limits)
        created = await ask(daemon.port, post("/runs", {"command": "other"}))
        self.assertIn(" 201 ", created.head, created.body)
        gate.let_through()
        await viewer.gone
        self.assertTrue(viewer.body.endswith(b"over\n"))
        self.assertNotIn(b"Traceback", daemon.program.out + daemon.program.err)

    async def test_runs(self) -> None:
        """The descriptors limit the number of running runs; the rest waits."""
        daemon = await self.serve()
        there = len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))
        limits = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        low = (there + 40, limits[1])
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, low)
        ids = []
        while True:
            found = await ask(daemon.port, post("/runs", {"command": "wait"}))
            if " 201 " not in found.head:
                break
            ids.append(json.loads(found.body)["id"])
        self.assertIn(" 503 ", found.head, found.body)
        self.assertGreater(len(ids), 3)
        for run in ids:
            ended = await ask(daemon.port, post(f"/runs/{run}/cancel"))
            self.assertIn(" 202 ", ended.head, ended.body)
        await processes_gone(ids)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limits)
        await self.assert_served(daemon)
        for run in ids:
            output = await fetch(daemon.port, f"/runs/{run}/output")
            self.assertEqual(output.body, b"here\n")

    async def test_low_limit(self) -> None:
        """A limit that is low from the start is shared between clients and runs."""
        limited = ("prlimit", "--nofile=200:200")
        daemon = await start_daemon(self, CONFIG, before=limited)
        self.assertIn(b"100 connections at once", daemon.program.out)
        flood = self.flood(daemon, "127.0.0.2")
        await deferToThread(flood.connect, 300)
        await deferToThread(flood.wait, 225)
        self.assertEqual(set(flood.statuses()) - {b""}, {b"429"})
        await self.assert_served(daemon)

    test_low_limit.skip = needs("prlimit")


class KeepaliveTests(TestCase):
    """The kernel probes silent clients, over TLS as well."""

    timeout = 60

    async def test_accepted(self) -> None:
        """Accepted connections inherit keepalive from the listening socket."""
        listen, _ = tls(self)
        for options in ((), ("--listen", listen)):
            daemon = await start_daemon(self, None, *options)
            with socket.create_connection(("127.0.0.1", daemon.port)) as client:
                mine = client.getsockname()[1]
                await deferToThread(self.accepted, daemon.port, mine)

    def accepted(self, port: int, peer: int) -> None:
        """Wait until a connection is accepted, and has a timer of kind 2 (proc(5))."""
        ends = [f"0100007F:{port:04X}", f"0100007F:{peer:04X}"]
        while True:
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[1:3] == ends and fields[5].startswith("02:"):
                    return

    if not Path("/proc/net/tcp").exists():
        test_accepted.skip = "the system does not tell"
