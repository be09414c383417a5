"""Tests for L{shellstream.web.server.connection_limits}.

How many may be connected, and watch.
"""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from shellstream.config.http_limits import HttpLimits
from shellstream.config.loader import Config
from shellstream.process.file_limits import file_limit
from shellstream.web.server.channel import LINGER, LINGERING
from shellstream.web.server.connection_limits import (
    LOG_INTERVAL,
    ConnectionLimiter,
    SharedQuota,
    client_of,
)
from tests.support.fakes import ECHO, SAY
from tests.support.http import Connection, WebTestCase, Wire, parsed


def v4(last: int) -> IPv4Address:
    return IPv4Address("TCP", f"192.0.2.{last}", 1000)


def v6(host: str) -> IPv6Address:
    return IPv6Address("TCP", host, 1000)


class ClientNetworkTests(SynchronousTestCase):
    """The addresses that count as one client."""

    def test_addresses(self) -> None:
        """An IPv4 address is one, also where it came by IPv6; so is a /64."""
        for peer, where in (
            (v4(7), "192.0.2.7"),
            (v6("::ffff:192.0.2.7"), "192.0.2.7"),
            (v6("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64"),
            (v6("2001:db8:1:2::"), "2001:db8:1:2::/64"),
            (v6("2001:db8:1:3::"), "2001:db8:1:3::/64"),
            (v6("fe80::1%eth0"), "fe80::/64"),
            (v6("::1"), "::/64"),
            (UNIXAddress("/run/x"), None),
            (UNIXAddress(None), None),
        ):
            self.assertEqual(client_of(peer), where)


class SharedQuotaTests(SynchronousTestCase):
    """A client never uses more than the limit, or than its share."""

    @given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(1, 5))))
    def test_sums(self, wishes: list[tuple[str | None, int]]) -> None:
        """The amounts in use add up, and what is released can be acquired again."""
        quota = SharedQuota(12, 7)
        got = [wish for wish in wishes if quota.acquire(*wish)]
        self.assertEqual(quota.used, sum(amount for _, amount in got))
        self.assertLessEqual(quota.used, 12)
        for name in ("a", "b"):
            mine = sum(amount for where, amount in got if where == name)
            self.assertEqual(quota.used_by(name), mine)
            self.assertLessEqual(mine, 7)
        for wish in got:
            quota.release(*wish)
        self.assertEqual((quota.used, quota.clients), (0, 0))
        self.assertTrue(quota.acquire("a", 7))


class LogTests(SynchronousTestCase):
    """A flood of refusals does not flood the log."""

    def limiter(self, clock: Clock) -> ConnectionLimiter:
        return ConnectionLimiter(
            HttpLimits(connections=4, connections_per_address=2), clock
        )

    def test_once(self) -> None:
        """
        The first refusal is reported at once, the others once a minute, as a number.
        """
        clock = Clock()
        limiter = self.limiter(clock)
        with capturedLogs() as logged:
            for _ in range(1000):
                limiter.admit(client_of(v4(1)))
            self.assertEqual([each["refused"] for each in logged], [1])
            clock.advance(LOG_INTERVAL)
            self.assertEqual([each["refused"] for each in logged], [1, 997])
            self.assertEqual(logged[-1]["count"], 2)
            clock.advance(LOG_INTERVAL)
            clock.advance(LOG_INTERVAL)
            self.assertEqual(len(logged), 2)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_again(self) -> None:
        """A new flood after the last one is reported at once."""
        clock = Clock()
        limiter = self.limiter(clock)
        with capturedLogs() as logged:
            for _ in range(2):
                for _ in range(3):
                    limiter.admit(client_of(v4(1)))
                clock.advance(LOG_INTERVAL)
                clock.advance(LOG_INTERVAL)
                for _ in range(min(2, limiter.admitted.used)):
                    limiter.release(client_of(v4(1)))
        self.assertEqual([each["refused"] for each in logged], [1, 1])


class ScarceWire(Wire):
    """A connection that has the last free descriptor."""

    def fileno(self) -> int:
        return file_limit() - 1


