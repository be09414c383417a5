"""Tests for L{shellstream.client.transport.tls_errors}: each error says what to do."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import trustme
from twisted.internet import reactor, ssl
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from shellstream.client import TreqWire, Trust, http_client
from shellstream.client.errors import ClientError, NotHTTP, TLSFailed
from shellstream.client.transport.tls_errors import (
    explain,
    other_host_message,
    refusal_message,
)
from shellstream.security.certificates import self_signed

NOW = datetime.now(UTC)


class Answer(Protocol):
    """A server that answers anything in plain HTTP, or with an alert of TLS."""

    answer = b"HTTP/1.1 400 Bad Request\r\n\r\n"

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self.answer)
        self.transport.loseConnection()


class RefusalTests(TestCase):
    """An error says which of its certificate, its name and its clock is wrong."""

    timeout = 30

    def setUp(self) -> None:
        self.ca = trustme.CA(organization_name="corporate")
        self.cacert = self.mktemp()
        self.ca.cert_pem.write_to_path(self.cacert)

    def listen(self, pem: bytes | None) -> int:
        """Serve on a port, with a certificate and its key, or without TLS."""
        any_reactor: Any = reactor
        factory = Factory.forProtocol(Answer)
        if pem is None:
            port = any_reactor.listenTCP(0, factory, interface="127.0.0.1")
        else:
            options = ssl.PrivateCertificate.loadPEM(pem).options()
            port = any_reactor.listenSSL(0, factory, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def issued(
        self, *names: str, since: datetime | None = None, until: datetime | None = None
    ) -> bytes:
        """A certificate of the authority."""
        issued = self.ca.issue_cert(*names, not_before=since, not_after=until)
        return issued.private_key_and_cert_chain_pem.bytes()

    async def refused(
        self,
        pem: bytes | None,
        *,
        scheme: str = "https",
        trusted: bool = True,
        kind: type[ClientError] = TLSFailed,
    ) -> str:
        """Why a client does not talk to this server."""
        trust = Trust(cacert=self.cacert) if trusted else Trust()
        wire = TreqWire(reactor, http_client(reactor, trust.policy()))
        url = f"{scheme}://127.0.0.1:{self.listen(pem)}/"
        try:
            await wire.request("GET", url, {})
        except kind as error:
            self.assertNotIn("verify failed", str(error))
            return str(error)
        raise self.failureException("it was answered")

    async def test_expired(self) -> None:
        """A certificate that has expired, and what this machine takes the time for."""
        until = NOW - timedelta(days=3)
        since = until - timedelta(days=9)
        pem = self.issued("127.0.0.1", since=since, until=until)
        said = await self.refused(pem)
        self.assertIn(f"has expired at {until:%Y-%m-%d}", said)
        self.assertIn(f"the clock here shows {NOW:%Y}", said)

    async def test_not_yet(self) -> None:
        """A machine without a clock begins in the past."""
        since = NOW + timedelta(days=3)
        said = await self.refused(self.issued("127.0.0.1", since=since))
        self.assertIn(f"is valid only from {since:%Y-%m-%d}", said)
        self.assertIn("set it if it is wrong", said)

    async def test_other_host(self) -> None:
        """The names that would be right are shown."""
        said = await self.refused(self.issued("pi.example", "192.0.2.7"))
        self.assertIn(
            "is for another host: pi.example, 192.0.2.7, not 127.0.0.1; use", said
        )
        self.assertNotIn("--pin", said)

    async def test_authority(self) -> None:
        """An unknown authority is named."""
        said = await self.refused(self.issued("127.0.0.1"), trusted=False)
        self.assertIn("an authority that is not trusted here", said)
        self.assertIn("O=corporate", said)
        self.assertIn("--cacert FILE", said)

    async def test_self_signed(self) -> None:
        """A certificate of a proxy says that it is for another name, too."""
        for names, other in (
            (["nginx.example"], "is for nginx.example, not 127.0.0.1, and is signed"),
            (["127.0.0.1"], ", is signed by no authority"),
        ):
            key, certificate = self_signed(names, NOW)
            said = await self.refused(certificate + key, trusted=False)
            self.assertIn(other, said)
            self.assertIn("the certificate of the proxy in front", said)
            self.assertIn("as --pin", said)

    async def test_no_tls(self) -> None:
        """A server without TLS is asked with http://, and the reverse."""
        said = await self.refused(None)
        self.assertIn("does not speak TLS at this port; try http://", said)
        self.patch(Answer, "answer", b"\x15\x03\x01\x00\x02\x02\x46")
        said = await self.refused(None, scheme="http", kind=NotHTTP)
        self.assertIn("it expects TLS at this port; try https://", said)


class FakeError(Exception):
    """An error as pyOpenSSL has it."""

    def __init__(self, reason: str) -> None:
        super().__init__([("SSL routines", "", reason)])


class TextTests(SynchronousTestCase):
    """Texts of one line, whatever a certificate holds."""

    def test_handshake(self) -> None:
        """OpenSSL's words get a cure where there is one."""
        for reason, cure in (
            ("wrong version number", "try http://"),
            ("tlsv1 alert protocol version", "has no TLS 1.2"),
            ("unsupported protocol", "has no TLS 1.2"),
            ("tlsv13 alert certificate required", "give one as --cert"),
            ("sslv3 alert handshake failure", "give one as --cert"),
            ("tlsv1 alert unknown ca", "does not take the certificate of this client"),
            ("tlsv1 unrecognized name", "no site of this name"),
            ("odd", "odd"),
        ):
            found = explain(FakeError(reason))
            self.assertIn(cure, found)
            self.assertIn(reason, found)

    def test_names(self) -> None:
        """Names of a certificate are bounded, and control no terminal."""
        for names, shown in (
            ((), "it has no subject alternative name), not h; ask"),
            (("a",), "another host: a, not h"),
            ("abcdefg", "another host: a, b, c, d, e, …, not h"),
            (("\x1b[2J",), "another host: \\x1b[2J, not h"),
        ):
            given: Sequence[str] = names
            self.assertIn(shown, other_host_message("h", given))

    def test_others(self) -> None:
        """Other errors are told by their meaning, or at least by their number."""
        for error, why in ((23, "it is revoked"), (999, "verify failed, error 999")):
            self.assertIn(why, refusal_message(error, "h", [], None, b""))
