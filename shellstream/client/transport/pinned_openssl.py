"""One certificate that is known by its fingerprint: it loads all of TLS."""

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
    """Whoever shows this certificate, and nobody else."""

    def judge(found: bytes, error: int) -> None:
        if not hmac.compare_digest(found, pin):
            raise UntrustedCertificate(mismatch_message(pin, found))

    return judge


@implementer(IOpenSSLClientConnectionCreator)
class FingerprintVerifier:
    """Who answers is who shows the right certificate: no authority, name or date."""

    def __init__(
        self, context: SSL.Context, hostname: str, judge: CertificateCheck
    ) -> None:
        self._context = context
        self._hostname = hostname
        self._judge = judge

    def clientConnectionForTLS(self, tls: TLSMemoryBIOProtocol) -> SSL.Connection:
        def verify(
            connection: SSL.Connection,
            certificate: crypto.X509,
            error: int,
            depth: int,
            fine: int,
        ) -> bool:
            # OpenSSL asks for each certificate, for the server's own in the end
            # (SSL_CTX_set_verify(3)); those behind it are of no account.
            if depth:
                return True
            der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
            try:
                self._judge(hashlib.sha256(der).digest(), error)
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
    Say more of why a server is not trusted, if its certificate is signed by itself.

    OpenSSL does not tell whose certificate it refused, so one more connection looks
    at it; it carries nothing, and ends before it begins.
    """
    if not _is_unverified(failure.value):
        return failure

    def looked(found: bytes | None) -> Failure:
        if found is None:
            return failure
        return Failure(
            ResponseFailed([Failure(UntrustedCertificate(self_signed_message(found)))])
        )

    looking = Deferred.fromCoroutine(_look(hostname, tcp, reactor))
    looking.addTimeout(CONNECT_TIMEOUT, reactor)
    return looking.addCallbacks(looked, lambda _: failure)


def _is_unverified(error: BaseException | None) -> bool:
    if isinstance(error, SSL.Error):
        return tls_reason(error) == "certificate verify failed"
    if isinstance(error, VerificationError):  # it is for another host, too
        return True
    reasons = getattr(error, "reasons", None) or ()
    return any(_is_unverified(reason.value) for reason in reasons)


async def _look(
    hostname: str, tcp: IStreamClientEndpoint, reactor: Any
) -> bytes | None:
    """The fingerprint of a server's certificate, if that is signed by itself."""
    seen: list[bytes] = []

    def judge(found: bytes, error: int) -> None:
        if error == _SELF_SIGNED:
            seen.append(found)
        raise UntrustedCertificate("it was only to be looked at")

    creator = FingerprintVerifier(CertificateOptions().getContext(), hostname, judge)
    factory = Factory.forProtocol(_Looking)
    factory.noisy = False
    tls = TLSMemoryBIOFactory(creator, True, factory, reactor)
    connection: Any = await tcp.connect(tls)
    await connection.wrappedProtocol.over
    return seen[0] if seen else None


class _Looking(Protocol):
    """A connection that is not meant to last."""

    def __init__(self) -> None:
        self.over: Deferred[None] = Deferred(self._leave)

    def _leave(self, over: "Deferred[None]") -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def connectionMade(self) -> None:
        """Nothing is said."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.over.called:
            self.over.callback(None)