class ConnectionsTestCase(WebTestCase):
    """Connections to one daemon."""

    config = Config(
        commands={"echo": ECHO, "say": SAY},
        default="say",
        http=HttpLimits(connections=4, connections_per_address=3, viewers=2),
    )

    def connect(self, peer: IAddress) -> Connection:
        """Return another connection from this address."""
        return Connection(self.site, peer)

    def assert_let_in(self, connection: Connection) -> None:
        """Check that the connection is served."""
        self.assertEqual(connection.ask("GET", "/commands").status, 200)

    def assert_turned_away(self, connection: Connection, status: int) -> None:
        """Check for a refusal before any request, and a close soon after."""
        reply = connection.reply()
        self.assertEqual((reply.status, reply.whole), (status, True))
        self.assertEqual(reply.headers["retry-after"], "5")
        self.assertEqual(reply.headers["content-type"], "application/problem+json")
        self.assertEqual(json.loads(reply.body)["status"], status)
        connection.wire.clear()
        connection.send(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual((connection.wire.value(), self.spawn.started), (b"", []))
        self.assertTrue(connection.wire.half_closed)

    def setUp(self) -> None:
        super().setUp()
        self.connection.lose()  # or it would be one more


class ConnectionTests(ConnectionsTestCase):
    """Connections are bounded, in all and for each address."""

    def test_one_address(self) -> None:
        """An address has its share; others are let in beside it."""
        mine = [self.connect(v4(1)) for _ in range(3)]
        self.assert_turned_away(self.connect(v4(1)), 429)
        self.assert_let_in(self.connect(v4(2)))
        for each in mine:
            self.assert_let_in(each)

    def test_all(self) -> None:
        """The total number is limited, too."""
        for last in (1, 1, 2, 3):
            self.assert_let_in(self.connect(v4(last)))
        self.assert_turned_away(self.connect(v4(4)), 503)

    def test_both(self) -> None:
        """A client at its own limit is told so, even if the server is full too."""
        for last in (1, 1, 1, 2):
            self.connect(v4(last))
        self.assert_turned_away(self.connect(v4(1)), 429)

    def test_room_again(self) -> None:
        """A closed connection makes room, however it closed."""
        mine = [self.connect(v4(1)) for _ in range(3)]
        refused = self.connect(v4(1))
        self.assert_turned_away(refused, 429)
        refused.lose()
        mine.pop().lose()
        self.assert_let_in(self.connect(v4(1)))
        self.assert_turned_away(self.connect(v4(1)), 429)

    def test_networks(self) -> None:
        """All addresses of one network count as one client."""
        for last in range(3):
            self.assert_let_in(self.connect(v6(f"2001:db8::{last}")))
        self.assert_turned_away(self.connect(v6("2001:db8::ffff")), 429)
        self.assert_let_in(self.connect(v6("2001:db8:0:1::")))

    def test_unix(self) -> None:
        """Clients of a UNIX socket count only in the total."""
        for _ in range(4):
            self.assert_let_in(self.connect(UNIXAddress("/run/x")))
        self.assert_turned_away(self.connect(UNIXAddress("/run/x")), 503)

    def test_nothing_left(self) -> None:
        """When all connections are closed nothing is left of them."""
        several = [self.connect(v4(1)) for _ in range(6)]
        for each in several:
            each.lose()
        self.clock.advance(LOG_INTERVAL)
        self.clock.advance(LOG_INTERVAL)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.site.connections.admitted.used, 0)
        self.assertEqual((self.site.lingering, self.site.channels), (0, set()))

    def test_lingering(self) -> None:
        """Only a few refused connections get a response: the others are just closed."""
        for _ in range(3):
            self.connect(v4(1))
        self.site.limits = HttpLimits()
        told = [self.connect(v4(1)) for _ in range(LINGERING)]
        for each in told:
            self.assertEqual(each.reply().status, 429)
        closed = self.connect(v4(1))
        self.assertEqual(closed.wire.value(), b"")
        self.assertTrue(closed.wire.disconnected)
        self.clock.advance(LINGER)
        self.assertTrue(told[0].wire.disconnected)
        for each in (closed, *told):
            each.lose()
        self.assert_turned_away(self.connect(v4(1)), 429)

    def test_descriptors(self) -> None:
        """A client that gets one of the last descriptors is refused, one at a time."""
        told, closed = ScarceWire(v4(1)), ScarceWire(v4(1))
        for wire in (told, closed):
            channel = self.site.buildProtocol(wire.getPeer())
            assert channel is not None
            channel.makeConnection(wire)
        self.assertEqual(parsed(told.value()).status, 503)
        self.assertTrue(told.half_closed)
        self.assertEqual((closed.value(), closed.disconnected), (b"", True))
        self.assertEqual(self.site.connections.admitted.used, 0)
        self.assert_let_in(self.connect(v4(1)))

    def test_tls(self) -> None:
        """A connection over the limit gets no TLS handshake."""
        for _ in range(3):
            self.connect(v4(1))
        wire = Wire(v4(1))
        alsoProvides(wire, ISSLTransport)
        channel = self.site.buildProtocol(wire.getPeer())
        assert channel is not None
        channel.makeConnection(wire)
        self.assertEqual((wire.value(), wire.disconnected), (b"", True))


class ViewerTests(ConnectionsTestCase):
    """Answers that may take long are bounded, beside the connections."""

    def watch(self, path: str) -> Connection:
        connection = self.connect(v4(len(self.site.channels)))
        connection.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return connection

    def test_all(self) -> None:
        """Runs, news and tickers count alike, and a run is not even started."""
        watching = [self.watch("/events"), self.watch("/stream")]
        output = f"/runs/{self.started.run.id}/output"
        for path in ("/events", "/stream", "/doctor", output):
            refused = self.watch(path)
            reply = parsed(refused.wire.value())
            self.assertEqual((reply.status, reply.headers["retry-after"]), (503, "5"))
            self.assertIn(b"2 others are watching", reply.body)
            self.assert_let_in(refused)
            refused.lose()
        self.assertEqual(len(self.spawn.started), 1)
        watching[0].lose()
        self.assertEqual(self.watch(output).reply().status, 200)

    def test_over(self) -> None:
        """A response that has ended makes room, too."""
        for count in range(1, 6):
            viewer = self.watch("/stream")
            self.assertEqual(viewer.reply().status, 200)
            self.assertEqual(self.site.viewers, 1)
            self.spawn.started[-1].exit()
            self.assertTrue(viewer.reply().whole)
            self.assertEqual((self.site.viewers, len(self.spawn.started)), (0, count))
            viewer.lose()
        self.assertEqual(self.site.viewers, 0)
