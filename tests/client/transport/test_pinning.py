"""Tests for C{--pin}: the one certificate to trust, by its fingerprint."""

import hashlib
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet import reactor, ssl
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.iweb import IPolicyForHTTPS
from twisted.web.server import Site
from twisted.web.static import Data
from zope.interface.verify import verifyObject

from shellstream.client import TreqWire, Trust, http_client
from shellstream.client.errors import ConfigError, TLSFailed
from shellstream.client.transport.fingerprint import (
    format_fingerprint,
    parse_fingerprint,
)
from shellstream.security.certificates import self_signed
from tests.support.trust import Files

#: So long ago that a certificate of that time has expired.
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


class DigestTests(SynchronousTestCase):
    """A fingerprint in every form in which programs print it."""

    @given(st.binary(min_size=32, max_size=32), st.booleans())
    def test_forms(self, found: bytes, upper: bool) -> None:
        """The forms of daemons, of OpenSSL and Base64 give the same fingerprint."""
        hexadecimal = found.hex().upper() if upper else found.hex()
        pairs = [hexadecimal[at : at + 2] for at in range(0, 64, 2)]
        base64 = b64encode(found).decode()
        for form in (hexadecimal, ":".join(pairs), base64, base64.rstrip("=")):
            for prefix in ("", "SHA256:", "sha256:"):
                self.assertEqual(parse_fingerprint(prefix + form), found)
        self.assertEqual(parse_fingerprint(format_fingerprint(found)), found)

    @given(st.text(max_size=80))
    def test_others(self, text: str) -> None:
        """Any text becomes 32 bytes or an error."""
        try:
            self.assertEqual(len(parse_fingerprint(text)), 32)
        except ValueError as error:
            self.assertIn("is not a fingerprint", str(error))

    def test_wrong(self) -> None:
        """A fingerprint is never truncated or padded."""
        for text in (
            "",
            "SHA256:",
            "ab" * 31,
            "ab" * 33,
            "xy" * 32,
            "a" * 42,
            "\u0663" * 64,
        ):
            self.assertRaises(ValueError, parse_fingerprint, text)


class TrustTests(SynchronousTestCase):
    """A pin replaces authorities, and allows a client certificate."""

    def setUp(self) -> None:
        self.files = Files(self.mktemp())
        self.pin = format_fingerprint(b"x" * 32)

    def test_right(self) -> None:
        """A pin makes a policy, with and without a client certificate."""
        shown = Trust(cert=self.files.cert, key=self.files.key, pin=self.pin)
        for trust in (Trust(pin=self.pin), shown):
            verifyObject(IPolicyForHTTPS, trust.policy())

    def test_wrong(self) -> None:
        """
        The error for a bad fingerprint, a pin with an authority, or a bad file says
        which.
        """
        for trust, why in (
            (Trust(pin="x"), "'x' is not a fingerprint"),
            (Trust(self.files.ca, pin=self.pin), "exclude each other"),
            (Trust(cert=f"{self.files.cert}x", pin=self.pin), f"{self.files.cert}x"),
        ):
            self.assertIn(why, str(self.assertRaises(ConfigError, trust.policy)))


