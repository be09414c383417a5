"""The time of a whole client process for a response of one line."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import monotonic

from tests.benchmarks.client import PATIENCE, Get, Pipe
from tests.benchmarks.errors import Differs, Failed
from tests.benchmarks.metrics.base import FAILURES, Bench, Column, Found, Metric, Turns
from tests.benchmarks.peers import MultiplexedSsh, Peer, Shellstream, Ssh
from tests.benchmarks.workloads import Workload

REQUESTS = """\
import sys, requests
with requests.get(sys.argv[1], stream=True) as answer:
    for chunk in answer.iter_content(None):
        sys.stdout.buffer.write(chunk)
"""


def _beside(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


class Startup(Metric):
    name = "startup"
    title = "Client start-up"
    about = "A whole process that shows the one line of echo, from start to exit."
    columns = (Column("wall", "ms", 1), Column("CPU", "CPU, ms", 1))

    def workloads(self, bench: Bench) -> Sequence[Workload]:
        return [bench.workloads.echo()]

    @contextmanager
    def turns(self, bench: Bench) -> Iterator[Turns]:
        found: dict[str, Callable[[], Found]] = {}
        with ExitStack() as on_exit:
            for peer in (Shellstream, Ssh, MultiplexedSsh):
                if peer not in bench.peers:
                    continue
                server = self.make(bench, peer, "")
                try:
                    on_exit.enter_context(server)
                    clients = self._clients(bench, server)
                except FAILURES as error:
                    bench.failed(peer.name, error)
                    continue
                for name, argv in clients.items():
                    if shutil.which(argv[0]) is None:
                        bench.skipped(name, Path(argv[0]).name)
                    elif name == "requests" and find_spec(name) is None:
                        bench.skipped(name, name)
                    else:
                        found[name] = partial(self._start, bench, argv)
            yield found

    def _clients(self, bench: Bench, server: Peer) -> dict[str, Sequence[str]]:
        source = server.source(bench.workloads.echo())
        if isinstance(source, Pipe):
            return {server.name: source.argv}
        assert isinstance(source, Get)
        return {
            "shellstream URL": (_beside("shellstream"), source.url),
            "curl": ("curl", "-sfN", source.url),
            "requests": (sys.executable, "-c", REQUESTS, source.url),
            "HTTPie": (_beside("http"), "--ignore-stdin", "--stream", "-b", source.url),
        }

    def _start(self, bench: Bench, argv: Sequence[str]) -> Found:
        line = bench.workloads.echo().expected.block
        # HTTPie would leave a process behind that asks for a newer version.
        home = bench.folder / "httpie"
        home.mkdir(exist_ok=True)
        (home / "config.json").write_text('{"disable_update_warnings": true}')
        env = {**os.environ, "HTTPIE_CONFIG_DIR": str(home)}
        walls, cpus = [], []
        for _ in range(bench.scale.startups):
            before, began = _cpu(), monotonic()
            program = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                env=env,
                timeout=PATIENCE,
            )
            walls.append(monotonic() - began)
            cpus.append(_cpu() - before)
            if program.returncode:
                raise Failed(f"{argv[0]} exited with {program.returncode}")
            if program.stdout.strip() != line.strip():
                raise Differs(f"{argv[0]} showed {program.stdout[:200]!r}")
        return {"wall": median(walls) * 1e3, "CPU": median(cpus) * 1e3}


def _cpu() -> float:
    """The processor time of all children that have been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
