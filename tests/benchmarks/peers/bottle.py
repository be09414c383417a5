"""Bottle on its default server."""

import re
import sys

from tests.benchmarks.client import Get, Source
from tests.benchmarks.content import Content
from tests.benchmarks.peers.base import SERVERS, Kind, Peer
from tests.benchmarks.workloads import Workload

SERVER = SERVERS.parents[1] / "interop" / "bottle_server.py"


class Bottle(Peer):
    """
    wsgiref, which serves one client at a time; there is a server for each command.

    It sends C{\\r\\n} after each line, and more of them until the process has
    exited; it loses what the command writes between its last read and that moment.
    """

    name = "Bottle, the original"
    kind = Kind.HTTP
    packages = ("bottle",)
    concurrent = False
    many = False
    lossy = True

    def launch(self) -> None:
        self._ports: dict[str, int] = {}

    def source(self, workload: Workload) -> Source:
        if workload.name not in self._ports:
            log = self.folder / f"{workload.name}.log"
            self.run(sys.executable, str(SERVER), workload.shell, log=log.name)
            self.wait_for(lambda: b"http://" in log.read_bytes())
            (port,) = re.findall(r"http://127.0.0.1:(\d+)", log.read_text())
            self._ports[workload.name] = self.port = int(port)
            self.wait()
        return Get(self._ports[workload.name], "/stream")

    def sent(self, content: Content) -> Content:
        return content.altered(lambda block: block.replace(b"\n", b"\n\r\n"))
