"""
The work of one run and of one chunk, counted: C{python -m tests.benchmarks --count}.

Counts do not depend on how fast the machine is, or on what else it does. Everything is
done many times in a row and divided; what the idle server does in the same time is
subtracted. shellstream has its default configuration, its log on a disk. Once
L{tests.benchmarks.counted} executes the server, and once strace, if it is there.
"""

import json
import os
import re
import shutil
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import Protocol

from attrs import define, field, frozen

from tests.benchmarks import machine
from tests.benchmarks.client import PATIENCE, Get
from tests.benchmarks.errors import Differs, Refused
from tests.benchmarks.peers import Peer, Shellstream
from tests.benchmarks.peers.twisted import Twisted
from tests.benchmarks.workloads import Workload

#: What is counted.
PEERS = (Shellstream, Twisted)

#: How many runs one after the other, chunks, batches of 16 runs, and runs with a pause
#: after each.
RUNS, CHUNKS, BATCHES, PAUSED = 50, 500, 8, 10
BATCH = 16

#: Seconds without work in which the server does what it does later.
PAUSE = 0.3

CHUNK = b"thirty-two bytes of one command\n"

COUNTED = str(Path(__file__).with_name("counted.py"))


@frozen
class Work:
    """
    What a server did.

    @ivar calls: of functions by thread, kind (C{python} or C{c}) and file.
    @ivar statements: of SQLite.
    @ivar hops: results that a thread brought back to the reactor.
    @ivar system: system calls by name.
    @ivar child: system calls of new processes, until they execute a program.
    """

    calls: Mapping[tuple[str, str, str], float] = field(factory=dict)
    statements: float = 0
    hops: float = 0
    system: Mapping[str, float] = field(factory=dict)
    child: float = 0

    def plus(self, other: "Work", times: float) -> "Work":
        """Add the other work so many times."""
        add = lambda one, more: {  # noqa: E731
            key: one.get(key, 0) + times * more.get(key, 0) for key in {**one, **more}
        }
        return Work(
            add(self.calls, other.calls),
            self.statements + times * other.statements,
            self.hops + times * other.hops,
            add(self.system, other.system),
            self.child + times * other.child,
        )

    def python_calls(self, thread: str | None = None, kind: str | None = None) -> float:
        """Calls of functions; those of one thread or kind only."""
        return sum(
            count
            for (of_thread, of_kind, _), count in self.calls.items()
            if thread in (None, of_thread) and kind in (None, of_kind)
        )

    def system_calls(self, besides: str = "") -> float:
        return sum(count for name, count in self.system.items() if name != besides)


class Watch(Protocol):
    """
    Watches the work of a server.

    @ivar order: "h" for each hop so far, "s" for whatever the reactor sent.
    """

    order: str

    def total(self) -> Work:
        """All work since the server started."""


@define(eq=False)
class Counts:
    """Asks L{tests.benchmarks.counted}."""

    _asked: socket.socket
    order: str = ""

    def total(self) -> Work:
        self._asked.sendall(b"?")
        said = b""
        while not said.endswith(b"\n"):
            said += self._asked.recv(1 << 20)
        found = json.loads(said)
        calls = {
            (thread, kind, file): count
            for thread, kinds in found["threads"].items()
            for kind, files in kinds.items()
            for file, count in files.items()
        }
        self.order = found["order"]
        return Work(calls, found["statements"], self.order.count("h"))


@define(eq=False)
class Trace:
    """Reads what strace has written of a server."""

    _path: Path
    _threads: Path  # a folder with a name for each thread of the server
    order: str = ""
    _read: int = 0
    _executing: set[str] = field(factory=set)
    _total: Work = field(factory=Work)

    def total(self) -> Work:
        with self._path.open("rb") as file:
            file.seek(self._read)
            *lines, _ = file.read().split(b"\n")
        self._read += sum(len(line) + 1 for line in lines)
        own = set(os.listdir(self._threads))
        system: Counter[str] = Counter()
        child = 0
        for line in lines:
            call = re.match(r"(\d+) +(\w+)\(", line.decode("ascii", "replace"))
            if call is None:  # a signal, an exit, or the second half of a call
                continue
            thread, name = call.groups()
            if thread in own:
                system[name] += 1
            elif thread not in self._executing:
                child += 1
                if name == "execve":
                    self._executing.add(thread)
        self._total = self._total.plus(Work(system=system, child=child), 1)
        return self._total


