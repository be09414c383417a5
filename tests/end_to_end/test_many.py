"""Many at once: viewers of one run, runs, requests with one key."""

import json
import resource
import selectors
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import chain
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from tests.end_to_end.state_daemons import StateTestCase
from tests.support.http_watcher import ask, fetch, get, kept_bytes, post
from tests.support.programs import Daemon, Gate, Lifeline
from tests.support.resident import resident

#: How many connect before it is seen that all of them were accepted: the kernel
#: would have more than that come again after a second.
AT_ONCE = 40

SHELL = """
[commands.one]
get = true
shell = '''{shell}'''
"""


class ManyClients:
    """
    Clients with a socket each, of which the first C{slow} take a byte at a time.

    All of it blocks, and belongs into a thread.
    """

    def __init__(self, port: int, request: str, slow: int = 0) -> None:
        self._port, self._request, self._slow = port, request.encode(), slow
        self._sockets: list[socket.socket] = []
        self._wires: list[bytearray] = []

    def join(self, count: int) -> None:
        """Let so many more come, up to the first bytes of their answers."""
        while count:
            new = [self._connect() for _ in range(min(AT_ONCE, count))]
            self._sockets += new
            self._wires += [bytearray(each.recv(1)) for each in new]
            count -= len(new)

    def read(self) -> list[bytes]:
        """The whole responses of all viewers except the slow ones."""
        left = set(range(self._slow, len(self._sockets)))
        with selectors.DefaultSelector() as selector:
            for index, each in enumerate(self._sockets):
                selector.register(each, selectors.EVENT_READ, index)
            while left:
                for key, _ in selector.select():
                    index = key.data
                    if not self._take(index, 1 if index < self._slow else 1 << 16):
                        selector.unregister(key.fileobj)
                        left.discard(index)
        return self._bodies()[self._slow :]

    def read_slow(self) -> tuple[list[int], list[bytes]]:
        """
        Return the bytes that the slow clients have read, and all after they hurry.
        """
        taken = [len(wire) for wire in self._wires[: self._slow]]
        for index in range(self._slow):
            while self._take(index, 1 << 16):
                pass
        return taken, self._bodies()[: self._slow]

    def close(self) -> None:
        """Leave, all of them."""
        for each in self._sockets:
            each.close()

    def _connect(self) -> socket.socket:
        made = socket.socket()
        if len(self._sockets) < self._slow:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.connect(("127.0.0.1", self._port))
        made.sendall(self._request)
        return made

    def _take(self, index: int, size: int) -> bool:
        data = self._sockets[index].recv(size)
        self._wires[index] += data
        return bool(data)

    def _bodies(self) -> list[bytes]:
        return [bytes(wire).partition(b"\r\n\r\n")[2] for wire in self._wires]


class ManyTestCase(StateTestCase):
    """The test process raises its limit of open files."""

    timeout = 120

    def setUp(self) -> None:
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.most = hard - 500

    def crowd(self, daemon: Daemon, path: str, slow: int = 0) -> ManyClients:
        """A crowd without viewers."""
        made = ManyClients(daemon.port, get(path), slow)
        self.addCleanup(made.close)
        return made


class ViewerTests(ManyTestCase):
    """Any number may watch one run, each at its own pace."""

    async def test_ten_thousand(self) -> None:
        """Ten thousand see every byte, and each takes 10 kB at most while idle."""
        gate = Gate(self)
        daemon = await self.start(SHELL.format(shell=gate.shell))
        run = (await ask(daemon.port, post("/runs", {"command": "one"}))).run
        crowd = self.crowd(daemon, f"/runs/{run}/output")
        await deferToThread(crowd.join, 200)
        before = resident(daemon.pid)
        count = min(10_000, self.most) - 200
        await deferToThread(crowd.join, count)
        self.assertLess((resident(daemon.pid) - before) / count, 10_000)
        for _ in range(gate.LINES):
            gate.let_through()
        bodies = await deferToThread(crowd.read)
        self.assertEqual(len(bodies), count + 200)
        self.assertEqual(set(bodies), {b"line 1\nline 2\nline 3\nover\n"})

    async def test_slow_beside_fast(self) -> None:
        """Slow viewers do not delay a thousand others, and miss nothing."""
        gate = Gate(self)
        shell = f"read go < {gate.path}; seq 1 60000"
        daemon = await self.start(SHELL.format(shell=shell))
        run = (await ask(daemon.port, post("/runs", {"command": "one"}))).run
        crowd = self.crowd(daemon, f"/runs/{run}/output?format=frames", slow=3)
        await deferToThread(crowd.join, 1003)
        gate.let_through()
        whole = b"".join(b"%d\n" % number for number in range(1, 60_001))
        for wire in set(await deferToThread(crowd.read)):
            self.assertEqual(kept_bytes(whole, wire), whole)
        taken, wires = await deferToThread(crowd.read_slow)
        self.assertLess(max(taken), len(whole) / 2)
        for wire in wires:
            self.assertEqual(kept_bytes(whole, wire), whole)


