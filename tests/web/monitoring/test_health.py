"""Tests for L{shellstream.web.monitoring.health}."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from shellstream.security.authorization import Action
from shellstream.web.monitoring.health import FRESH, HEALTH_TIMEOUT
from tests.support.authentication import AuthenticationTestCase
from tests.support.http import Connection, FakePolicy, Reply, WebTestCase
from tests.support.registries import Thread

T = TypeVar("T")


class ProbeTests(WebTestCase):
    """C{/readyz} and C{/livez}, and who is told the reasons."""

    def test_ready(self) -> None:
        """Both say when the daemon stops; only the first minds."""
        self.begin()
        self.registry.supervisor.stop()
        self.assertEqual(self.ask("GET", "/readyz").status, 503)
        self.assertEqual(self.ask("GET", "/livez").status, 200)

    def test_lag(self) -> None:
        """A daemon whose event loop answers late is not ready."""
        self.monitor.lag = 2.0
        self.assertEqual(self.ask("GET", "/readyz").status, 503)


class ReasonTests(AuthenticationTestCase):
    """Who is told why a daemon is not ready."""

    def test_strangers(self) -> None:
        """Without a credential nobody is told the reasons."""
        for path in ("/readyz", "/livez"):
            self.assertEqual(self.ask("GET", path).status, 200)
        self.assertEqual(self.ask("GET", "/readyz?verbose").status, 401)

    def test_reasons(self) -> None:
        """A caller that may read metrics is told the reasons, others are not."""
        self.begin_to_stop()
        reader = self.tokens.make("reader", actions=frozenset({Action.READ}))
        self.assertEqual(self.by(reader, path="/readyz?verbose").status, 403)
        prober = self.tokens.make("prober", actions=frozenset({Action.METRICS}))
        reply = self.by(prober, path="/readyz?verbose=1")
        self.assertEqual(reply.status, 503)
        self.assertIn("the daemon is stopping", self.problem(reply))

    def begin_to_stop(self) -> None:
        """A run goes on, and the daemon waits for its end."""
        self.run_by(self.tokens.make("alice"))
        self.registry.supervisor.stop()


class HealthTests(WebTestCase):
    """C{/healthz} says only whether the daemon can take runs."""

    def setUp(self) -> None:
        self.thread = Thread()
        super().setUp()

    def in_thread(self, call: Callable[[], T], /) -> Deferred[T]:
        return self.thread(call)

    def look(self) -> Reply:
        return self.ask("GET", "/healthz")

    def assert_not_ready(self, reply: Reply) -> None:
        """Check for a problem that does not say which."""
        self.assertEqual(reply.status, 503)
        self.assertEqual(reply.headers["content-type"], "application/problem+json")
        self.assertEqual(reply.headers["retry-after"], "10")
        found: dict[str, Any] = json.loads(reply.body)
        self.assertEqual(set(found), {"title", "status", "detail"})
        for word in ("disk", "state", "stopping", "recorded"):
            self.assertNotIn(word, found["detail"])

    def test_ready(self) -> None:
        """A healthy daemon says so, and no cache keeps that."""
        reply = self.look()
        self.assertEqual(json.loads(reply.body), {"status": "ok"})
        self.assertEqual((reply.status, reply.whole), (200, True))
        self.assertEqual(reply.headers["content-type"], "application/json")
        self.assertEqual(reply.headers["cache-control"], "no-store")

    def test_strangers(self) -> None:
        """The health check needs no credentials."""
        self.authenticator.policy = FakePolicy(required=True)
        self.assertEqual(self.look().status, 200)
        self.assertEqual(self.ask("GET", "/").status, 401)

    def test_query(self) -> None:
        """A prober's extra parameters against caches are harmless."""
        self.assertEqual(self.ask("GET", "/healthz?t=1767225600").status, 200)

    def test_head(self) -> None:
        """HEAD has the same status, healthy or not."""
        self.assertEqual(self.ask("HEAD", "/healthz").status, 200)
        self.registry.supervisor.stop()
        self.clock.advance(FRESH)
        reply = self.ask("HEAD", "/healthz")
        self.assertEqual((reply.status, reply.rest), (503, b""))

    def test_other_methods(self) -> None:
        """Other methods are not allowed."""
        reply = self.ask("POST", "/healthz", b"")
        self.assertEqual(reply.status, 405)
        self.assertEqual(reply.headers["allow"], "GET, HEAD, OPTIONS")

    def test_full(self) -> None:
        """A daemon that has all the runs it may have is well."""
        for _ in range(5):
            self.begin()
        self.assertEqual(self.look().status, 200)

    def test_stopping(self) -> None:
        """A daemon that stops takes no runs."""
        self.begin()
        self.registry.supervisor.stop()
        self.assert_not_ready(self.look())

    def test_disk(self) -> None:
        """A daemon that cannot record runs is not ready, until it can again."""
        self.thread.broken = True
        self.assert_not_ready(self.look())
        self.thread.broken = False
        self.clock.advance(FRESH)
        self.assertEqual(self.look().status, 200)

    def test_stuck(self) -> None:
        """A disk that does not answer is as bad, until it does."""
        self.thread.manual = True
        self.look_later()
        self.clock.advance(HEALTH_TIMEOUT)
        self.assert_not_ready(self.reply())
        self.thread.finish()
        self.clock.advance(FRESH)
        self.assertEqual(self.look().status, 200)

    def test_asked_once(self) -> None:
        """However many ask at once, and soon after, the disk is asked once."""
        self.thread.manual = True
        clients = [Connection(self.site) for _ in range(3)]
        for each in clients:
            self.look_later(each)
        self.assertEqual(len(self.thread.waiting), 1)
        self.thread.step()
        for each in clients:
            self.assertEqual(each.reply().status, 200)
            self.assertEqual(each.ask("GET", "/healthz").status, 200)
        self.assertEqual(self.thread.waiting, [])
        self.clock.advance(FRESH)
        self.look_later()
        self.assertEqual(len(self.thread.waiting), 1)

    def test_hundreds(self) -> None:
        """Of hundreds that ask at once each gets its answer, and so do later ones."""
        self.thread.manual = True
        clients = [Connection(self.site) for _ in range(300)]
        for each in clients:
            self.look_later(each)
        self.thread.step()
        for each in clients:
            self.assertEqual(each.reply().status, 200)
        self.assertEqual(self.look().status, 200)

    def test_who_left(self) -> None:
        """Clients that leave during a check do not keep its result from others."""
        self.thread.manual = True
        gone = Connection(self.site)
        self.look_later(gone)
        self.look_later()
        gone.lose()
        self.thread.step()
        self.assertEqual(self.reply().status, 200)

    def test_unforeseen(self) -> None:
        """An unforeseen error is logged, and no client is left waiting."""
        self.thread.error = RuntimeError("no thread")
        self.assert_not_ready(self.look())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def look_later(self, connection: Connection | None = None) -> None:
        """Ask, when the answer has to wait for the disk."""
        connection = connection or self.connection
        connection.wire.clear()
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