@frozen
class Counted:
    """
    The work of a server.

    @ivar run: for one run of many, one after the other on one connection.
    @ivar hops_before: how many hops of it come before its viewer has its end.
    @ivar batch: for one run of sixteen at once.
    @ivar chunk: for one chunk to one viewer.
    """

    run: Work
    hops_before: float
    batch: Work
    chunk: Work


def count(peer: type[Peer], folder: Path) -> Counted:
    """Count the work of a server. Without strace there are no system calls."""
    found = _count(peer, folder / "calls", _counting)
    if shutil.which("strace") is None:
        return found
    traced = _count(peer, folder / "system", _tracing)
    return Counted(
        found.run.plus(traced.run, 1),
        found.hops_before,
        found.batch.plus(traced.batch, 1),
        found.chunk.plus(traced.chunk, 1),
    )


def _count(
    peer: type[Peer], folder: Path, watching: Callable[[Peer], Iterator[Watch]]
) -> Counted:
    folder.mkdir(parents=True)
    chunks = folder / "chunks"
    os.mkfifo(chunks)
    true = Workload("true", ("/bin/true",))
    relay = Workload("relay", ("/bin/cat", str(chunks)))
    server = peer(folder / "server", [true, relay])
    with ExitStack() as on_exit:
        on_exit.callback(server.stop)
        watch = on_exit.enter_context(contextmanager(watching)(server))
        asking = _Asking(server, watch)
        # For reading as well, so that it opens at once and does not end.
        source = os.open(chunks, os.O_RDWR)
        on_exit.callback(os.close, source)
        return Counted(
            *asking.runs(true), asking.batches(true), asking.chunks(relay, source)
        )


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(PATIENCE)
        yield listening


def _counting(server: Peer) -> Iterator[Watch]:
    path = server.folder / "counts"
    with _listening(path) as listening:
        server.before = (sys.executable, COUNTED, str(path))
        server.launch()
        asked, _ = listening.accept()
        with asked:
            server.wait()
            yield Counts(asked)


def _tracing(server: Peer) -> Iterator[Watch]:
    path = server.folder / "trace"
    server.before = ("strace", "-f", "-qq", "-o", str(path))
    server.launch()
    server.wait()
    strace, *others = server.own()
    # strace may have a second process while it starts.
    program = machine.program_of(strace)
    traced = next(pid for pid in others if machine.program_of(pid) != program)
    yield Trace(path, Path(f"/proc/{traced}/task"))


