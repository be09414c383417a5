"""The interface of all peers, which is all that metrics know of them."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import ClassVar

from tests.benchmarks import machine
from tests.benchmarks.client import Get, Source
from tests.benchmarks.content import Content
from tests.benchmarks.errors import Failed
from tests.benchmarks.workloads import Workload

#: The programs of some peers.
SERVERS = Path(__file__).parents[1] / "servers"

#: Seconds that a server may take until it listens.
_START = 30.0


class Kind(Enum):
    """The group in which a peer is compared."""

    OURS = "ours"
    HTTP = "HTTP"
    OTHER = "other"
    LIMIT = "limit"


class Peer:
    """
    A server, or what takes its place, that runs the given workloads.

    L{launch} starts it, and it may be asked when L{wait} has returned. All its files
    are in its folder; L{stop} leaves nothing behind.

    @cvar programs: what must be installed, besides the Python C{packages}.
    @cvar concurrent: whether it serves more than one client at a time.
    @cvar many: whether it can serve hundreds of streams at once.
    @cvar shares: whether a run can have several viewers.
    @cvar measurable: whether its processor time and memory can be told from those of
        the commands.
    @cvar lossy: whether it loses output at the end.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    programs: ClassVar[tuple[str, ...]] = ()
    packages: ClassVar[tuple[str, ...]] = ()
    concurrent: ClassVar[bool] = True
    many: ClassVar[bool] = True
    shares: ClassVar[bool] = False
    measurable: ClassVar[bool] = True
    lossy: ClassVar[bool] = False
    #: The only metrics of interest; L{None} for all.
    only: ClassVar[frozenset[str] | None] = None
    #: The words of a program that executes the server's own, and watches it.
    before: Sequence[str] = ()

    def __init__(
        self, folder: Path, workloads: Sequence[Workload], streams: int = 32
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.workloads = workloads
        #: How many clients it must be able to serve at once.
        self.streams = streams
        self.port = machine.free_port()
        self._started: list[subprocess.Popen[bytes]] = []
        self._own: set[str] = set()

    @classmethod
    def missing(cls) -> list[str]:
        """Return the needed programs that are not installed."""
        programs = [name for name in cls.programs if shutil.which(name) is None]
        packages = [
            name for name in cls.packages if importlib.util.find_spec(name) is None
        ]
        return programs + packages

    def launch(self) -> None:
        """Start the server, without waiting for it."""

    def source(self, workload: Workload) -> Source:
        """The source that runs a workload and streams its output."""
        return Get(self.port, f"/{workload.name}")

    def shared(self, workload: Workload) -> Source:
        """The source that shows all viewers the same run of a workload."""
        raise NotImplementedError

    def begin_shared(self, workload: Workload) -> None:
        """Start that run, if its first viewer does not."""

    @contextmanager
    def holding_records(self) -> Iterator[None]:
        """Nothing is recorded in this context, if the peer records anything."""
        yield

    def sent(self, content: Content) -> Content:
        """The content as this peer sends it."""
        return content

    def run(
        self, *argv: str, env: Mapping[str, str] = {}, log: str = "log"
    ) -> subprocess.Popen[bytes]:
        """Start a program of the server in a session of its own."""
        with (self.folder / log).open("ab") as said:
            program = subprocess.Popen(
                (*self.before, *argv),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self.folder,
                env={**os.environ, **env},
                start_new_session=True,
            )
        self._started.append(program)
        return program

    def run_python(self, name: str) -> None:
        """Start one of L{SERVERS} that is written in Python."""
        self.run(sys.executable, str(SERVERS / name), str(self.port), self.commands())

    def commands(self) -> str:
        """Write the workloads into a file that L{SERVERS} read."""
        path = self.folder / "commands.json"
        path.write_text(json.dumps({each.name: each.argv for each in self.workloads}))
        return str(path)

    def wait(self) -> None:
        """Wait until it can be asked. @raise Failed: if it does not start."""
        if self._started:
            self.wait_for(self.listens)
        for pid in machine.tree([each.pid for each in self._started]):
            self._own.add(machine.program_of(pid))
        self._own.discard("")

    def wait_for(self, ready: Callable[[], bool]) -> None:
        """Wait for the sign that a program has started."""
        until = monotonic() + _START
        while not ready():
            ended = [each for each in self._started if each.poll() is not None]
            if ended or monotonic() > until:
                why = (
                    f"exited with {ended[0].returncode}" if ended else "does not listen"
                )
                raise Failed(f"the server {why}: {self._said()}")
            sleep(0.01)

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _said(self) -> str:
        log = self.folder / "log"
        said = (
            log.read_bytes()[-2000:].decode("utf-8", "replace") if log.exists() else ""
        )
        return said.strip() or "it said nothing"

    def own(self) -> list[int]:
        """Its own processes, without those of the commands."""
        started = [each.pid for each in self._started]
        return [
            pid for pid in machine.tree(started) if machine.program_of(pid) in self._own
        ]

    def stop(self) -> None:
        """Kill the peer with all that it has started, and remove its folder."""
        started = {each.pid for each in self._started}
        left = machine.tree(list(started))
        for program in self._started:  # these first, or they might start more
            program.kill()
        for program in self._started:
            program.wait()
        self._started.clear()
        machine.end([pid for pid in left if pid not in started])
        shutil.rmtree(self.folder, ignore_errors=True)  # stopped twice: it is gone

    def __enter__(self) -> "Peer":
        try:
            self.launch()
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
