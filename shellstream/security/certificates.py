"""Names and fingerprints of certificates, and a self-signed one."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from ipaddress import ip_address

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL.crypto import X509

#: The validity of a self-signed certificate. It is long because clients pin the
#: certificate: like a host key of ssh(1), it is not safer when it expires.
OWN_CERTIFICATE_LIFETIME = timedelta(days=3650)

#: How far a client's clock may be behind.
_SKEW = timedelta(days=1)


@frozen
class Identity:
    """
    What a certificate says of its owner.

    @ivar names: the subject as RFC 4514 writes it (C{CN=ann,O=x}), and subject
        alternative names with their kind (C{DNS:}, C{email:} or C{URI:}), as the
        configuration has them. A subject has a C{=} before any colon, so that none
        looks like one of the others.
    @ivar not_after: the end of its validity (UTC).
    """

    names: tuple[str, ...]
    not_after: datetime


_KINDS = {
    x509.DNSName: "DNS",
    x509.RFC822Name: "email",
    x509.UniformResourceIdentifier: "URI",
}


def identity_of(certificate: X509 | x509.Certificate) -> Identity:
    """
    The identity in a certificate that TLS has verified.

    @raise ValueError: if it has content that RFC 5280 does not allow.
    """
    try:
        if isinstance(certificate, X509):
            certificate = certificate.to_cryptography()
        subject = certificate.subject.rfc4514_string()
        names = [subject] if subject else []
        names += _alternatives(certificate.extensions)
        return Identity(tuple(names), certificate.not_valid_after_utc)
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from None


def _alternatives(extensions: x509.Extensions) -> Iterator[str]:
    try:
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return
    for name in found.value:
        # Other kinds, such as IP addresses, name machines rather than users.
        if type(name) in _KINDS:
            yield f"{_KINDS[type(name)]}:{name.value}"


def fingerprint(certificate: x509.Certificate) -> str:
    """
    The SHA-256 of a certificate's DER, in hexadecimal digits, as browsers and
    C{openssl x509 -fingerprint -sha256} show it.
    """
    der = certificate.public_bytes(serialization.Encoding.DER)
    return f"SHA256:{hashlib.sha256(der).hexdigest()}"


def self_signed(names: Iterable[str], now: datetime) -> tuple[bytes, bytes]:
    """
    Create a key (EC, P-256) and a certificate for it, both in PEM.

    @param names: host names and IP addresses; the first becomes the common name. Others
        are left out.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    hosts = list(filter(None, map(_host, dict.fromkeys(names))))
    # The common name has at most 64 characters (RFC 5280, appendix A.1).
    common = str(hosts[0].value)[:64] if hosts else "shellstream"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + OWN_CERTIFICATE_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(_SIGNS_ONLY, True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), False)
    return (
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
    )


_SIGNS_ONLY = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _host(name: str) -> x509.GeneralName | None:
    with suppress(ValueError):  # an address may have a zone, as fe80::1%eth0
        return x509.IPAddress(ip_address(name.partition("%")[0]))
    return x509.DNSName(name) if name and name.isascii() else None
