"""HTTP for the command line."""

from shellstream.client.asyncio_wire import AsyncioWire
from shellstream.client.treq_wire import http_client

from .settings import Settings


def wire_to(where: Settings) -> AsyncioWire:
    """
    What asks this server.

    @raise ClientError: if what it takes to trust each other is not right.
    """
    trust = where.tls()
    policy = None if trust is None else trust.policy()
    return AsyncioWire(lambda reactor: http_client(reactor, policy))
