"""Certificates that are not trusted, and whose they are."""

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions

from shellstream.client.transport.tls_errors import UntrustedCertificate, tls_reason
from shellstream.client.transport.trust_policy import CertificateVerifier

#: What OpenSSL says of every certificate that it refuses.
_VERIFY_FAILED = "certificate verify failed"


def is_refusal(error: Exception) -> bool:
    """Whether a handshake failed because we do not trust the certificate."""
    if isinstance(error, SSL.Error):
        return tls_reason(error) == _VERIFY_FAILED
    return isinstance(error, UntrustedCertificate)


def accept_any(host: bytes) -> IOpenSSLClientConnectionCreator:
    """Makes connections that accept any certificate, for examination only."""
    context = CertificateOptions().getContext()
    return CertificateVerifier(context, host.decode("ascii"), lambda *found: True)


def issuer(connection: SSL.Connection) -> str:
    """Who issued the server's certificate, whether it is trusted or not."""
    certificate: Any = connection.get_peer_certificate()
    if certificate is None:
        return "unknown"
    try:
        return str(certificate.to_cryptography().issuer.rfc4514_string())
    except ValueError as error:
        return f"unreadable: {error}"
