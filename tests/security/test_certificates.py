"""Tests for L{shellstream.security.certificates}: the names of certificates."""

import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import crypto
from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.certificates import (
    OWN_CERTIFICATE_LIFETIME,
    fingerprint,
    identity_of,
    self_signed,
)

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def load(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def certificate(
    subject: x509.Name, alternatives: list[x509.GeneralName]
) -> x509.Certificate:
    """Make a certificate with these names."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    if alternatives:
        more = x509.SubjectAlternativeName(alternatives)
        builder = builder.add_extension(more, False)
    return builder.sign(key, hashes.SHA256())


class NamesTests(SynchronousTestCase):
    """The names that a certificate carries, each with its kind."""

    def test_names(self) -> None:
        """The subject first, then hosts, addresses of people and URIs."""
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ann, Inc."),
                x509.NameAttribute(NameOID.COMMON_NAME, "ann"),
            ]
        )
        found = identity_of(
            certificate(
                subject,
                [
                    x509.DNSName("ann.example"),
                    x509.RFC822Name("ann@example.org"),
                    x509.IPAddress(ip_address("192.0.2.1")),
                    x509.UniformResourceIdentifier("spiffe://example/ann"),
                ],
            )
        )
        expected = [
            "CN=ann,O=Ann\\, Inc.",
            "DNS:ann.example",
            "email:ann@example.org",
            "URI:spiffe://example/ann",
        ]
        self.assertEqual([str(name) for name in found.names], expected)
        self.assertEqual(found.names[1], "DNS:ann.example")
        self.assertEqual(found.not_after, NOW + timedelta(days=1))

    def test_none(self) -> None:
        """A certificate need not carry any."""
        self.assertEqual(identity_of(certificate(x509.Name([]), [])).names, ())

    def test_of_connection(self) -> None:
        """A certificate from a Twisted connection is accepted too."""
        authority = trustme.CA()
        issued = authority.issue_cert("ann@example.org", common_name="ann")
        pem = issued.cert_chain_pems[0].bytes()
        peer = crypto.load_certificate(crypto.FILETYPE_PEM, pem)
        self.assertEqual(identity_of(peer), identity_of(load(pem)))
        self.assertIn("email:ann@example.org", identity_of(peer).names)

    def test_malformed(self) -> None:
        """A malformed certificate has no identity."""
        odd = x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")
        self.assertEqual(identity_of(certificate(x509.Name([]), [odd])).names, ())
        good = certificate(x509.Name([]), [x509.DNSName("ann.example")])
        der = good.public_bytes(serialization.Encoding.DER)
        bad = der.replace(b"ann.example", b"ann.\xff\xfeample")
        self.assertRaises(ValueError, identity_of, x509.load_der_x509_certificate(bad))


class SelfSignedTests(SynchronousTestCase):
    """A certificate that no authority has signed."""

    def setUp(self) -> None:
        hosts = ["vm", "vm.local", "127.0.0.1", "fe80::1%eth0", "", "h\xf6st", "vm"]
        self.key, self.pem = self_signed(hosts, NOW)
        self.certificate = load(self.pem)

    def test_names(self) -> None:
        """The certificate holds all valid names and addresses, once each."""
        extensions = self.certificate.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["vm", "vm.local"])
        self.assertEqual(
            [str(each) for each in names.get_values_for_type(x509.IPAddress)],
            ["127.0.0.1", "fe80::1"],
        )
        self.assertEqual(identity_of(self.certificate).names[0], "CN=vm")

    def test_nameless(self) -> None:
        """A machine without a name gets a certificate too."""
        found = load(self_signed([], NOW)[1])
        self.assertEqual(identity_of(found).names[0], "CN=shellstream")

    def test_long_name(self) -> None:
        """A host's name may be longer than a common name."""
        name = ".".join(["a" * 60] * 4)
        self.assertIn(
            f"DNS:{name}",
            identity_of(load(self_signed([name], NOW)[1])).names,
        )

    def test_valid(self) -> None:
        """
        The certificate lasts ten years, and is valid where clocks are a little behind.
        """
        found = self.certificate
        self.assertEqual(found.not_valid_after_utc, NOW + OWN_CERTIFICATE_LIFETIME)
        self.assertLess(found.not_valid_before_utc, NOW - timedelta(hours=1))

    def test_key(self) -> None:
        """Its key is on P-256, belongs to it, and is another each time."""
        key = serialization.load_pem_private_key(self.key, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.assertEqual(key.curve.name, "secp256r1")
        self.assertEqual(key.public_key(), self.certificate.public_key())
        self.assertNotEqual(self_signed(["vm"], NOW)[0], self.key)

    def test_no_authority(self) -> None:
        """The certificate cannot sign others."""
        extensions = self.certificate.extensions
        basic = extensions.get_extension_for_class(x509.BasicConstraints)
        self.assertFalse(basic.value.ca)
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        self.assertFalse(usage.key_cert_sign)

    def test_fingerprint(self) -> None:
        """The fingerprint is the SHA-256 of the DER."""
        der = ssl.PEM_cert_to_DER_cert(self.pem.decode())
        expected = f"SHA256:{hashlib.sha256(der).hexdigest()}"
        self.assertEqual(fingerprint(self.certificate), expected)
