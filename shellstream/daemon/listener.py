"""A port that the daemon listens on."""

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import ServerFactory
from twisted.internet.tcp import Port
from twisted.python.failure import Failure
from zope.interface import implementer

from shellstream.config.tls_settings import TLS_PREFIX
from shellstream.web import Site

from .errors import DaemonCannotStart
from .listen_address import ListenAddress
from .unix_socket import is_heard, remove_stale

#: The names of the versions of HTTP that are spoken, the best one first (ALPN).
HTTP_VERSIONS = (b"http/1.1", b"http/1.0")

#: When the kernel gives up on a silent peer: after so many idle seconds it probes,
#: every so many seconds, so many times (tcp(7)).
_KEEPALIVE = {
    socket.TCP_KEEPIDLE: 30,
    socket.TCP_KEEPINTVL: 10,
    socket.TCP_KEEPCNT: 3,
}

#: How many bytes that are not yet on their way the kernel keeps for a connection, of
#: those that its client may have (tcp(7)). Without it that grows to tcp_wmem[2], 4 MiB:
#: some hundreds of clients that read slowly take all memory that the machine has for
#: TCP (tcp_mem), and then the kernel drops packets of others too, for seconds. What is
#: on its way is not counted, so that fast clients far away stay fast.
_UNSENT = 1 << 18


@implementer(IProtocolNegotiationFactory)
class SiteFactory(ServerFactory):
    """
    Gives new connections to the daemon's site.

    Listening comes first, while the daemon may still open a port below 1024; its site
    comes last, when the state is open. The reactor accepts nothing before that.
    """

    noisy = False

    def __init__(self, site: Callable[[], Site]) -> None:
        self._site = site

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._site().buildProtocol(addr)

    def acceptableProtocols(self) -> list[bytes]:
        """
        What Twisted's own C{ssl:} may agree on (ALPN, RFC 7301). Without it Twisted
        ends the handshake of each client that offers protocols, as curl does.
        """
        return list(HTTP_VERSIONS)


@define(eq=False)
class Listener(Service):
    """
    Listens on an endpoint, or stops the daemon with the reason why it cannot.

    L{strports.service} would print a traceback, and does not tell the address.

    @ivar _fingerprint: the fingerprint of the certificate that clients see.
    """

    _description: str
    _endpoint: IStreamServerEndpoint
    _factory: IProtocolFactory
    _fingerprint: Callable[[], str | None] | None = None
    port: IListeningPort | None = field(default=None, init=False)

    def privilegedStartService(self) -> None:
        Service.privilegedStartService(self)
        failure = self._listen()
        if failure is not None:
            error = failure.value
            path = error.port if isinstance(error, CannotListenError) else None
            if isinstance(path, bytes) and remove_stale(path):
                failure = self._listen()
        if failure is not None:
            reason = _reason(self._description, failure)
            raise DaemonCannotStart(f"shellstream: {reason}")

    def _listen(self) -> Failure | None:
        """Begin to listen; why it cannot, if so."""
        failed: list[Failure] = []
        listening = self._endpoint.listen(self._factory)
        # Endpoints of servers fire at once, though they return a Deferred.
        listening.addCallbacks(self._listening, failed.append)
        return failed[0] if failed else None

    def address(self) -> ListenAddress | None:
        """The address that it listens on; L{None} if it does not listen yet."""
        if self.port is None:
            return None
        ours = self._description.startswith(TLS_PREFIX)
        secure = ours or self._description.startswith("ssl:")
        pin = self._fingerprint() if ours and self._fingerprint else None
        return ListenAddress(self.port.getHost(), "https" if secure else "http", pin)

    def stopService(self) -> "Deferred[None] | None":
        Service.stopService(self)
        return None if self.port is None else self.port.stopListening()

    def _listening(self, port: IListeningPort) -> None:
        self.port = port
        if isinstance(port, Port) and port.socket.family != socket.AF_UNIX:
            # The connections that it accepts inherit these options.
            port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE.items():
                port.socket.setsockopt(socket.IPPROTO_TCP, option, value)
            port.socket.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT
            )


def _unix_reason(path: bytes, error: object) -> str:
    where = f"cannot listen on the UNIX socket {os.fsdecode(path)}"
    if os.path.lexists(path) and is_heard(path):
        return f"{where}: another program listens there; stop it, or choose another"
    why = getattr(error, "strerror", None) or error
    if isinstance(error, FileNotFoundError):
        why = "its folder does not exist"
    elif getattr(error, "errno", None) == errno.EADDRINUSE:
        why = "there is a file that is no socket of ours; remove it"
    return f"{where}: {why}; choose another path for --listen unix:PATH"


def _reason(description: str, failure: Failure) -> str:
    error = failure.value
    if isinstance(error, OSError) and error.filename2 is not None:
        # Twisted's lock of a UNIX socket, a symbolic link, cannot be made.
        path = os.fsencode(error.filename2).removesuffix(b".lock")
        return _unix_reason(path, error)
    if not isinstance(error, CannotListenError):
        return f"cannot listen on {description}: {error}"
    if isinstance(error.port, bytes):
        return _unix_reason(error.port, error.socketError)
    where = f"{error.interface}:{error.port}" if error.interface else error.port
    why = getattr(error.socketError, "strerror", None) or error.socketError
    advice = "choose another --port or --interface"
    if isinstance(error.socketError, socket.gaierror):
        advice = "--interface takes an address, such as 0.0.0.0 for all"
    return f"cannot listen on {where}: {why}; {advice}"
