"""websocketd."""

from tests.benchmarks.client import Socket, Source
from tests.benchmarks.peers.base import Kind, Peer
from tests.benchmarks.peers.scripts import write_scripts
from tests.benchmarks.workloads import Workload


class Websocketd(Peer):
    """
    One command, or a folder of scripts if there are several.

    Its binary mode sends what it reads; the other is line by line.
    """

    name = "websocketd"
    kind = Kind.OTHER
    programs = ("websocketd",)

    def launch(self) -> None:
        self._binary = any(each.binary for each in self.workloads)
        options = ["--address=127.0.0.1", f"--port={self.port}", "--loglevel=error"]
        if self._binary:
            options.append("--binary=true")
        if len(self.workloads) > 1:
            scripts = write_scripts(self.folder / "scripts", self.workloads)
            options.append(f"--dir={scripts}")
        else:
            options += self.workloads[0].argv
        self.run("websocketd", *options)

    def source(self, workload: Workload) -> Source:
        path = f"/{workload.name}" if len(self.workloads) > 1 else "/"
        return Socket(self.port, path, newline=not self._binary)
