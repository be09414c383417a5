"""Tests for L{shellstream.daemon.tls_service}: the certificate that clients get."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from attrs import evolve
from OpenSSL import SSL
from twisted.application.service import IService
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from shellstream.config.loader import DEMO
from shellstream.config.tls_settings import TLS, ClientCertificate, Minimum
from shellstream.daemon.client_certificates import AT_ONCE
from shellstream.daemon.listener import SiteFactory
from shellstream.daemon.tls_service import POLL_INTERVAL, TLSService
from shellstream.security.certificates import fingerprint, identity_of
from shellstream.storage.tls_files import TLSFileUnusable, read_certified_key
from shellstream.web import Site
from shellstream.web.server.authentication import REVOCATION_INTERVAL
from shellstream.web.server.channel import LINGER
from tests.support.handshakes import Handshake, client_context
from tests.support.http import NoContent, Wire


class Echo(Protocol):
    """A server that echoes the client's bytes and certificate."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class TLSTestCase(SynchronousTestCase):
    """A daemon's TLS, and files for it."""

    def setUp(self) -> None:
        self.clock, self.now = Clock(), 10**15
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.authority = trustme.CA()
        self.ca = str(self.folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        self.cert, self.key = self.issue("server")

    def issue(self, name: str, authority: trustme.CA | None = None) -> tuple[str, str]:
        """The names of a new certificate's files."""
        issued = (authority or self.authority).issue_cert(f"{name}.test")
        cert, key = (str(self.folder / f"{name}.{end}") for end in ("pem", "key"))
        issued.cert_chain_pems[0].write_to_path(cert)
        issued.private_key_pem.write_to_path(key)
        return cert, key

    def start(
        self, settings: TLS | None = None, folder: Path | None = None
    ) -> TLSService:
        """A service that has started."""
        settings = settings or TLS(certificate=self.cert, key=self.key)
        service = TLSService(
            settings, lambda: folder, lambda: ["vm"], self.clock, lambda: self.now
        )
        service.privilegedStartService()
        service.startService()
        if service.running:
            self.addCleanup(service.stopService)
        self.factory = service.wrap(Factory.forProtocol(Echo))
        return service

    def accept(self, factory: IProtocolFactory | None = None) -> tuple[Any, Wire]:
        """Return a connection without traffic, and its wire."""
        address = IPv4Address("TCP", "127.0.0.1", 1)
        protocol, wire = (factory or self.factory).buildProtocol(address), Wire()
        assert protocol is not None
        protocol.makeConnection(wire)
        return protocol, wire

    def connect(self, context: SSL.Context | None = None) -> Handshake:
        """Return a client whose handshake has succeeded or failed."""
        return Handshake(self.factory, context)

    def shown(self) -> str:
        """The fingerprint of the certificate that a new client sees."""
        certificate = self.connect().client.get_peer_certificate()
        assert certificate is not None
        return fingerprint(certificate.to_cryptography())

    def of(self, cert: str, key: str) -> str:
        """Return the fingerprint of these files."""
        return fingerprint(read_certified_key(cert, key).chain[0])


class ShownTests(TLSTestCase):
    """Which certificate is shown, and how TLS is spoken."""

    def test_verified(self) -> None:
        """The service provides its interfaces."""
        service = self.start()
        verifyObject(IService, service)
        verifyObject(IOpenSSLServerConnectionCreator, service)

    def test_files(self) -> None:
        """The certificate of the files is shown, and data goes both ways."""
        self.assertIsNone(self.start().fingerprint)
        self.assertEqual(self.shown(), self.of(self.cert, self.key))
        self.assertEqual(self.connect().say(b"hello"), b"hello")

    def test_before_privileges_go(self) -> None:
        """Files are read before the daemon drops its privileges."""
        settings = TLS(certificate=self.cert, key=self.key)
        service = TLSService(settings, lambda: None, lambda: [], self.clock, lambda: 0)
        service.privilegedStartService()
        os.unlink(self.key)
        service.startService()
        self.addCleanup(service.stopService)

    def test_own(self) -> None:
        """Without files the daemon makes its own pair, and logs the fingerprint."""
        first = self.start(TLS(), self.folder)
        self.assertEqual(self.shown(), first.fingerprint)
        second = self.start(TLS(), self.folder)
        self.assertEqual(second.fingerprint, first.fingerprint)

    def test_own_in_memory(self) -> None:
        """A daemon in memory makes a new certificate at each start, and warns."""
        with capturedLogs() as logged:
            first, second = self.start(TLS()), self.start(TLS())
        self.assertNotEqual(first.fingerprint, second.fingerprint)
        said = "\n".join(map(str, map(formatEvent, logged)))
        self.assertIn("clients have to pin anew", said)
        self.assertIn(f"fingerprint {first.fingerprint}", said)

    def test_cannot_start(self) -> None:
        """Unusable files stop the daemon at its start with one line."""
        small = str(self.folder / "small.key")
        Path(small).write_bytes(b"")
        for settings, named in (
            (TLS(certificate=self.cert, key=small), small),
            (TLS(certificate=self.cert, key=self.key, client_ca=small), small),
            (TLS(client_ca="/nowhere"), "/nowhere: No such file"),
        ):
            exit_ = self.assertRaises(SystemExit, self.start, settings)
            said = str(exit_.code)
            self.assertTrue(said.startswith(f"shellstream: {named}"), said)
            self.assertEqual(len(said.splitlines()), 1)

    def test_versions(self) -> None:
        """TLS 1.2 is spoken, unless 1.3 is asked for."""
        old = client_context()
        old.set_max_proto_version(SSL.TLS1_2_VERSION)
        self.start()
        self.assertIsNone(self.connect(old).error)
        new = TLS(certificate=self.cert, key=self.key, minimum=Minimum.TLS_1_3)
        self.start(new)
        self.assertIn("protocol version", str(self.connect(old).error))
        self.assertIsNone(self.connect().error)

    def test_ciphers(self) -> None:
        """TLS 1.2 allows only AEAD ciphers with forward secrecy."""
        self.start()
        for ciphers, spoken in (
            (b"ECDHE-ECDSA-AES128-GCM-SHA256", True),
            (b"ECDHE-ECDSA-CHACHA20-POLY1305", True),
            (b"ECDHE-ECDSA-AES128-SHA256", False),
        ):
            context = client_context()
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
            context.set_cipher_list(ciphers)
            found = self.connect(context)
            self.assertEqual(found.error is None, spoken, found.error)

    def test_protocol(self) -> None:
        """ALPN selects HTTP/1.1, or HTTP/1.0 for clients that speak no other."""
        service = self.start()
        site = Site(NoContent(), self.clock)
        self.factory = service.wrap(SiteFactory(lambda: site))
        for offered, chosen in (
            ([b"h2", b"http/1.1"], b"http/1.1"),
            ([b"http/1.0", b"http/1.1"], b"http/1.1"),
            ([b"http/1.0"], b"http/1.0"),
        ):
            context = client_context()
            context.set_alpn_protos(offered)
            client = self.connect(context).client
            self.assertEqual(client.get_alpn_proto_negotiated(), chosen)
        self.assertEqual(self.connect(client_context()).error, None)

    def test_no_protocol(self) -> None:
        """A client that offers no version of HTTP is told so by the right alert."""
        service = self.start()
        site = Site(NoContent(), self.clock)
        self.factory = service.wrap(SiteFactory(lambda: site))
        context = client_context()
        context.set_alpn_protos([b"h2", b"acme-tls/1"])
        error = self.connect(context).error
        self.assertIn("no application protocol", str(error))

    def test_plain(self) -> None:
        """A client that speaks plain HTTP gets a 400 that names https."""
        self.start()
        for said in (b"GET / HTTP/1.1\r\n\r\n", b"P", b"get"):
            protocol, transport = self.accept()
            protocol.dataReceived(said)
            answer = transport.value()
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"), answer)
            self.assertIn(b"this port speaks https", answer)
            self.assertTrue(transport.disconnecting)

    def test_nonsense(self) -> None:
        """Bytes that are neither TLS nor HTTP end the connection with an alert."""
        self.start()
        protocol, transport = self.accept()
        protocol.dataReceived(b"\0" * 100)
        self.assertNotIn(b"HTTP", transport.value())
        self.assertTrue(transport.disconnecting)

    def test_silent(self) -> None:
        """A client with a slow handshake is cut after the usual timeout."""
        site = Site(NoContent(), self.clock)
        protocol, transport = self.accept(self.start().wrap(site))
        assert site.timeOut
        for byte in b"\x16\x03\x01\x02":
            self.clock.advance(site.timeOut / 5)
            protocol.dataReceived(bytes([byte]))
        self.assertFalse(transport.disconnected)
        self.clock.advance(site.timeOut / 5)
        self.assertTrue(transport.disconnected)

    def test_silent_later(self) -> None:
        """A client that never says goodbye is cut too."""
        for asked in (
            b"",
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
        ):
            site = Site(NoContent(), self.clock)
            self.factory = self.start().wrap(site)
            silent = self.connect()
            if asked:
                silent.say(asked + b"\r\n")
            else:
                self.clock.advance(site.limits.header_timeout)
            self.assertTrue(silent.transport.disconnecting)

    def test_refused(self) -> None:
        """Only a refused client, which may still send, gets a short linger."""
        self.factory = self.start().wrap(Site(NoContent(), self.clock))
        refused = self.connect()
        refused.say(b"nonsense\r\n\r\n")
        self.assertFalse(refused.transport.disconnecting)
        self.clock.advance(LINGER)
        self.assertTrue(refused.transport.disconnected)


class ReloadTests(TLSTestCase):
    """Files that change are taken up while the daemon runs."""

    def test_reload(self) -> None:
        """New connections get the new certificate; open ones continue undisturbed."""
        self.start()
        before, open_ = self.shown(), self.connect()
        new = self.issue("new")
        expected = self.of(*new)
        for there, path in zip((self.cert, self.key), new, strict=True):
            os.replace(path, there)
        self.assertEqual(self.shown(), before)
        with capturedLogs() as logged:
            self.clock.advance(POLL_INTERVAL)
        self.assertEqual(self.shown(), expected)
        self.assertEqual(open_.say(b"still here"), b"still here")
        (event,) = logged
        self.assertIn(expected, str(formatEvent(event)))

    def test_unchanged(self) -> None:
        """Unchanged files are neither read again nor logged."""
        self.start()
        with capturedLogs() as logged:
            self.clock.pump([POLL_INTERVAL] * 3)
        self.assertEqual(logged, [])

    def test_half_written(self) -> None:
        """
        Until both files are valid the old pair is served; the error is logged once.
        """
        self.start()
        before = self.shown()
        cert, key = self.issue("new")
        expected = self.of(cert, key)
        os.replace(cert, self.cert)
        with capturedLogs() as logged:
            self.clock.pump([POLL_INTERVAL] * 3)
            os.utime(self.cert)
            self.clock.pump([POLL_INTERVAL] * 3)
        self.assertEqual(self.shown(), before)
        (event,) = logged
        said = str(formatEvent(event))
        self.assertIn(f"{self.key}: it does not hold the key", said)
        self.assertIn("stays the old one", said)
        os.replace(key, self.key)
        self.clock.advance(POLL_INTERVAL)
        self.assertEqual(self.shown(), expected)

    def test_gone(self) -> None:
        """A file that is away for a while does no harm."""
        self.start()
        before, away = self.shown(), f"{self.key}.away"
        os.rename(self.key, away)
        with capturedLogs() as logged:
            self.clock.advance(POLL_INTERVAL)
        self.assertIn("No such file", str(formatEvent(logged[0])))
        os.rename(away, self.key)
        self.clock.advance(POLL_INTERVAL)
        self.assertEqual(self.shown(), before)

    def test_client_ca(self) -> None:
        """The client authority can change too."""
        settings = TLS(certificate=self.cert, key=self.key, client_ca=self.ca)
        self.start(settings)
        other = trustme.CA()
        cert, key = self.issue("ann", other)
        client = client_context(cert=cert, key=key)
        self.assertIsNotNone(self.connect(client).error)
        other.cert_pem.write_to_path(self.ca)
        self.clock.advance(POLL_INTERVAL)
        self.assertIsNone(self.connect(client).error)

    def test_settings(self) -> None:
        """Other settings can be put in force, if their files are right."""
        service = self.start(TLS(), self.folder)
        before, pin = self.shown(), service.fingerprint
        self.assertEqual(before, pin)
        missing = evolve(DEMO, tls=TLS(certificate=self.cert, key="/no/such/key"))
        self.assertRaises(TLSFileUnusable, service.prepare, missing)
        settings = TLS(
            certificate=self.cert,
            key=self.key,
            client_ca=self.ca,
            client_certificate=ClientCertificate.REQUIRED,
        )
        put_in_force = service.prepare(evolve(DEMO, tls=settings))
        self.assertEqual((self.shown(), service.fingerprint), (before, pin))
        put_in_force()
        self.assertIsNone(service.fingerprint)
        self.assertIn("certificate required", str(self.connect().error))
        with capturedLogs() as logged:
            service.prepare(evolve(DEMO, tls=TLS()))()
        self.assertEqual(self.shown(), before)
        self.assertIn(before, str(formatEvent(logged[0])))
        service.prepare(evolve(DEMO, tls=TLS(certificate=self.cert, key=self.key)))()
        self.assertEqual(self.shown(), self.of(self.cert, self.key))
        expected = self.of(*(new := self.issue("new")))
        for there, path in zip((self.cert, self.key), new, strict=True):
            os.replace(path, there)
        self.clock.advance(POLL_INTERVAL)
        self.assertEqual(self.shown(), expected)

    def test_stopped(self) -> None:
        """A daemon that stops looks at no files any more."""
        self.start(TLS(), self.folder).stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        service = TLSService(
            TLS(certificate=self.cert, key=self.key),
            lambda: None,
            lambda: [],
            self.clock,
            lambda: 0,
        )
        service.privilegedStartService()
        service.startService()
        service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ClientCertificateTests(TLSTestCase):
    """Clients may or must present a certificate."""

    def serve(self, wanted: ClientCertificate) -> None:
        self.service = self.start(
            TLS(
                certificate=self.cert,
                key=self.key,
                client_ca=self.ca,
                client_certificate=wanted,
            )
        )

    def test_shown(self) -> None:
        """The application sees a client certificate of the authority."""
        client = client_context(
            **dict(zip(("cert", "key"), self.issue("ann"), strict=True))
        )
        for wanted in ClientCertificate:
            self.serve(wanted)
            found = self.connect(client)
            self.assertEqual(found.say(b"hello"), b"hello")
            names = identity_of(found.server.getPeerCertificate()).names
            self.assertIn("DNS:ann.test", names)

    def test_none(self) -> None:
        """An optional certificate may be missing; a required one may not."""
        self.serve(ClientCertificate.OPTIONAL)
        found = self.connect()
        self.assertEqual(found.say(b"hello"), b"hello")
        self.assertIsNone(found.server.getPeerCertificate())
        self.serve(ClientCertificate.REQUIRED)
        self.assertIn("certificate required", str(self.connect().error))

    def test_refused(self) -> None:
        """A certificate of another authority, self-signed or expired, is refused."""
        yesterday = datetime.now(UTC) - timedelta(days=1)
        late = self.authority.issue_cert("late.test", not_after=yesterday)
        cert, key = str(self.folder / "late.pem"), str(self.folder / "late.key")
        late.cert_chain_pems[0].write_to_path(cert)
        late.private_key_pem.write_to_path(key)
        for files, alert in (
            (self.issue("eve", trustme.CA()), "unknown ca"),
            ((cert, key), "certificate expired"),
        ):
            client = client_context(cert=files[0], key=files[1])
            for wanted in ClientCertificate:
                self.serve(wanted)
                found = self.connect(client)
                self.assertIn(alert, str(found.error))
                self.assertTrue(found.transport.disconnecting)

    def ann(self, **rest: Any) -> SSL.Context:
        """A client with a certificate of the authority."""
        issued = self.authority.issue_cert("ann.test", **rest)
        cert, key = str(self.folder / "ann.pem"), str(self.folder / "ann.key")
        issued.cert_chain_pems[0].write_to_path(cert)
        issued.private_key_pem.write_to_path(key)
        return client_context(cert=cert, key=key)

    def test_expires(self) -> None:
        """A certificate that expires on an open connection ends that."""
        self.serve(ClientCertificate.OPTIONAL)
        now = datetime.now(UTC)
        soon = self.connect(self.ann(not_after=now + timedelta(hours=1)))
        later = self.connect(self.ann(not_after=now + timedelta(hours=3)))
        none = self.connect()
        self.assertTrue(soon.server.is_client_valid())
        self.now = int((now + timedelta(hours=2)).timestamp() * 1_000_000)
        valid = [each.server.is_client_valid() for each in (soon, later, none)]
        self.assertEqual(valid, [False, True, True])
        self.clock.advance(REVOCATION_INTERVAL)
        ended = [each.transport.disconnected for each in (soon, later, none)]
        self.assertEqual(ended, [True, False, False])

    def test_authority_gone(self) -> None:
        """A certificate whose authority is taken away ends open connections, too."""
        self.serve(ClientCertificate.REQUIRED)
        client, other = self.ann(), trustme.CA()
        known = [self.connect(client) for _ in range(AT_ONCE + 1)]
        unasked = self.connect(client)  # has made no request until the change
        self.assertTrue(all(each.server.is_client_valid() for each in known))
        pems = [self.authority.cert_pem.bytes(), other.cert_pem.bytes()]
        Path(self.ca).write_bytes(b"".join(pems))
        self.clock.advance(POLL_INTERVAL)
        self.assertTrue(known[0].server.is_client_valid())
        other.cert_pem.write_to_path(self.ca)
        self.clock.advance(POLL_INTERVAL)
        self.assertFalse(known[-1].server.is_client_valid())
        self.assertFalse(unasked.server.is_client_valid())
        self.clock.pump([REVOCATION_INTERVAL] * 2)
        for each in (*known, unasked):
            self.assertTrue(each.transport.disconnected)
            each.server.connectionLost()
        self.assertEqual(self.service.certificates._shown, {})

    def test_not_asked_for(self) -> None:
        """Without an authority no client is asked for a certificate."""
        self.start()
        cert, key = self.issue("ann")
        found = self.connect(client_context(cert=cert, key=key))
        self.assertEqual(found.say(b"hello"), b"hello")
        self.assertIsNone(found.server.getPeerCertificate())
