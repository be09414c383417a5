"""The limits: the commands with hardly anything between them and the client."""

from tests.benchmarks.client import Pipe, Source
from tests.benchmarks.peers.base import Kind, Peer
from tests.benchmarks.workloads import Workload


class BarePipe(Peer):
    """No server: a pipe from the command to the client."""

    name = "a bare pipe"
    kind = Kind.LIMIT
    many = False
    measurable = False

    def source(self, workload: Workload) -> Source:
        return Pipe(workload.argv)


class DirectSocket(Peer):
    """A server that gives the command its connection as standard output."""

    name = "the socket itself"
    kind = Kind.LIMIT

    def launch(self) -> None:
        self.run_python("direct_server.py")
