"""shellstream itself."""

import json
import sqlite3
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import ClassVar

from tests.benchmarks.client import PATIENCE, Get, Source
from tests.benchmarks.peers.base import Kind, Peer
from tests.benchmarks.workloads import Workload


class Shellstream(Peer):
    """In its default configuration: the log on disk, the daemon as users start it."""

    name = "shellstream"
    kind = Kind.OURS
    shares = True
    state: ClassVar[str] = "state"

    def launch(self) -> None:
        config = self.folder / "commands.toml"
        config.write_text(
            "".join(
                f"[commands.{each.name}]\nargv = {json.dumps(each.argv)}\nget = true\n"
                for each in self.workloads
            )
        )
        twistd = str(Path(sys.executable).with_name("twistd"))
        options = ("--port", str(self.port), "--config", str(config))
        self.run(twistd, "-n", "shellstream", *options, "--state-dir", self.state)

    def source(self, workload: Workload) -> Source:
        return Get(self.port, f"/stream/{workload.name}")

    @contextmanager
    def holding_records(self) -> Iterator[None]:
        database = self.folder / self.state / "runs.db"
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    def begin_shared(self, workload: Workload) -> None:
        order = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/runs",
            json.dumps({"command": workload.name}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(order, timeout=PATIENCE) as answer:
            self._run = json.load(answer)["id"]

    def shared(self, workload: Workload) -> Source:
        return Get(self.port, f"/runs/{self._run}/output")


class InMemory(Shellstream):
    """The same without a log on disk, which shows what that costs."""

    name = "shellstream, log in memory"
    state = ":memory:"
    only = frozenset({"binary"})
