"""TLS in memory: a client of OpenSSL's beside a server protocol of Twisted's."""

from contextlib import suppress
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IProtocolFactory

from tests.support.http import Wire


def client_context(**shown: str) -> SSL.Context:
    """A client that trusts everybody; C{cert} and C{key} are files to show."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if shown:
        context.use_certificate_chain_file(shown["cert"])
        context.use_privatekey_file(shown["key"])
    return context


class Handshake:
    """
    A connection, and what it carries.

    @ivar error: the error of the client, if it was refused.
    """

    def __init__(
        self, factory: IProtocolFactory, context: SSL.Context | None = None
    ) -> None:
        # The server's protocol, as everything in Twisted, has no one type.
        self.server: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        self.transport = Wire()
        self.error: SSL.Error | None = None
        self.client = SSL.Connection(context or client_context(), None)
        self.client.set_connect_state()
        self.server.makeConnection(self.transport)
        for _ in range(4):  # a flight each way, twice, and the last alert
            self.exchange()

    def exchange(self) -> bytes:
        """Deliver the bytes of both sides, and return what the client reads."""
        for step in (self.client.do_handshake, lambda: self.client.recv(1 << 16)):
            try:
                read = b"" if self.error else step()
            except SSL.WantReadError:
                read = b""
            except SSL.Error as error:
                self.error, read = error, b""
            self._deliver()
        return read or b""

    def say(self, data: bytes) -> bytes:
        """Send this, and return the answer."""
        self.client.send(data)
        return self.exchange()

    def _deliver(self) -> None:
        with suppress(SSL.WantReadError):
            self.server.dataReceived(self.client.bio_read(1 << 16))
        if self.transport.value():
            self.client.bio_write(self.transport.value())
            self.transport.clear()
