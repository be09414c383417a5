"""Tests for L{shellstream.client.doctor.probe_client}, by servers on the reactor."""

from typing import Any

import trustme
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.trial.unittest import TestCase

from shellstream import __version__
from shellstream.client.doctor.exchange import Ending, Exchange
from shellstream.client.doctor.probe_client import ProbeClient
from shellstream.client.errors import CannotConnect, NoSuchHost, TLSFailed
from shellstream.client.transport.trust import Trust

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class PieceServer(Protocol):
    """Sends pieces, each in a turn of the reactor of its own, then closes."""

    def __init__(self, test: "AskTests", pieces: tuple[bytes, ...], stay: bool) -> None:
        self.test = test
        self.pieces = list(pieces)
        self.stay = stay

    def dataReceived(self, data: bytes) -> None:
        self.test.heard += data
        # A TLS handshake has no line to wait for the end of.
        if data.startswith(b"\x16") or self.test.heard.endswith(b"\r\n\r\n"):
            self.send()

    def send(self) -> None:
        if self.pieces:
            self.transport.write(self.pieces.pop(0))
            reactor.callLater(0, self.send)
        elif not self.stay:
            self.transport.loseConnection()

    def connectionLost(self, reason: object = None) -> None:
        self.test.disconnected.callback(None)


class AskTests(TestCase):
    """A server that answers piece by piece is asked."""

    heard = b""

    async def ask(
        self,
        *pieces: bytes,
        scheme: str = "http",
        timeout: float = 60,
        secrets: dict[str, str] = {},
        **given: Any,
    ) -> Exchange:
        """Ask a server that sends these, and then closes unless we do."""
        self.heard = b""
        self.disconnected: Deferred[None] = Deferred()
        serving: Any = Factory.forProtocol(
            lambda: PieceServer(self, pieces, timeout < 1)
        )
        port = reactor.listenTCP(0, serving, interface="127.0.0.1")
        url = f"{scheme}://127.0.0.1:{port.getHost().port}/a/b"
        try:
            client = ProbeClient(reactor, secrets=secrets)
            return await client.ask(url, timeout, **given)
        finally:
            await self.disconnected
            await maybeDeferred(port.stopListening)

    async def test_request(self) -> None:
        """The request is that of a client, with a query and the offered coding."""
        secrets = {"Authorization": "Bearer x"}
        await self.ask(CHUNKED + b"0\r\n\r\n", query="count=1", secrets=secrets)
        first, *lines = self.heard.decode().split("\r\n")
        self.assertEqual(first, "GET /a/b?count=1 HTTP/1.1")
        headers = dict(line.split(": ") for line in lines if line)
        self.assertTrue(headers.pop("Host").startswith("127.0.0.1:"))
        expected = {
            "User-Agent": f"shellstream/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Authorization": "Bearer x",
        }
        self.assertEqual(headers, expected)
        await self.ask(CHUNKED + b"0\r\n\r\n", gzip=True)
        self.assertIn(b"\r\nAccept-Encoding: gzip\r\n", self.heard)

    async def test_whole(self) -> None:
        """An exchange ends with its response, before the connection does."""
        found = await self.ask(CHUNKED, b"3\r\none\r\n", b"0\r\n\r\n")
        self.assertEqual((found.sample, found.ending), (b"one", Ending.WHOLE))
        self.assertLessEqual(found.requested, found.ended)
        self.assertIsNone(found.certificate)

    async def test_endings(self) -> None:
        """A close is an end or a cut; a response that takes too long is overdue."""
        found = await self.ask(b"HTTP/1.0 200 OK\r\n\r\n", b"one")
        self.assertEqual((found.sample, found.ending), (b"one", Ending.CLOSED))
        self.assertEqual((await self.ask(CHUNKED)).ending, Ending.CUT)
        found = await self.ask(CHUNKED, timeout=0.05)
        self.assertEqual(found.ending, Ending.OVERDUE)
        found = await self.ask()
        self.assertEqual((found.answered, found.ending), (None, Ending.CUT))

    async def test_no_http(self) -> None:
        """What is no HTTP is recorded, with the reason."""
        found = await self.ask(b"SSH-2.0-OpenSSH_9\r\n")
        self.assertEqual((found.answered, found.ending), (None, Ending.MALFORMED))
        self.assertIn("Expected HTTP/", found.problem or "")

    async def test_no_tls(self) -> None:
        """A server that does not speak TLS is an error."""
        answer = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        asking = Deferred.fromCoroutine(self.ask(answer, scheme="https"))
        await self.assertFailure(asking, TLSFailed)

    async def test_not_there(self) -> None:
        """An unknown host and a closed port are errors."""
        for url, kind in (
            ("http://nobody.invalid/", NoSuchHost),
            ("http://127.0.0.1:1/", CannotConnect),
        ):
            asking = Deferred.fromCoroutine(ProbeClient(reactor).ask(url, 5))
            await self.assertFailure(asking, kind)


class EchoServer(Protocol):
    """A server that answers with the request."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n" + data)
        self.transport.loseConnection()


class CertificateTests(TestCase):
    """A server is examined whether its certificate is trusted or not."""

    async def ask(self, trust: Trust, name: str = "127.0.0.1") -> Exchange:
        """Ask, with a secret, a server whose certificate is for this host."""
        authority = trustme.CA(organization_name="corporate")
        if trust.cacert is not None:
            cacert = self.mktemp()
            authority.cert_pem.write_to_path(cacert)
            trust = trust._replace(cacert=cacert)
        pem = authority.issue_cert(name).private_key_and_cert_chain_pem.bytes()
        options = PrivateCertificate.loadPEM(pem).options()
        factory: Any = Factory.forProtocol(EchoServer)
        port = reactor.listenSSL(0, factory, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        secrets = {"Authorization": "Bearer secret"}
        client = ProbeClient(reactor, trust.policy(), secrets)
        return await client.ask(f"https://127.0.0.1:{port.getHost().port}/", 60)

    async def test_trusted(self) -> None:
        """A trusted server gets the secrets."""
        found = await self.ask(Trust(cacert="its own"))
        self.assertIn(b"Bearer secret", found.sample)
        assert found.certificate is not None
        self.assertIsNone(found.certificate.problem)
        self.assertIn("corporate", found.certificate.issuer)

    async def test_untrusted(self) -> None:
        """An untrusted server is not, and the certificate says why."""
        pinned = Trust(pin="ab" * 32)
        for trust, name, problem in (
            (Trust(), "127.0.0.1", "an authority that is not trusted here"),
            (Trust(cacert="its own"), "example.org", "for another host"),
            (pinned, "127.0.0.1", f"not SHA256:{'ab' * 32} as pinned"),
        ):
            found = await self.ask(trust, name)
            self.assertTrue(found.sample.startswith(b"GET / HTTP/1.1\r\n"), problem)
            self.assertNotIn(b"secret", found.sample)
            assert found.certificate is not None
            self.assertIn(problem, found.certificate.problem or "")
            self.assertIn("corporate", found.certificate.issuer)
