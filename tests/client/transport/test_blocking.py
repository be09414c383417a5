"""Tests for L{shellstream.client.transport.blocking}: documents for completion."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.server import Site
from twisted.web.static import Data

from shellstream.client.transport.blocking import NoDocument, get_document
from shellstream.client.transport.trust import Trust
from shellstream.security.certificates import self_signed

TOKEN = "t0k"


class BlockingTests(TestCase):
    """What the other wire trusts is trusted, and nothing else sees a token."""

    timeout = 30

    def serve(self, body: bytes = b'{"a": 1}', options: Any = None) -> int:
        """Serve a document; C{tokens} are those that were shown."""
        self.tokens: list[str | None] = []
        root = Data(body, "application/json")
        root.isLeaf = True

        def seen(request: Any) -> None:
            self.tokens.append(request.getHeader("authorization"))

        site = Site(root)
        site.log = seen  # type: ignore[method-assign]
        return self.listen(site, options)

    def listen(self, factory: Any, options: Any = None) -> int:
        any_reactor: Any = reactor
        if options is None:
            port = any_reactor.listenTCP(0, factory, interface="127.0.0.1")
        else:
            port = any_reactor.listenSSL(0, factory, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def ask(self, url: str, trust: Trust = Trust()) -> "Deferred[Any]":  # noqa: B008
        """Ask with a token, in a thread: it would block the server."""
        return deferToThread(get_document, url, TOKEN, trust, 5.0)

    async def refused(self, url: str, trust: Trust = Trust()) -> None:  # noqa: B008
        """There is no document, and nobody saw the token."""
        await self.assertFailure(self.ask(url, trust), NoDocument)
        self.assertEqual(self.tokens, [])

    async def test_plain(self) -> None:
        """The token goes to the server that was named."""
        port = self.serve()
        self.assertEqual(await self.ask(f"http://127.0.0.1:{port}/runs?x"), {"a": 1})
        self.assertEqual(self.tokens, [f"Bearer {TOKEN}"])

    async def test_pinned(self) -> None:
        """A pinned certificate is trusted; no other, and none without a pin."""
        key, certificate = self_signed(["other.test"], datetime.now(UTC))
        own = ssl.PrivateCertificate.loadPEM(certificate + key)
        port = self.serve(options=own.options())
        url = f"https://127.0.0.1:{port}/"
        await self.refused(url)
        await self.refused(url, Trust(pin="ab" * 32))
        pin = hashlib.sha256(own.dump()).hexdigest()
        self.assertEqual(await self.ask(url, Trust(pin=pin)), {"a": 1})

    async def test_nothing(self) -> None:
        """A server that hangs up, or sends no JSON, is no error but no document."""
        port = self.serve(b"hello")
        url = f"http://127.0.0.1:{port}/"
        await self.assertFailure(self.ask(url), NoDocument)

        class HangUp(Protocol):
            def connectionMade(self) -> None:
                self.transport.loseConnection()

        port = self.listen(Factory.forProtocol(HangUp))
        for url in (f"http://127.0.0.1:{port}/", "http://127.0.0.1:1/"):
            await self.assertFailure(self.ask(url), NoDocument)
