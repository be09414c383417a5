"""Twisted without shellstream."""

from tests.benchmarks.client import Get, Source
from tests.benchmarks.peers.base import Kind, Peer
from tests.benchmarks.workloads import Workload


class Twisted(Peer):
    """C{reactor.spawnProcess}; each piece goes to C{request.write}."""

    name = "stock Twisted"
    kind = Kind.HTTP
    shares = True

    def launch(self) -> None:
        self.run_python("twisted_server.py")

    def shared(self, workload: Workload) -> Source:
        return Get(self.port, f"/shared/{workload.name}")
