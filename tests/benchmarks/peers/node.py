"""Node."""

from tests.benchmarks.client import Get, Source
from tests.benchmarks.peers.base import SERVERS, Kind, Peer
from tests.benchmarks.workloads import Workload


class Node(Peer):
    """The child's output, piped into the response."""

    name = "Node"
    kind = Kind.HTTP
    programs = ("node",)
    shares = True

    def launch(self) -> None:
        self.run("node", str(SERVERS / "node.js"), str(self.port), self.commands())

    def shared(self, workload: Workload) -> Source:
        return Get(self.port, f"/shared/{workload.name}")
