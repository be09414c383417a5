"""A policy for agents, from certificates: it loads all of TLS."""

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
    @param cacert: authorities to trust, in PEM; those of the system if not given.
    @param cert: the certificate to show, if any.
    @param key: its key, if it is not in C{cert}.
    @param pin: the fingerprint of the only certificate to trust, if that is known.
    @raise ValueError: if one of them does not hold what it should.
    """
    try:
        return _Policy(cacert, cert, key, pin)
    except (SSL.Error, crypto.Error) as error:
        raise ValueError(tls_reason(error)) from None
    except VerifyError as error:  # the key is another's
        raise ValueError(str(error)) from None


@implementer(IPolicyForHTTPS)
class _Policy:
    """Trusts some, and shows a certificate."""

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
        self._shown: PrivateCertificate | None = None
        self._more: dict[str, Any] = {"raiseMinimumTo": TLSVersion.TLSv1_2}
        if cert is not None:
            _, *behind = _certificates(cert)
            self._more["extraCertChain"] = [each.original for each in behind]
            self._shown = PrivateCertificate.loadPEM(
                _block(cert, b"CERTIFICATE") + b"\n" + _key(key or cert)
            )
        self.creatorForNetloc(
            b"localhost", 443
        )  # sees whether the key is the right one

    def creatorForNetloc(
        self, hostname: bytes, port: int
    ) -> IOpenSSLClientConnectionCreator:
        host, more = hostname.decode("ascii"), dict(self._more)  # Twisted adds to it
        if self._pin is None:
            return optionsForClientTLS(
                host,
                trustRoot=self._trusted,
                clientCertificate=self._shown,
                extraCertificateOptions=more,
            )
        if self._shown is not None:
            more["privateKey"] = self._shown.privateKey.original
            more["certificate"] = self._shown.original
        context = CertificateOptions(**more).getContext()
        return FingerprintVerifier(context, host, require_fingerprint(self._pin))


def _block(data: bytes, kind: bytes) -> bytes:
    found = pem_blocks(data, kind)
    if not found:
        raise ValueError(f"there is no {kind.decode().lower()} in PEM")
    return found[0]


def _certificates(data: bytes) -> list[Certificate]:
    _block(data, b"CERTIFICATE")
    return [Certificate.loadPEM(each) for each in pem_blocks(data, b"CERTIFICATE")]


def _key(data: bytes) -> bytes:
    key = _block(data, b"PRIVATE KEY")
    if b"ENCRYPTED" in key:  # or OpenSSL would ask the terminal for its password
        raise ValueError("the key has a password; give one without")
    return key
