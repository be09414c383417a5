"""
All that is measured beside each other, each in a file of its own.

L{Peer} is what metrics know of them; the programs that some need are in
C{tests/benchmarks/servers}.
"""

from .aiohttp import Aiohttp
from .base import Kind, Peer
from .bottle import Bottle
from .gunicorn import Gunicorn
from .lighttpd import Lighttpd
from .limits import BarePipe, DirectSocket
from .nginx import Nginx
from .node import Node
from .openssh import MultiplexedSsh, Ssh
from .ours import InMemory, Shellstream
from .twisted import Twisted
from .uvicorn import Uvicorn
from .websocketd import Websocketd

#: In the order in which tables show them.
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
    "DirectSocket",
    "InMemory",
    "Kind",
    "MultiplexedSsh",
    "Peer",
    "Shellstream",
    "Ssh",
    "Websocketd",
]
