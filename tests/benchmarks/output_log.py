"""
What it costs that output is kept on disk: C{python -m tests.benchmarks.output_log}.

One client takes a gibibyte from a daemon that keeps its runs in a folder, and from
one that keeps them in memory, in turns. The bound is 0.75 of the throughput.
"""

import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter

SIZE = 1 << 30
ROUNDS = 5

CONFIG = f"""
default = "zeros"
[commands.zeros]
argv = ["head", "-c", "{SIZE}", "/dev/zero"]
"""


def start(on_exit: ExitStack, folder: Path, state: str) -> str:
    """A daemon with this state folder; returns what to ask for."""
    config = folder / "commands.toml"
    config.write_text(CONFIG)
    twistd = str(Path(sys.executable).with_name("twistd"))
    options = ("--port", "0", "--config", str(config), "--state-dir", state)
    daemon = subprocess.Popen(
        [twistd, "-n", "shellstream", *options], stdout=subprocess.PIPE, text=True
    )
    on_exit.callback(daemon.wait)
    on_exit.callback(daemon.terminate)
    assert daemon.stdout is not None
    for line in daemon.stdout:
        match = re.search(r"curl -N (http://\S+/stream)", line)
        if match is not None:
            return match[1]
    raise AssertionError("the daemon did not start")


def throughput(url: str) -> float:
    """Bytes a second, from the request to the end."""
    began = perf_counter()
    subprocess.run(["curl", "-sfNo", "/dev/null", url], check=True)
    return SIZE / (perf_counter() - began)


def main() -> None:
    """Print both medians in MB/s, and their ratio."""
    with ExitStack() as on_exit:
        folder = Path(on_exit.enter_context(tempfile.TemporaryDirectory()))
        urls = {
            name: start(on_exit, folder, state)
            for name, state in (("disk", str(folder / "state")), ("memory", ":memory:"))
        }
        found: dict[str, list[float]] = {name: [] for name in urls}
        for _ in range(ROUNDS):
            for name, url in urls.items():
                found[name].append(throughput(url))
    disk, memory = median(found["disk"]), median(found["memory"])
    print(f"on disk {disk / 1e6:.0f} MB/s, in memory {memory / 1e6:.0f} MB/s")
    print(f"ratio {disk / memory:.2f} (bound 0.75)")


if __name__ == "__main__":
    main()