class PinnedTestCase(TestCase):
    """A server with a certificate that no authority has signed."""

    timeout = 30

    def setUp(self) -> None:
        self.asked: list[bytes] = []
        self.serve(datetime.now(UTC))

    def serve(self, made: datetime) -> None:
        key, certificate = self_signed(["other.test"], made)
        own = ssl.PrivateCertificate.loadPEM(certificate + key)
        self.listen(own.options())
        self.der = own.dump()
        self.pin = hashlib.sha256(self.der).hexdigest()

    def listen(self, options: Any) -> None:
        any_reactor: Any = reactor
        root = Data(b"hello", "text/plain")
        root.isLeaf = True
        site = Site(root)
        site.log = lambda request: self.asked.append(request.uri)  # type: ignore[method-assign]
        port = any_reactor.listenSSL(0, site, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port
        self.url = f"https://127.0.0.1:{self.port}/"

    async def ask(self, trust: Trust, url: str | None = None) -> bytes:
        """Return the server's answer to a client with this trust."""
        wire = TreqWire(reactor, http_client(reactor, trust.policy()))
        answer = await wire.request("GET", url or self.url, {})
        data = await answer.read()
        self.assertEqual(await answer.read(), b"")
        return data

    async def refused(self, trust: Trust) -> str:
        """Why we do not talk to it."""
        try:
            await self.ask(trust)
        except TLSFailed as error:
            self.assertEqual(self.asked, [])
            return str(error)
        raise self.failureException("it was answered")


class PolicyTests(PinnedTestCase):
    """The effect of a pin on a connection."""

    async def test_pinned(self) -> None:
        """The pinned certificate is trusted, whatever its name and date."""
        self.assertEqual(await self.ask(Trust(pin=self.pin)), b"hello")
        named = f"https://localhost:{self.port}/"
        self.assertEqual(await self.ask(Trust(pin=self.pin), named), b"hello")
        self.serve(LONG_AGO)
        self.assertEqual(await self.ask(Trust(pin=self.pin)), b"hello")

    async def test_other(self) -> None:
        """Another certificate is refused before a request; the error shows both."""
        pin = "ab" * 32
        said = await self.refused(Trust(pin=pin))
        self.assertIn(f"its certificate is SHA256:{self.pin}, not SHA256:{pin}", said)
        self.assertIn("may be in between", said)

    async def test_authority_is_no_help(self) -> None:
        """An authority's signature does not help, nor the pinned one behind it."""
        files = Files(self.mktemp())
        behind = ssl.Certificate.load(self.der)
        own = ssl.PrivateCertificate.loadPEM(Path(files.both).read_bytes())
        pin = self.pin
        self.listen(own.options())
        self.assertIn("may be in between", await self.refused(Trust(pin=pin)))
        self.listen(
            ssl.CertificateOptions(
                privateKey=own.privateKey.original,
                certificate=own.original,
                extraCertChain=[behind.original],
            )
        )
        self.assertIn("may be in between", await self.refused(Trust(pin=pin)))

    async def test_shown(self) -> None:
        """The client's certificate is sent to a pinned server."""
        files = Files(self.mktemp())
        authority = ssl.Certificate.loadPEM(Path(files.ca).read_bytes())
        key, certificate = self_signed(["other.test"], datetime.now(UTC))
        own = ssl.PrivateCertificate.loadPEM(certificate + key)
        self.listen(own.options(authority))
        pin = hashlib.sha256(own.dump()).hexdigest()
        trust = Trust(cert=files.cert, key=files.key, pin=pin)
        self.assertEqual(await self.ask(trust), b"hello")

    async def test_old_version(self) -> None:
        """A server without TLS 1.2 is refused, pinned or not."""
        key, certificate = self_signed(["other.test"], datetime.now(UTC))
        own = ssl.PrivateCertificate.loadPEM(certificate + key)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        context.use_certificate(own.original)
        context.use_privatekey(own.privateKey.original)
        context.set_options(SSL.OP_NO_TLSv1_2 | SSL.OP_NO_TLSv1_3)

        class Old(ssl.ContextFactory):
            def getContext(self) -> SSL.Context:
                return context

        self.listen(Old())
        pin = hashlib.sha256(own.dump()).hexdigest()
        for trust in (Trust(pin=pin), Trust()):
            self.assertIn("TLS failed", await self.refused(trust))


class ExplainedTests(PinnedTestCase):
    """The error for an untrusted server shows its fingerprint."""

    async def test_told(self) -> None:
        """The error shows the server's certificate, and what to do."""
        for trust in (Trust(), Trust(Files(self.mktemp()).ca)):
            said = await self.refused(trust)
            self.assertIn(f"SHA256:{self.pin}", said)
            self.assertIn("compare it with what the daemon printed", said)
            self.assertIn("--pin", said)

    async def test_expired(self) -> None:
        """The same for an expired certificate."""
        self.serve(LONG_AGO - timedelta(days=1))
        self.assertIn(f"SHA256:{self.pin}", await self.refused(Trust()))

    async def test_named(self) -> None:
        """The same for a certificate with the right host name."""
        key, certificate = self_signed(["127.0.0.1"], datetime.now(UTC))
        own = ssl.PrivateCertificate.loadPEM(certificate + key)
        self.listen(own.options())
        pin = hashlib.sha256(own.dump()).hexdigest()
        self.assertIn(f"SHA256:{pin}", await self.refused(Trust()))

    async def test_another_host(self) -> None:
        """A valid certificate for another host is reported as that."""
        files = Files(self.mktemp())
        own = ssl.PrivateCertificate.loadPEM(Path(files.both).read_bytes())
        behind = Path(files.cert).read_bytes().split(b"-----BEGIN", 2)[2]
        between = ssl.Certificate.loadPEM(b"-----BEGIN" + behind)
        self.listen(
            ssl.CertificateOptions(
                privateKey=own.privateKey.original,
                certificate=own.original,
                extraCertChain=[between.original],
            )
        )
        self.url = f"https://localhost:{self.port}/"
        said = await self.refused(Trust(files.ca))
        self.assertIn("for another host", said)
        self.assertNotIn("--pin", said)

    async def test_unknown_authority(self) -> None:
        """A certificate of an unknown authority gets no advice to pin."""
        own = ssl.PrivateCertificate.loadPEM(
            Path(Files(self.mktemp()).both).read_bytes()
        )
        self.listen(own.options())
        said = await self.refused(Trust())
        self.assertIn("signed by an authority that is not trusted here", said)
        self.assertNotIn("--pin", said)

    async def test_trusted_for_another_host(self) -> None:
        """A self-signed certificate that is trusted still has to be for its host."""
        path = Path(self.mktemp())
        path.write_bytes(ssl.Certificate.load(self.der).dumpPEM())
        said = await self.refused(Trust(str(path)))
        self.assertIn("for another host", said)
