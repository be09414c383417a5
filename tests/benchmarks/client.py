"""
How the command line does beside others, whole processes, the daemon on loopback.

C{python -m tests.benchmarks.client [REPEATS]}: the time and memory of a one-line
answer, then of 1 GiB, each program in turn. (Linux counts no less memory than this
process itself takes.)
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from attrs import frozen

CONFIG = """
[commands.line]
argv = ["echo", "1"]
get = true
[commands.much]
argv = ["head", "-c", "1073741824", "/dev/zero"]
get = true
"""

REQUESTS = """
import requests
for chunk in requests.get({url!r}, stream=True).iter_content(None):
    print(chunk)
"""

TREQ = """
import treq
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react
async def main(reactor):
    await treq.collect(await treq.get({url!r}), print)
react(lambda reactor: ensureDeferred(main(reactor)))
"""


@frozen
class Took:
    """One process: seconds on the wall and on processors, peak memory in MB."""

    wall: float
    cpu: float
    memory: float


def took(argv: list[str]) -> Took:
    """Run a program to its end."""
    begin = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    assert status == 0, argv
    return Took(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def compare(what: str, programs: dict[str, list[str]], repeats: int) -> None:
    """Run each in turn, again and again; the first is what the others are against."""
    found: dict[str, list[Took]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, argv in programs.items():
            found[name].append(took(argv))
    base = median(each.wall for each in next(iter(found.values())))
    print(f"{what}:")
    for name, each in found.items():
        wall = median(one.wall for one in each)
        cpu = median(one.cpu for one in each)
        memory = max(one.memory for one in each)
        print(
            f"  {name:<12} {wall:6.3f} s ({wall / base:4.2f} x), "
            f"{cpu:6.3f} s of processors, {memory:3.0f} MB"
        )


def main(repeats: int) -> None:
    """Start a daemon, and compare."""
    beside = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "c.toml"
        config.write_text(CONFIG)
        state = ["--state-dir", f"{folder}/state", "--config", str(config)]
        daemon = subprocess.Popen(
            [beside / "twistd", "-n", "--pidfile=", "shellstream", "--port=0", *state],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert daemon.stdout is not None
        try:
            url = next(
                found[1]
                for line in daemon.stdout
                if (found := re.search(r"(http://\S+)/stream", line))
            )
            line, much = f"{url}/stream/line", f"{url}/stream/much"
            python, ours = str(beside / "python"), str(beside / "shellstream")
            http = [str(beside / "http"), "--ignore-stdin", "--stream"]
            programs = {
                "requests": [python, "-c", REQUESTS.format(url=line)],
                "shellstream": [ours, line],
                "HTTPie": [*http, line],
                "treq": [python, "-c", TREQ.format(url=line)],
            }
            compare("a line", programs, repeats)
            programs = {"curl": ["curl", "-sN", much], "shellstream": [ours, much]}
            compare("1 GiB", programs, max(3, repeats // 4))
        finally:
            daemon.terminate()
            daemon.communicate()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
