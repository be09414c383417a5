"""Tests for L{shellstream.client.transport.trust}: the effect of its files on TLS."""

import subprocess
from pathlib import Path
from typing import Any

from twisted.internet import reactor, ssl
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.iweb import IPolicyForHTTPS
from twisted.web.server import Site
from twisted.web.static import Data
from zope.interface.verify import verifyObject

from shellstream.client import TreqWire, Trust, http_client
from shellstream.client.errors import ClientError, ConfigError, TLSFailed
from tests.support.trust import Files


class TrustTests(SynchronousTestCase):
    """Files are read, and wrong ones refused, before anything is sent."""

    def setUp(self) -> None:
        self.files = Files(self.mktemp())

    def test_policy(self) -> None:
        """Valid settings make a policy, with and without files."""
        ca, cert, key = self.files.ca, self.files.cert, self.files.key
        for files in ((), (ca,), (ca, cert, key), (None, cert, key)):
            trust = Trust(*files)
            verifyObject(IPolicyForHTTPS, trust.policy())
        verifyObject(IPolicyForHTTPS, Trust(cert=self.files.both).policy())

    def test_wrong(self) -> None:
        """Wrong files are named."""
        ca, cert, key = self.files.ca, self.files.cert, self.files.key
        other = Files(self.mktemp()).key
        for trust, named in (
            (Trust(f"{ca}x"), f"{ca}x: No such file"),
            (Trust(key), key),
            (Trust(cert=key, key=key), key),
            (Trust(cert=cert, key=ca), f"{cert}, {ca}"),
            (Trust(cert=cert, key=other), f"{cert}, {other}"),
            (Trust(cert=cert), cert),
        ):
            error = self.assertRaises(ConfigError, trust.policy)
            self.assertIn(named.partition(":")[0], str(error))
        error = self.assertRaises(ConfigError, Trust(f"{ca}x").policy)
        self.assertIn(f"{ca}x: No such file", str(error))

    def test_password(self) -> None:
        """A key with a password is refused, without a prompt."""
        locked = f"{self.files.key}.locked"
        argv = ["openssl", "pkey", "-aes128", "-passout", "pass:x"]
        argv += ["-in", self.files.key, "-out", locked]
        subprocess.run(argv, check=True)
        trust = Trust(cert=self.files.cert, key=locked)
        error = self.assertRaises(ConfigError, trust.policy)
        self.assertIn("the key has a password", str(error))


class ShownTests(TestCase):
    """The effect of a trust policy on a connection."""

    timeout = 30

    def setUp(self) -> None:
        self.files = Files(self.mktemp())
        both = Path(self.files.both).read_bytes()
        certificate = ssl.PrivateCertificate.loadPEM(both)
        authority = ssl.Certificate.loadPEM(Path(self.files.ca).read_bytes())
        chain = both.split(b"-----BEGIN CERTIFICATE-----")[2:]
        behind = [
            ssl.Certificate.loadPEM(b"-----BEGIN CERTIFICATE-----" + each).original
            for each in chain
        ]
        options = ssl.CertificateOptions(
            privateKey=certificate.privateKey.original,
            certificate=certificate.original,
            extraCertChain=behind,
            trustRoot=ssl.trustRootFromCertificates([authority]),
        )
        any_reactor: Any = reactor
        root = Data(b"hello", "text/plain")
        root.isLeaf = True
        site = Site(root)
        port = any_reactor.listenSSL(0, site, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"https://127.0.0.1:{port.getHost().port}/"

    async def ask(self, trust: Trust) -> bytes:
        """Return the server's answer to a client with this trust."""
        wire = TreqWire(reactor, http_client(reactor, trust.policy()))
        answer = await wire.request("GET", self.url, {})
        data = await answer.read()
        self.assertEqual(await answer.read(), b"")
        return data

    async def test_shown(self) -> None:
        """A certificate is shown with those behind it, and so believed."""
        trust = Trust(self.files.ca, self.files.cert, self.files.key)
        self.assertEqual(await self.ask(trust), b"hello")

    async def test_not_shown(self) -> None:
        """A server that asks for a certificate refuses clients without one."""
        other = Files(self.mktemp())
        for trust in (
            Trust(self.files.ca),
            Trust(other.ca, self.files.cert, self.files.key),
        ):
            try:
                await self.ask(trust)
            except ClientError as error:
                self.assertIs(type(error), TLSFailed, str(error))
            else:
                self.fail("it was answered")
