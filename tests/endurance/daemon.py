"""The daemon under test, its configuration, and what it holds."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen

CONFIG = """
[keep]
age = "2 h"
runs = 300

# Seconds of its own clock, 144 of which pass in one of a client.
[http]
header_timeout = 3000
body_timeout = 3000
idle_timeout = 3000
stall_timeout = 36000

[notify.away]
url = "http://127.0.0.1:9/"

[commands.words]
get = true
argv = ["seq", "-f", "line %g", "{{lines}}"]
params.lines = {{ type = "integer", min = 1, max = 100000, default = 10 }}

[commands.fails]
shell = "echo no; exit 3"

[commands.slow]
shell = "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); sleep 0.05; done"

[commands.reads]
argv = ["cat"]
stdin = true

[commands.added-{reloads}]
argv = ["true"]
"""

#: How much a figure may grow from the first half of all samples to the second.
MEMORY, DESCRIPTORS = 4096, 10


@frozen
class Sample:
    """What the daemon holds at the end of an hour."""

    hour: int
    #: Resident, in KiB.
    memory: int
    descriptors: int
    threads: int
    #: In the state folder.
    files: int
    kilobytes: int

    def __str__(self) -> str:
        return (
            f"hour {self.hour:3}: {self.memory} KiB, {self.descriptors} descriptors, "
            f"{self.threads} threads; {self.files} files of {self.kilobytes} KiB;"
        )


def growth(samples: list[Sample]) -> list[str]:
    """
    Say what grew: the most of the second half beside that of the first.

    Each half begins with hours in which the history fills, and has restarts.
    """
    half = len(samples) // 2
    earlier, later = samples[:half], samples[half:]
    faults = []
    for name, more in (
        *(("memory", MEMORY), ("descriptors", DESCRIPTORS), ("threads", 10)),
        *(("files", 50), ("kilobytes", 8192)),
    ):
        before, after = (
            max((getattr(each, name) for each in samples), default=0)
            for samples in (earlier, later)
        )
        if after > before + more:
            faults.append(f"{name} grew from {before} to {after}")
    return faults


@define
class Daemon:
    """One daemon on a port that stays the same over restarts."""

    folder: Path
    speed: int
    port: int = field(init=False)
    _process: asyncio.subprocess.Process = field(init=False)
    _reloads: int = 0

    def __attrs_post_init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self._configure()
        twistd = Path(sys.executable).with_name("twistd")
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
        with open(self.folder / "log", "ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(str(twistd), "-n", "--pidfile=", "shellstream"),
                *("--port", str(self.port), "--config", str(self._config)),
                *("--state-dir", str(self._state)),
                # Its commands do not inherit these.
                env={
                    **os.environ,
                    "LD_PRELOAD": str(library),
                    "FAKETIME": f"+0 x{self.speed}",
                },
                stdout=log,
                stderr=log,
            )
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionRefusedError:
                if self._process.returncode is not None:
                    raise RuntimeError(self._log()) from None
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return

    async def reload(self) -> None:
        """Let it read another configuration."""
        self._configure()
        self._process.send_signal(signal.SIGHUP)

    async def restart(self) -> None:
        """Stop it as a service manager does, and start it again."""
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        """
        End it, with all its runs.

        @raise RuntimeError: if it did not end as it should, with its log.
        """
        if self._process.returncode is None:
            self._process.terminate()
        # twistd ends with the signal that it has caught.
        if (code := await self._process.wait()) != -signal.SIGTERM:
            raise RuntimeError(f"the daemon ended with {code}:\n{self._log()}")

    def sample(self, hour: int) -> Sample:
        """Read what it holds from proc(5) and from its state folder."""
        proc = Path(f"/proc/{self._process.pid}")
        status = dict(
            line.split(":", 1) for line in (proc / "status").read_text().splitlines()
        )
        blocks = []
        for each in self._state.rglob("*"):
            with suppress(FileNotFoundError):  # deleted by the daemon just now
                blocks.append(each.stat().st_blocks)
        return Sample(
            hour,
            memory=int(status["VmRSS"].split()[0]),
            descriptors=len(os.listdir(proc / "fd")),
            threads=int(status["Threads"]),
            files=len(blocks),
            kilobytes=sum(blocks) // 2,
        )

    @property
    def _config(self) -> Path:
        return self.folder / "shellstream.toml"

    @property
    def _state(self) -> Path:
        return self.folder / "state"

    def _configure(self) -> None:
        """Write a configuration that differs from the last one in a command."""
        self._reloads += 1
        self._config.write_text(CONFIG.format(reloads=self._reloads), "utf-8")

    def _log(self) -> str:
        """The end of what the daemon wrote."""
        return (self.folder / "log").read_text("utf-8", "replace")[-4000:]
