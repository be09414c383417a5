"""Policies for agents, from certificates. Importing this loads all of TLS."""

import hashlib
import hmac
from collections.abc import Callable
from functools import partial
from typing import Any

from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    TLSVersion,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from .fingerprint import format_fingerprint, pem_blocks
from .tls_errors import (
    UntrustedCertificate,
    mismatch_message,
    other_host_message,
    refusal_message,
    tls_reason,
)

#: What OpenSSL's C{verify_callback} takes of SSL_CTX_set_verify(3): a certificate of
#: the server's chain, an error number, its depth (0 is the server's own, which comes
#: last), and whether OpenSSL trusts it. Returns whether the handshake goes on. May
#: raise L{UntrustedCertificate} to say why it does not.
CertificateCheck = Callable[[crypto.X509, int, int, bool], bool]


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
        # RFC 8996 deprecates older versions.
        self._options: dict[str, Any] = {"raiseMinimumTo": TLSVersion.TLSv1_2}
        if cacert is not None:
            self._options["trustRoot"] = trustRootFromCertificates(
                _certificates(cacert)
            )
        elif pin is None:
            self._options["trustRoot"] = platformTrust()
        if cert is not None:
            _, *chain = _certificates(cert)
            own = PrivateCertificate.loadPEM(
                _block(cert, b"CERTIFICATE") + b"\n" + _key(key or cert)
            )
            self._options["extraCertChain"] = [each.original for each in chain]
            self._options["privateKey"] = own.privateKey.original
            self._options["certificate"] = own.original
            # Finds out now whether the key belongs to the certificate.
            self.creatorForNetloc(b"localhost", 443)

    def creatorForNetloc(
        self, hostname: bytes, port: int
    ) -> IOpenSSLClientConnectionCreator:
        # No certificate has the zone of an address, or the dot of the root.
        host = hostname.decode("ascii").partition("%")[0].removesuffix(".")
        check = partial(_check_authority, host)
        if self._pin is not None:
            check = partial(_check_pin, self._pin)
        context = CertificateOptions(**self._options).getContext()
        return CertificateVerifier(context, host, check)


@implementer(IOpenSSLClientConnectionCreator)
class CertificateVerifier:
    """
    Makes connections that show each certificate to a check of ours.

    Twisted's own C{optionsForClientTLS} keeps the certificate that it refuses to
    itself, and a user needs its fingerprint.
    """

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
            ok: int,
        ) -> bool:
            try:
                return self._check(certificate, error, depth, bool(ok))
            except UntrustedCertificate:
                tls.failVerification(Failure())
                return False

        connection = SSL.Connection(self._context)
        # RFC 6066, section 3, permits no addresses.
        if not _is_address(self._hostname):
            connection.set_tlsext_host_name(self._hostname.encode("ascii"))
        wanted = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        connection.set_verify(wanted, verify)
        return connection


def _check_authority(
    host: str, certificate: crypto.X509, error: int, depth: int, ok: bool
) -> bool:
    """Accept a certificate that OpenSSL trusts and that is for this host."""
    if ok and depth > 0:
        return True
    matches, names = _hosts(certificate, host)
    if not ok:
        shown, found = certificate.to_cryptography(), _fingerprint(certificate)
        names = [host] if matches else names
        why = refusal_message(error, host, names, shown, found)
        own = format_fingerprint(found) if depth == 0 else None
        raise UntrustedCertificate(why, own)
    if not matches:
        own = format_fingerprint(_fingerprint(certificate))
        raise UntrustedCertificate(other_host_message(host, names), own)
    return True


def _hosts(certificate: crypto.X509, host: str) -> tuple[bool, list[str]]:
    """Whether a certificate is for this host, and the hosts that it names."""
    names: list[str] = []
    try:
        patterns = extract_patterns(certificate)
        for each in patterns:
            name = getattr(each, "pattern", None)  # not a URI's
            if name is not None:
                names.append(
                    name.decode("ascii") if isinstance(name, bytes) else str(name)
                )
        service = IPAddress_ID(host) if _is_address(host) else DNS_ID(host)
        verify_service_identity(patterns, [service], [])
    except (ValueError, CertificateError, VerificationError):
        return False, names
    return True, names


def _check_pin(
    pin: bytes, certificate: crypto.X509, error: int, depth: int, ok: bool
) -> bool:
    """Accept this certificate and no other, without authority, name or date."""
    # The others of the chain do not matter.
    if depth == 0 and not hmac.compare_digest(_fingerprint(certificate), pin):
        raise UntrustedCertificate(mismatch_message(pin, _fingerprint(certificate)))
    return True


def _fingerprint(certificate: crypto.X509) -> bytes:
    der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
    return hashlib.sha256(der).digest()


def _is_address(host: str) -> bool:
    return isIPAddress(host) or isIPv6Address(host)


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
