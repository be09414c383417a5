"""
The servers that are compared, each in a file of its own.

L{Peer} is their interface; the programs of some are in C{tests/benchmarks/servers}.
"""

from tests.benchmarks.peers.aiohttp import Aiohttp
from tests.benchmarks.peers.base import Kind, Peer
from tests.benchmarks.peers.bottle import Bottle
from tests.benchmarks.peers.gunicorn import Gunicorn
from tests.benchmarks.peers.lighttpd import Lighttpd
from tests.benchmarks.peers.limits import BarePipe, DirectSocket
from tests.benchmarks.peers.nginx import Nginx
from tests.benchmarks.peers.node import Node
from tests.benchmarks.peers.openssh import MultiplexedSsh, Ssh
from tests.benchmarks.peers.ours import InMemory, Shellstream
from tests.benchmarks.peers.twisted import Twisted
from tests.benchmarks.peers.uvicorn import Uvicorn
from tests.benchmarks.peers.websocketd import Websocketd

#: All peers, in the order of the tables.
PEERS: tuple[type[Peer], ...] = (
    Shellstream,
    InMemory,
    Twisted,
    Bottle,
    Gunicorn,
    Uvicorn,
    Aiohttp,
    Node,
    Nginx,
    Lighttpd,
    Websocketd,
    Ssh,
    MultiplexedSsh,
    DirectSocket,
    BarePipe,
)

__all__ = [
    "PEERS",
    "Aiohttp",
    "Kind",
    "Lighttpd",
    "MultiplexedSsh",
    "Peer",
    "Shellstream",
    "Ssh",
    "Twisted",
]
