"""Tests for connections that begin with a PROXY header (endpoint C{haproxy:})."""

from ipaddress import ip_address, ip_network
from typing import Any

from attrs import evolve
from twisted.internet.address import IPv4Address
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.python.failure import Failure

from shellstream.config.http_limits import HttpLimits
from shellstream.config.loader import Config
from shellstream.security.authorization import EVERYTHING
from shellstream.security.principals import AccessSettings, KnownPrincipal
from tests.support.fakes import SAY
from tests.support.http import FakePolicy, Reply, WebTestCase, Wire, parsed

#: Where the proxy is.
PROXY = IPv4Address("TCP", "10.0.0.1", 5)


class ProxyProtocolTests(WebTestCase):
    """A connection belongs to the client that the proxy names."""

    config = Config(
        commands={"say": SAY},
        default="say",
        access=AccessSettings(proxies=(ip_network(PROXY.host),)),
        http=HttpLimits(connections=8, connections_per_address=2),
    )

    def setUp(self) -> None:
        super().setUp()
        self.connection.lose()
        self.authenticator.policy = FakePolicy(insecure=True)

    def connect(self, client: str, peer: IPv4Address = PROXY) -> tuple[Any, Wire]:
        """A connection by way of the proxy, before anything is asked."""
        wire = Wire(peer)
        protocol = HAProxyWrappingFactory(self.site).buildProtocol(peer)
        assert protocol is not None
        protocol.makeConnection(wire)
        if client:
            protocol.dataReceived(b"PROXY TCP4 %b 10.0.0.9 1 2\r\n" % client.encode())
        return protocol, wire

    def commands(self, connection: tuple[Any, Wire], *headers: str) -> Reply:
        """Ask for the commands."""
        protocol, wire = connection
        wire.clear()
        lines = "".join(f"{each}\r\n" for each in headers)
        head = f"GET /commands HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
        protocol.dataReceived(head.encode())
        return parsed(wire.value())

    def lose(self, *connections: tuple[Any, Wire]) -> None:
        for protocol, _ in connections:
            protocol.connectionLost(Failure(ConnectionError()))

    def test_shares(self) -> None:
        """Each client counts by itself, from the first byte to the last."""
        admitted = self.site.connections.admitted
        for _ in range(3):  # nothing is left behind
            clients = [self.connect(f"192.0.2.{number}") for number in range(8)]
            for each in clients:
                self.assertEqual(self.commands(each).status, 200)
            self.assertEqual((admitted.used, admitted.clients), (8, 8))
            self.lose(*clients)
            self.assertEqual((admitted.used, admitted.clients), (0, 0))

    def test_each(self) -> None:
        """One client has no more than its share, however it comes."""
        first = [self.connect("192.0.2.1") for _ in range(2)]
        for each in first:
            self.assertEqual(self.commands(each).status, 200)
        more, other = self.connect("192.0.2.1"), self.connect("192.0.2.2")
        reply = self.commands(more)
        self.assertEqual(reply.status, 429)
        self.assertIn("this address has 2 connections already", reply.body.decode())
        self.assertEqual(self.commands(other).status, 200)
        silent = self.connect("")
        self.lose(*first, more, other, silent)
        self.assertEqual(self.site.connections.admitted.used, 0)

    def test_all(self) -> None:
        """Connections that have not said whose they are count in the whole."""
        silent = [self.connect("") for _ in range(8)]
        self.assertEqual(parsed(self.connect("")[1].value()).status, 503)
        self.lose(*silent)

    def test_not_trusted(self) -> None:
        """A PROXY header makes nobody a trusted proxy; the proxy itself is one."""
        access = AccessSettings(
            proxies=(ip_network("127.0.0.0/8"),),
            user_header="x-user",
            known={"alice": KnownPrincipal(grant=EVERYTHING)},
        )
        self.serve(evolve(self.config, access=access))
        self.connection.lose()
        self.authenticator.policy = FakePolicy(required=True)
        named = ("X-User: alice", "X-Forwarded-For: 192.0.2.9")
        local = IPv4Address("TCP", "127.0.0.1", 5)
        for client in ("127.0.0.2", "192.0.2.1"):
            protocol, wire = self.connect("", PROXY)
            protocol.dataReceived(b"PROXY TCP4 %b 10.0.0.9 1 2\r\n" % client.encode())
            reply = parsed(wire.value())
            self.assertEqual(reply.status, 403)
            self.assertIn(b"list it as one of proxies", reply.body)
            self.assertEqual(self.site.connections.admitted.used, 0)
            self.lose((protocol, wire))
        self.assertEqual(self.noted[-1].address, PROXY.host)
        connection = self.connect("192.0.2.1", local)
        self.assertEqual(self.commands(connection, *named).status, 200)

    def test_credential(self) -> None:
        """A connection of a proxy shows a credential, whatever its headers are."""
        self.authenticator.policy = FakePolicy()
        for client in ("192.0.2.1", "127.0.0.1"):
            reply = self.commands(self.connect(client))
            self.assertEqual(reply.status, 401)
            self.assertIn(b"its PROXY header", reply.body)

    def test_address(self) -> None:
        """The client is whom the PROXY header names; it is believed nothing more."""
        self.authenticator.policy = FakePolicy(required=True)
        for header in ("X-Forwarded-For", "Forwarded"):
            connection = self.connect("192.0.2.7")
            self.commands(connection, f"{header}: for=192.0.2.8")
            self.assertEqual(self.noted[-1].address, "192.0.2.7")

    def test_second_version(self) -> None:
        """The second version is in bytes; with it health checks name nobody."""
        self.authenticator.policy = FakePolicy(required=True)
        begin = b"\r\n\r\n\0\r\nQUIT\n"
        addresses = b"".join(ip_address(f"2001:db8::{each}").packed for each in "12")
        for command, sent, expected in (
            (b"\x21\x21", addresses + b"\0\1\0\2", "2001:db8:0:0:0:0:0:1"),
            (b"\x20\x00", b"", PROXY.host),
        ):
            connection = self.connect("")
            size = len(sent).to_bytes(2, "big")
            connection[0].dataReceived(begin + command + size + sent)
            self.commands(connection)
            self.assertEqual(self.noted[-1].address, expected)

    def test_bounded(self) -> None:
        """What begins with no PROXY header, or with one that is too long, is closed."""
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 " + b"1" * 200):
            protocol, wire = self.connect("")
            protocol.dataReceived(sent)
            self.assertTrue(wire.disconnecting, sent)
            self.assertEqual(wire.value(), b"")
            self.lose((protocol, wire))
