"""Policies for agents, from certificates. Importing this loads all of TLS."""

from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    TLSVersion,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from .fingerprint import pem_blocks
from .pinned_openssl import FingerprintVerifier, require_fingerprint
from .tls_errors import tls_reason


def make_policy(
    cacert: bytes | None,
    cert: bytes | None,
    key: bytes | None,
    pin: bytes | None = None,
) -> IPolicyForHTTPS:
    """
    Make a policy.

    @param cacert: authorities to trust, in PEM; by default those of the system.
    @param cert: this client's certificate, in PEM.
    @param key: its key, if it is not in C{cert}.
    @param pin: the fingerprint of the only certificate to trust.
    @raise ValueError: if one of them is malformed.
    """
    try:
        return _Policy(cacert, cert, key, pin)
    except (SSL.Error, crypto.Error) as error:
        raise ValueError(tls_reason(error)) from None
    except VerifyError as error:  # the key is of another certificate
        raise ValueError(str(error)) from None


@implementer(IPolicyForHTTPS)
class _Policy:
    """Trusts certificates, and has one of its own."""

    def __init__(
        self,
        cacert: bytes | None,
        cert: bytes | None,
        key: bytes | None,
        pin: bytes | None,
    ) -> None:
        self._pin = pin
        self._trusted: Any = platformTrust()
        if cacert is not None:
            self._trusted = trustRootFromCertificates(_certificates(cacert))
        self._own: PrivateCertificate | None = None
        # RFC 8996 deprecates older versions.
        self._options: dict[str, Any] = {"raiseMinimumTo": TLSVersion.TLSv1_2}
        if cert is not None:
            _, *chain = _certificates(cert)
            self._options["extraCertChain"] = [each.original for each in chain]
            self._own = PrivateCertificate.loadPEM(
                _block(cert, b"CERTIFICATE") + b"\n" + _key(key or cert)
            )
        # Finds out now whether the key belongs to the certificate.
        self.creatorForNetloc(b"localhost", 443)

    def creatorForNetloc(
        self, hostname: bytes, port: int
    ) -> IOpenSSLClientConnectionCreator:
        host, options = (
            hostname.decode("ascii"),
            dict(self._options),
        )  # Twisted adds to it
        if self._pin is None:
            return optionsForClientTLS(
                host,
                trustRoot=self._trusted,
                clientCertificate=self._own,
                extraCertificateOptions=options,
            )
        if self._own is not None:
            options["privateKey"] = self._own.privateKey.original
            options["certificate"] = self._own.original
        context = CertificateOptions(**options).getContext()
        return FingerprintVerifier(context, host, require_fingerprint(self._pin))


def _block(data: bytes, kind: bytes) -> bytes:
    found = pem_blocks(data, kind)
    if not found:
        raise ValueError(f"it holds no {kind.decode().lower()} in PEM")
    return found[0]


def _certificates(data: bytes) -> list[Certificate]:
    _block(data, b"CERTIFICATE")
    return [Certificate.loadPEM(each) for each in pem_blocks(data, b"CERTIFICATE")]


def _key(data: bytes) -> bytes:
    key = _block(data, b"PRIVATE KEY")
    if b"ENCRYPTED" in key:  # OpenSSL would ask the terminal for its password
        raise ValueError("the key has a password; give one without")
    return key