def send(
    connection: HTTPConnection, method: str, path: str, body: object = None
) -> Any:
    """Send a request on a connection that stays open; returns the response."""
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Content-Type": "application/json"})
    answer = connection.getresponse().read()
    return json.loads(answer) if method == "POST" or "/output" not in path else answer


class RunTests(ManyTestCase):
    """Any number of runs may go on at once, as far as C{max_running} allows."""

    COUNT = 1000

    async def test_thousand(self) -> None:
        """A thousand write to files of their own, and all come to their end."""
        gate, lifeline = Gate(self), Lifeline(self)
        shell = (
            f"exec 3> {lifeline.path}; echo $SHELLSTREAM_RUN; read go < {gate.path}; "
            "echo over"
        )
        config = f"max_running = {self.COUNT}\n" + SHELL.format(shell=shell)
        daemon = await self.start(config)
        ids = await deferToThread(self.begin, daemon.port)
        self.assertEqual(len(set(ids)), self.COUNT)
        page = await fetch(daemon.port, f"/runs?state=running&limit={self.COUNT}")
        self.assertEqual(page.body.count(b'"state": "running"'), self.COUNT)
        refused = await ask(daemon.port, post("/runs", {"command": "one"}))
        self.assertIn(" 503 ", refused.head)
        for _ in range(self.COUNT):
            gate.let_through()
        await lifeline.cut()
        outputs = await deferToThread(self.outputs, daemon.port, ids)
        expected = [f"{run}\nover\n".encode() for run in ids]
        self.assertEqual(outputs, expected)
        files = (self.state / "output").glob("*.log")
        self.assertEqual({each.stem for each in files}, set(ids))

    def begin(self, port: int) -> list[str]:
        """The ids of so many new runs."""

        def some(count: int) -> list[str]:
            connection = HTTPConnection("127.0.0.1", port)
            order = {"command": "one"}
            return [
                send(connection, "POST", "/runs", order)["id"] for _ in range(count)
            ]

        with ThreadPoolExecutor(8) as pool:
            return list(chain(*pool.map(some, [self.COUNT // 8] * 8)))

    def outputs(self, port: int, ids: Sequence[str]) -> list[bytes]:
        """The output of each run, after its end."""
        connection = HTTPConnection("127.0.0.1", port)
        return [send(connection, "GET", f"/runs/{run}/output") for run in ids]


class KeyTests(ManyTestCase):
    """However many send the same request with the same key, it is carried out once."""

    async def test_at_once(self) -> None:
        """Requests that come at once are all answered with the one run."""
        began = Path(self.mktemp()).absolute()
        shell = f"echo $SHELLSTREAM_RUN >> {began}"
        daemon = await self.start(SHELL.format(shell=shell))
        request = post("/runs", {"command": "one"}, Idempotency_Key="k")
        crowd = ManyClients(daemon.port, request)
        self.addCleanup(crowd.close)
        await deferToThread(crowd.join, AT_ONCE)
        bodies = await deferToThread(crowd.read)
        (run,) = {json.loads(body)["id"] for body in bodies}
        await fetch(daemon.port, f"/runs/{run}/output")
        self.assertEqual(began.read_text().split(), [run])
