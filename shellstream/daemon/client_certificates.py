"""Whether the client certificates of open connections are still valid."""

from collections.abc import Iterable
from typing import Any, Protocol

from attrs import define, field
from OpenSSL.crypto import X509, X509Store, X509StoreContext, X509StoreContextError
from OpenSSL.SSL import Connection

from shellstream.model.events import WallClock

#: How many certificates one call verifies anew, after the authorities have changed:
#: some 15 ms of work.
AT_ONCE = 100


class TLSConnection(Protocol):
    """What is needed of L{shellstream.daemon.tls_service.TLSProtocol}."""

    connection: Connection
    transport: Any


@define(eq=False)
class _Shown:
    """
    A certificate that a client has shown.

    @ivar chain: it, and those above it.
    @ivar until: when the first of these expires, in microseconds since 1970; 0 once
        the authority is not trusted any more.
    @ivar verified_by: the store that it was verified with last.
    """

    chain: tuple[X509, ...]
    until: int
    verified_by: X509Store


@define(eq=False)
class ClientCertificates:
    """
    The certificates that clients have shown on their open connections.

    TLS verifies a certificate at the handshake. But a connection may stay open for
    weeks, and meanwhile the certificate expires, or the operator takes its authority
    out of the file.
    """

    _wall_clock: WallClock
    store: X509Store = field(factory=X509Store, init=False)
    _shown: dict[TLSConnection, _Shown] = field(factory=dict, init=False)

    def trust(self, authorities: Iterable[X509]) -> None:
        """From now on only these authorities may sign a certificate."""
        store = X509Store()
        for each in authorities:
            store.add_cert(each)
        self.store = store

    def is_valid(self, client: TLSConnection, verified_by: X509Store) -> bool:
        """
        Whether a client may use its connection. It may without a certificate.

        @param verified_by: the store at the beginning of the connection.
        """
        shown = self._shown.get(client)
        if shown is None:
            shown = _shown(client.connection, verified_by)
            if shown is None:
                return True
            self._shown[client] = shown
        return self._is_valid(shown)

    def discard(self, client: TLSConnection) -> None:
        """A connection has closed."""
        self._shown.pop(client, None)

    def abort_invalid(self) -> None:
        """Reset connections whose certificates are not valid any more."""
        left = AT_ONCE
        for client, shown in tuple(self._shown.items()):
            if shown.verified_by is not self.store:
                left -= 1
            if left >= 0 and not self._is_valid(shown):
                client.transport.abortConnection()

    def _is_valid(self, shown: _Shown) -> bool:
        if shown.until <= self._wall_clock():
            return False
        if shown.verified_by is not self.store:
            shown.verified_by = self.store
            leaf, *above = shown.chain
            try:
                X509StoreContext(self.store, leaf, above).verify_certificate()
            except X509StoreContextError:
                shown.until = 0  # whatever comes later, it ends now
                return False
        return True


def _shown(connection: Connection, verified_by: X509Store) -> _Shown | None:
    leaf = connection.get_peer_certificate()
    if leaf is None:
        return None
    # A connection that resumes a session has its certificate alone.
    chain = connection.get_verified_chain() or [leaf]
    ends = (each.to_cryptography().not_valid_after_utc for each in chain)
    until = min(each.timestamp() for each in ends)
    return _Shown(tuple(chain), int(until * 1_000_000), verified_by)
