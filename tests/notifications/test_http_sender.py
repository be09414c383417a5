"""Tests for L{shellstream.notifications.http_sender}."""

import gzip
from typing import Any

from attrs import define, field
from treq.testing import RequestTraversalAgent
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from shellstream.config.notification import Notification
from shellstream.model.events import OnDisconnect, State
from shellstream.model.run_record import RunRecord, to_document
from shellstream.notifications.attempt import Attempt, Result
from shellstream.notifications.http_sender import (
    KEPT,
    MOST,
    MOST_WAIT,
    HttpSender,
    http_client,
)
from shellstream.notifications.message import Message
from shellstream.notifications.senders import send

RUN = RunRecord(
    id="01a2",
    command="backup",
    params={},
    created=0,
    on_disconnect=OnDisconnect.KEEP,
    state=State.LOST,
)
MESSAGE = Message(
    delivery="01a2.ended.a",
    notify="a",
    event="ended",
    run=to_document(RUN),
    output="déjà",
)


@define(eq=False)
class Server(Resource):
    """Keeps what it is sent, and answers as the test says."""

    isLeaf = True  # Twisted's name

    code: int = 200
    headers: dict[str, str] = field(factory=dict)
    body: bytes = b"thanks"
    got: list[Any] = field(factory=list)
    bodies: list[bytes] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        Resource.__init__(self)

    def render(self, request: Any) -> Any:
        self.got.append(request)
        self.bodies.append(request.content.read())
        request.setResponseCode(self.code)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        if self.code == 0:
            return NOT_DONE_YET
        return self.body


class InMemoryTests(SynchronousTestCase):
    """What is sent, and what follows from the answer."""

    def setUp(self) -> None:
        self.server, self.clock = Server(), Clock()
        self.agent = RequestTraversalAgent(self.server)
        client = http_client(self.clock, self.agent)
        self.sender = HttpSender(client, self.clock, lambda: 1_767_225_600_000_000)

    def send(self, **values: Any) -> Attempt:
        """Send a message once."""
        values = {"url": "https://example.org/{run}", **values}
        to = Notification(name="a", **values)
        sending = send(self.sender, to, MESSAGE, self.clock)
        self.agent.flush()
        return self.successResultOf(sending)

    def test_request(self) -> None:
        """A request has the run, and the id of the delivery."""
        attempt = self.send()
        self.assertEqual(attempt, Attempt(Result.DELIVERED, "HTTP 200", b"thanks"))
        (request,) = self.server.got
        self.assertEqual((request.method, request.path), (b"POST", b"/01a2"))
        self.assertEqual(request.getHeader("shellstream-delivery"), "01a2.ended.a")
        self.assertEqual(request.getHeader("content-type"), "application/json")
        self.assertEqual(self.server.bodies, [MESSAGE.to_json().encode()])

    def test_template(self) -> None:
        """The operator chooses the method, the headers and the text."""
        headers = {"Title": "{summary} é", "Content-Type": "text/markdown"}
        self.send(method="PUT", headers=headers, body="*{output}*")
        (request,) = self.server.got
        self.assertEqual(request.method, b"PUT")
        (title,) = request.requestHeaders.getRawHeaders(b"title")
        self.assertEqual(title.decode(), "backup was lost é")
        self.assertEqual(request.getHeader("content-type"), "text/markdown")
        self.assertEqual(self.server.bodies, ["*déjà*".encode()])

    def test_get(self) -> None:
        """A GET has no body."""
        self.send(method="GET")
        self.assertEqual(self.server.bodies, [b""])

    def test_codes(self) -> None:
        """Errors that time may cure are tried again; others would only be repeated."""
        for code in (408, 425, 429, 500, 502, 503, 504):
            self.server.code = code
            self.assertIs(self.send().result, Result.LATER, code)
        for code in (301, 302, 307, 400, 401, 403, 404, 405, 410, 413, 422):
            self.server.code = code
            self.assertIs(self.send().result, Result.NEVER, code)

    def test_redirect(self) -> None:
        """A redirect is not followed: the headers are for the operator's host."""
        self.server.code, self.server.headers = 307, {"location": "https://evil/"}
        self.assertIn("redirects", self.send(headers={"Authorization": "x"}).detail)
        self.assertEqual(len(self.server.got), 1)

    def test_retry_after(self) -> None:
        """A server may ask for patience, up to a limit."""
        self.server.code = 503
        for text, wait in (
            ("120", 120.0),
            ("Thu, 01 Jan 2026 00:05:00 GMT", 300.0),
            ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
            ("9" * 300, MOST_WAIT),
            ("soon", 0.0),
            ("-5", 0.0),
        ):
            self.server.headers = {"retry-after": text}
            self.assertEqual(self.send().retry_after, wait, text)

    def test_answer(self) -> None:
        """Only the beginning of an answer is kept, as it came."""
        self.server.body = gzip.compress(b"x" * 100_000)
        self.server.headers = {"content-encoding": "gzip"}
        self.assertEqual(self.send().answer, self.server.body[:KEPT])


class Scripted(Protocol):
    """Answers each connection with the same bytes, and leaves it open."""

    answer: bytes | None = b""

    def dataReceived(self, data: bytes) -> None:
        if self.answer is None:
            self.transport.abortConnection()
        else:
            self.transport.write(self.answer)

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.lost.callback(None)


class ConnectionTests(TestCase):
    """Servers that do not do what they should."""

    async def send(self, answer: bytes | None, timeout: float = 30.0) -> Attempt:
        """Send to a server that answers so; in the end the connection is closed."""
        factory: Any = Factory.forProtocol(Scripted)
        factory.protocol = type("Answering", (Scripted,), {"answer": answer})
        factory.lost = Deferred()
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        sender = HttpSender(http_client(reactor), reactor, lambda: 0)
        url = f"http://127.0.0.1:{port.getHost().port}/"
        to = Notification(name="a", url=url, timeout=timeout)
        attempt = await send(sender, to, MESSAGE, reactor)
        await factory.lost
        return attempt

    async def test_endless(self) -> None:
        """Headers, or a body, without an end are cut off."""
        head = b"HTTP/1.1 200 OK\r\n"
        endless = await self.send(head + b"X: y\r\n" * MOST)
        self.assertIs(endless.result, Result.LATER)
        whole = await self.send(head + b"\r\n" + b"x" * (2 * MOST))
        self.assertIs(whole.result, Result.DELIVERED)

    async def test_slow(self) -> None:
        """A server that answers nothing, or a half, is left when its time is over."""
        for answer in (b"", b"HTTP/1.1 200"):
            attempt = await self.send(answer, 0.05)
            late = Attempt(Result.LATER, "no end after 0.05 seconds")
            self.assertEqual(attempt, late)

    async def test_broken(self) -> None:
        """A connection that breaks, and what is not HTTP, are tried again."""
        for answer in (None, b"220 mail.example.org ESMTP\r\n\r\n"):
            attempt = await self.send(answer, 5)
            self.assertIs(attempt.result, Result.LATER)

    async def test_refused(self) -> None:
        """A server that is down is told from others."""
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")  # type: ignore[arg-type]
        url = f"http://127.0.0.1:{port.getHost().port}/"
        await maybeDeferred(port.stopListening)
        sender = HttpSender(http_client(reactor), reactor, lambda: 0)
        attempt = await sender.send(Notification(name="a", url=url), MESSAGE)
        down = Attempt(Result.LATER, "the connection was refused")
        self.assertEqual(attempt, down)
