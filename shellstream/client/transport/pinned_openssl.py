"""Certificates known by their fingerprints. Importing this loads all of TLS."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL, crypto
from service_identity import VerificationError
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed
from zope.interface import implementer

from .fingerprint import UntrustedCertificate, mismatch_message, self_signed_message
from .tls_errors import tls_reason
from .wire import CONNECT_TIMEOUT

#: C{X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT} of OpenSSL's C{x509_vfy.h}.
_SELF_SIGNED = 18

#: Takes the fingerprint of a server's certificate and OpenSSL's error number for it (0
#: for no error); raises L{UntrustedCertificate} to refuse the server.
CertificateCheck = Callable[[bytes, int], None]


def require_fingerprint(pin: bytes) -> CertificateCheck:
    """Accept this certificate, and no other."""

    def check(found: bytes, error: int) -> None:
        if not hmac.compare_digest(found, pin):
            raise UntrustedCertificate(mismatch_message(pin, found))

    return check


@implementer(IOpenSSLClientConnectionCreator)
class FingerprintVerifier:
    """Trusts a server by its fingerprint alone, without authority, name or date."""

    def __init__(
        self, context: SSL.Context, hostname: str, check: CertificateCheck
    ) -> None:
        self._context = context
        self._hostname = hostname
        self._check = check

    def clientConnectionForTLS(self, tls: TLSMemoryBIOProtocol) -> SSL.Connection:
        def verify(
            connection: SSL.Connection,
            certificate: crypto.X509,
            error: int,
            depth: int,
            fine: int,
        ) -> bool:
            # OpenSSL calls this for each certificate of the chain, the server's own
            # last (SSL_CTX_set_verify(3)); the others do not matter.
            if depth:
                return True
            der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
            try:
                self._check(hashlib.sha256(der).digest(), error)
            except UntrustedCertificate:
                tls.failVerification(Failure())
                return False
            return True

        connection = SSL.Connection(self._context)
        if not (isIPAddress(self._hostname) or isIPv6Address(self._hostname)):
            connection.set_tlsext_host_name(self._hostname.encode("ascii"))
        wanted = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        connection.set_verify(wanted, verify)
        return connection


def explain_refusal(
    failure: Failure, hostname: str, tcp: IStreamClientEndpoint, reactor: Any
) -> "Failure | Deferred[Failure]":
    """
    Replace the error for a server whose certificate is self-signed with one that names
    its fingerprint.

    OpenSSL does not tell which certificate it refused, so one more connection reads it,
    and ends in the handshake, before anything is sent.
    """
    if not _is_unverified(failure.value):
        return failure

    def explain(found: bytes | None) -> Failure:
        if found is None:
            return failure
        return Failure(
            ResponseFailed([Failure(UntrustedCertificate(self_signed_message(found)))])
        )

    reading = Deferred.fromCoroutine(_read_self_signed(hostname, tcp, reactor))
    reading.addTimeout(CONNECT_TIMEOUT, reactor)
    return reading.addCallbacks(explain, lambda _: failure)


def _is_unverified(error: BaseException | None) -> bool:
    if isinstance(error, SSL.Error):
        return tls_reason(error) == "certificate verify failed"
    if isinstance(error, VerificationError):  # the name of the host differs
        return True
    reasons = getattr(error, "reasons", None) or ()
    return any(_is_unverified(reason.value) for reason in reasons)


async def _read_self_signed(
    hostname: str, tcp: IStreamClientEndpoint, reactor: Any
) -> bytes | None:
    """The fingerprint of a server's certificate, if it is self-signed."""
    seen: list[bytes] = []

    def check(found: bytes, error: int) -> None:
        if error == _SELF_SIGNED:
            seen.append(found)
        raise UntrustedCertificate("only its fingerprint was needed")

    creator = FingerprintVerifier(CertificateOptions().getContext(), hostname, check)
    factory = Factory.forProtocol(_Discard)
    factory.noisy = False
    tls = TLSMemoryBIOFactory(creator, True, factory, reactor)
    connection: Any = await tcp.connect(tls)
    await connection.wrappedProtocol.closed
    return seen[0] if seen else None


class _Discard(Protocol):
    """A connection that sends nothing, and waits for its end."""

    def __init__(self) -> None:
        self.closed: Deferred[None] = Deferred(self._abort)

    def _abort(self, closed: "Deferred[None]") -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def connectionMade(self) -> None:
        """Send nothing."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.closed.called:
            self.closed.callback(None)