@frozen
class _Asking:
    """Gives a server work, and counts it."""

    _server: Peer
    _watch: Watch

    def runs(self, workload: Workload) -> tuple[Work, float]:
        """The work of one run, and its hops before the end that its viewer sees."""
        with self._connection() as client:

            def once() -> None:
                self._ask(client, workload)
                self._answer(client).read()

            work = self._each(once, RUNS)
            hops = [self._hops_before_end(once) for _ in range(PAUSED)]
        return work, median(hops)

    def batches(self, workload: Workload) -> Work:
        """
        The work of one of sixteen runs at once, all recorded together. How many of them
        come together by themselves depends on the machine.
        """
        with ExitStack() as on_exit:
            clients = [on_exit.enter_context(self._connection()) for _ in range(BATCH)]

            def once() -> None:
                with self._server.holding_records():
                    for client in clients:
                        self._ask(client, workload)
                    sleep(PAUSE)
                for client in clients:
                    self._answer(client).read()

            return self._each(once, BATCHES, BATCH)

    def chunks(self, workload: Workload, source: int) -> Work:
        """The work of a chunk that one viewer gets."""
        with self._connection() as client:
            self._ask(client, workload)
            os.write(source, CHUNK)  # some servers send nothing before
            answer = self._answer(client)

            def take() -> None:
                if answer.read(len(CHUNK)) != CHUNK:
                    raise Differs("another chunk arrived than was written")

            def once() -> None:
                os.write(source, CHUNK)
                take()

            take()

            return self._each(once, CHUNKS)

    def _each(self, once: Callable[[], object], times: int, share: int = 1) -> Work:
        """Do something so many times; the work of each, or of a share of each."""
        for _ in range(max(times // 10, 3)):
            once()
        sleep(PAUSE)
        before, began = self._watch.total(), monotonic()
        sleep(PAUSE)
        idle, idled = self._watch.total(), monotonic()
        for _ in range(times):
            once()
        sleep(PAUSE)
        after, ended = self._watch.total(), monotonic()
        # While it is idle, too, the server does something now and then.
        resting = idle.plus(before, -1)
        work = after.plus(idle, -1).plus(resting, -(ended - idled) / (idled - began))
        return Work().plus(work, 1 / times / share)

    def _hops_before_end(self, once: Callable[[], object]) -> int:
        self._watch.total()
        before = len(self._watch.order)
        once()
        sleep(PAUSE / 5)
        self._watch.total()
        order = self._watch.order[before:]
        return order[: order.rfind("s") + 1].count("h")

    @contextmanager
    def _connection(self) -> Iterator[HTTPConnection]:
        client = HTTPConnection("127.0.0.1", self._server.port, PATIENCE)
        try:
            yield client
        finally:
            client.close()

    def _ask(self, client: HTTPConnection, workload: Workload) -> None:
        source = self._server.source(workload)
        assert isinstance(source, Get)
        client.request("POST", source.path)

    def _answer(self, client: HTTPConnection) -> HTTPResponse:
        answer = client.getresponse()
        if answer.status != 200:
            raise Refused(f"{answer.status} {answer.read(300)!r}")
        return answer


def table(found: Mapping[str, Counted]) -> str:
    """All counts, a column for each server."""
    rows: list[tuple[str, Callable[[Counted], float]]] = [
        ("**one run**: Python calls", lambda each: each.run.python_calls()),
        (
            "- in the thread of the reactor",
            lambda each: each.run.python_calls("MainThread"),
        ),
        ("- Python functions only", lambda each: each.run.python_calls(kind="python")),
        ("- statements of SQLite", lambda each: each.run.statements),
        ("- thread hops", lambda each: each.run.hops),
        ("- thread hops before the viewer has its end", lambda each: each.hops_before),
        ("- system calls", lambda each: each.run.system_calls()),
        ("- system calls of the child before its program", lambda each: each.run.child),
        (
            "**one run of 16 at once**: Python calls",
            lambda each: each.batch.python_calls(),
        ),
        ("- statements of SQLite", lambda each: each.batch.statements),
        ("- thread hops", lambda each: each.batch.hops),
        ("- system calls", lambda each: each.batch.system_calls()),
        (
            "**one chunk** to one viewer: Python calls",
            lambda each: each.chunk.python_calls(),
        ),
        (
            "- Python functions only",
            lambda each: each.chunk.python_calls(kind="python"),
        ),
        (
            "- system calls besides epoll_wait",
            lambda each: each.chunk.system_calls("epoll_wait"),
        ),
    ]
    lines = [f"| | {' | '.join(found)} |", f"| :-- |{' --: |' * len(found)}"]
    lines += [
        f"| {title} | {' | '.join(f'{of(each):,.1f}' for each in found.values())} |"
        for title, of in rows
    ]
    return "\n".join(lines)


def by_file(name: str, work: Work) -> str:
    """Where the work is: the files with the most calls, and all system calls."""
    files: dict[str, dict[str, float]] = {}
    for (thread, kind, file), count in work.calls.items():
        counts = files.setdefault(_short(file), {"python": 0, "c": 0, "others": 0})
        counts[kind] += count
        counts["others"] += count * (thread != "MainThread")
    rows = sorted(
        files.items(), key=lambda each: each[1]["python"] + each[1]["c"], reverse=True
    )
    lines = [f"## {name}", "", f"{'calls':>8} {'Python':>8} {'in threads':>11}  file"]
    lines += [
        f"{counts['python'] + counts['c']:8.1f} {counts['python']:8.1f} "
        f"{counts['others']:11.1f}  {file}"
        for file, counts in rows
        if counts["python"] + counts["c"] >= 0.5
    ]
    system = sorted(work.system.items(), key=lambda each: each[1], reverse=True)
    words = [f"{name} {count:.1f}" for name, count in system if count >= 0.05]
    lines += ["", f"system calls: {', '.join(words) or 'not counted'}"]
    return "\n".join(lines)


def _short(file: str) -> str:
    for folder in ("site-packages/", "lib/python3"):
        _, found, rest = file.rpartition(folder)
        if found:
            return rest
    return file
