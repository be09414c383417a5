"""Certificates that are not trusted: whose they are, and why not."""

from typing import Any

from OpenSSL import SSL
from OpenSSL.crypto import X509StoreContext, X509StoreContextError
from service_identity import VerificationError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions

from shellstream.client.transport.fingerprint import UntrustedCertificate
from shellstream.client.transport.tls_errors import tls_reason
from shellstream.client.transport.trust_policy import CertificateVerifier

#: What OpenSSL says of every certificate that it refuses.
_VERIFY_FAILED = "certificate verify failed"


def is_refusal(error: Exception) -> bool:
    """Whether a handshake failed because we do not trust the certificate."""
    if isinstance(error, SSL.Error):
        return tls_reason(error) == _VERIFY_FAILED
    return isinstance(error, UntrustedCertificate | VerificationError)


def accept_any(host: bytes) -> IOpenSSLClientConnectionCreator:
    """Makes connections that accept any certificate, for examination only."""
    context = CertificateOptions().getContext()
    return CertificateVerifier(context, host.decode("ascii"), lambda *found: True)


def explain(problem: str, strict: SSL.Connection, accepting: SSL.Connection) -> str:
    """
    Say more exactly why OpenSSL refused a certificate.

    @param problem: why it was refused.
    @param strict: the connection that it came on, which knows the trusted authorities.
    @param accepting: another connection, which knows the certificates.
    """
    if problem != _VERIFY_FAILED:  # it is for another host, or is not the pinned one
        return problem
    own, *others = accepting.get_peer_cert_chain() or []
    store = strict.get_context().get_cert_store()
    assert store is not None, "it has been used"
    try:
        X509StoreContext(store, own, others).verify_certificate()
    except X509StoreContextError as error:
        return str(error)
    return problem


def issuer(connection: SSL.Connection) -> str:
    """Who issued the server's certificate, whether it is trusted or not."""
    certificate: Any = connection.get_peer_certificate()
    if certificate is None:
        return "unknown"
    try:
        return str(certificate.to_cryptography().issuer.rfc4514_string())
    except ValueError as error:
        return f"unreadable: {error}"
