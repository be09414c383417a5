"""Tests for L{shellstream.web}: every error is a problem document (RFC 9457)."""

import json

from twisted.python.failure import Failure

from shellstream.config.http_limits import DEFAULT_HTTP_LIMITS
from shellstream.config.loader import Config
from shellstream.web.console.frame import POLICY
from shellstream.web.resources.request_params import MAX_FIELDS
from tests.support.fakes import ECHO, SAY
from tests.support.http import Connection, Reply, WebTestCase
from tests.support.pages import BROWSER
from tests.support.web import FORM, JSON, ProblemTestCase


class ParameterTests(ProblemTestCase):
    """Parameters that do not fit are named, all at once."""

    def test_named(self) -> None:
        """The error names missing and unknown parameters."""
        found = self.refused("/stream/echo", b"z=1")
        self.assert_parameters(found, x="is required", z="is not a parameter of 'echo'")

    def test_query_and_body(self) -> None:
        """The same name in query and body is refused as a repeat."""
        found = self.refused("/stream/echo?x=1", b"x=1")
        self.assert_parameters(found, x="is given more than once")
        found = self.refused("/stream/echo?x=1", b'{"x": "2"}', JSON)
        self.assert_parameters(found, x="is given more than once")
        found = self.refused("/stream/echo?x=1&x=1")
        self.assert_parameters(found, x="is given more than once")

    def test_repeated_in_json(self) -> None:
        """The same for a name that occurs twice in a JSON object."""
        found = self.refused("/stream/echo", b'{"x": "1", "x": "1"}', JSON)
        self.assert_parameters(found, x="is given more than once")

    def test_wrong_types(self) -> None:
        """A string is a string: no other JSON value stands for one."""
        for value in (b"1", b"1.5", b"true", b"null", b"[]", b'["a"]', b"{}"):
            found = self.refused("/stream/echo", b'{"x": %b}' % value, JSON)
            self.assert_parameters(found, x="takes a string, not")

    def test_hostile_text(self) -> None:
        """NUL and half a surrogate pair reach no command."""
        found = self.refused("/stream/echo", b"x=a%00b")
        self.assert_parameters(found, x="must not contain a NUL")
        found = self.refused("/stream/echo", rb'{"x": "\ud800"}', JSON)
        self.assert_parameters(found, x="is not valid Unicode")
        found = self.refused("/stream/echo", rb'{"x": "a", "\ud800": 1}', JSON)
        self.assert_parameters(found, **{"\ud800": "is not a parameter"})

    def test_leading_dash(self) -> None:
        """A value that would be an option starts nothing."""
        found = self.refused("/stream/echo", b"x=-rf")
        self.assert_parameters(found, x="must not begin with '-'")

    def test_nested(self) -> None:
        """However deep a value is nested, it is the client's mistake, not ours."""
        # Some of these json.loads() takes, and repr() no more.
        for depth in range(50, 1200, 50):
            body = b'{"x": ' + b'{"a": ' * depth + b"1" + b"}" * depth + b"}"
            with self.subTest(depth=depth):
                self.assertEqual(
                    self.refused("/stream/echo", body, JSON)["status"], 400
                )


class BodyTests(ProblemTestCase):
    """A body that does not match its type starts nothing."""

    def test_json(self) -> None:
        """A body that is not a JSON object is refused with the reason."""
        wrong = {
            b'{"x": ': "not valid JSON",
            b"{'x': 'a'}": "not valid JSON",
            b'{"x": NaN}': "NaN is no JSON number",
            b'{"x": -Infinity}': "-Infinity is no JSON number",
            b'{"x": "\xff"}': "not valid JSON",
            b"[" * 60_000: "nests more than 8 lists and objects",
            b'{"x":' * 10_000: "nests more than 8 lists and objects",
            b'{"x": %b%b}' % (b"[" * 8, b"]" * 8): "nests more than 8",
            b'{"x": [%b[]]}' % (b"[]," * 200): "more than 200 lists and objects",
            b'{"x": {%b}}' % b",".join(b'"%d": 1' % n for n in range(200)): (
                "more than 200 parameters"
            ),
            b'{"x": %b}' % (b"9" * 60_000): "not valid JSON",
            b'["x"]': "must be a JSON object",
            b'"x"': "must be a JSON object",
            b"null": "must be a JSON object",
            b"[[1, 2]]": "must be a JSON object",
        }
        for body, words in wrong.items():
            with self.subTest(body=body[:40]):
                found = self.refused("/stream/echo", body, JSON)
                self.assertEqual((found["status"], "parameters" in found), (400, False))
                self.assertIn(words, found["detail"])

    def test_form(self) -> None:
        """Text that is not percent-encoded UTF-8 is refused, in query and body."""
        for text in (b"x=%ff", b"x=%c3", b"%ff=x", b"x=%ed%a0%80", b"x=\xc3\xbc"):
            found = self.refused("/stream/echo", text)
            self.assertEqual(found["status"], 400)
            self.assertIn("percent-encoded UTF-8", found["detail"])
        for query in ("x=%ff", "%c3=1"):
            found = self.refused(f"/stream/echo?{query}")
            self.assertIn("percent-encoded UTF-8", found["detail"])

    def test_too_many(self) -> None:
        """Hundreds of parameters are refused."""
        pairs = "&".join(f"p{n}=" for n in range(MAX_FIELDS + 1))
        document = json.dumps(dict.fromkeys(map(str, range(MAX_FIELDS + 1))))
        for path, body, media_type in (
            ("/stream/echo", pairs.encode(), FORM),
            (f"/stream/echo?{pairs}", b"", FORM),
            ("/stream/echo", document.encode(), JSON),
        ):
            found = self.refused(path, body, media_type)
            self.assertEqual(found["status"], 400)
            self.assertIn("more than 200 parameters", found["detail"])

    def test_media_type(self) -> None:
        """A body of another type is refused, and the types that will do are named."""
        for media_type in (
            "multipart/form-data; boundary=x",
            "text/xml",
            "text/plain",
            "",
        ):
            found = self.refused("/stream/echo?x=a", b"x=a", media_type)
            self.assertEqual(found["status"], 415)
            self.assertIn(media_type.partition(";")[0], found["detail"])
            self.assertIn(f"{FORM} or {JSON}", found["detail"])

    def test_no_body(self) -> None:
        """Without a body, its type is ignored."""
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        self.ask("POST", "/stream/echo?x=a", b"", headers)
        self.assertEqual(self.reply().status, 200)


class HeaderTests(WebTestCase):
    """Headers may hold any bytes."""

    def test_no_text(self) -> None:
        """A header that is not UTF-8 causes no error, wherever it is read."""
        names = ("Accept", "Authorization", "Idempotency-Key", "Last-Event-ID", "Range")
        for path in ("/", "/stream", "/events", "/runs/x/output", "/doctor"):
            for name in (*names, "Host"):
                connection = Connection(self.site)
                host = "" if name == "Host" else "Host: localhost\r\n"
                head = f"GET {path} HTTP/1.1\r\n{host}{name}: ".encode()
                connection.send(head + b"\xff\x9b\r\n\r\n")
                statuses = (421,) if name == "Host" else (200, 400, 404)
                self.assertIn(connection.reply().status, statuses, (path, name))


class PageTests(ProblemTestCase):
    """Somebody at a browser without scripts reads a page."""

    def refusal(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """What a browser is answered."""
        headers = {"Accept": BROWSER, "Content-Type": FORM}
        reply = Connection(self.site).ask(method, path, body, headers)
        self.assertEqual(reply.headers["content-type"], "text/html; charset=utf-8")
        self.assertEqual(reply.headers["content-security-policy"], POLICY)
        return reply

    def test_browser(self) -> None:
        """Each refusal is a page with a way back, at any stage of a request."""
        run = self.begin().run.id
        for status, method, path, body in (
            (404, "GET", "/nothing", None),
            (404, "POST", "/?start=nothing", b""),
            (404, "POST", "/runs/0/cancel", b""),
            (405, "POST", f"/runs/{run}/output", b""),
            (413, "POST", "/?start=say", b"x" * (DEFAULT_HTTP_LIMITS.body_size + 1)),
            (400, "GET", "/runs?limit=x", None),
            (415, "POST", f"/runs/{run}/signal", b"x"),
        ):
            reply = self.refusal(method, path, body)
            self.assertEqual(reply.status, status, path)
            back = "../" * (path.count("/") - 1) or "./"
            self.assertIn(f'href="{back}">All commands'.encode(), reply.body)

    def test_programs(self) -> None:
        """What sends JSON, or is a script of a page, gets the problem document."""
        for headers in (
            {"Content-Type": JSON},
            {"Content-Type": FORM, "Shellstream-CSRF": ""},
        ):
            headers |= {"Accept": BROWSER}
            reply = Connection(self.site).ask("POST", "/nothing", b"{}", headers)
            kind = reply.headers["content-type"]
            self.assertEqual(kind, "application/problem+json", headers)


class AnyErrorTests(ProblemTestCase):
    """All errors have the same form."""

    config = Config(commands={"echo": ECHO, "say": SAY})

    def test_statuses(self) -> None:
        """Each wrong path has its own status and words."""
        wrong = (
            ("GET", "/nothing", 404, "GET / lists"),
            ("GET", "/stream/ehco", 404, "did you mean 'echo'?"),
            ("GET", "/commands/ehco", 404, "did you mean 'echo'?"),
            ("GET", "/nothing/", 404, "nothing lives"),
            ("GET", "/commands/echo/x", 404, "nothing lives"),
            ("GET", "/stream", 404, "no default command"),
            ("GET", "/stream/echo", 405, "nobody runs it by accident"),
            ("GET", "/stream/echo", 405, "send POST, such as curl -d '' URL"),
            ("GET", "/runs//output", 404, "the id of the run is empty"),
            ("DELETE", "/", 405, "DELETE is not allowed here"),
            ("POST", "/commands", 405, "use one of: GET, HEAD"),
        )
        for method, path, status, words in wrong:
            with self.subTest(path=path):
                reply = self.ask(method, path)
                found = self.problem()
                self.assertEqual(found["status"], status)
                self.assertIn(words, found["detail"])
                self.assertEqual("allow" in reply.headers, status == 405)

    def test_content_coding(self) -> None:
        """A compressed body is refused, also where its bytes are input for a run."""
        for path in ("/stream/echo", "/runs", "/runs/x/stdin", "/commands"):
            for coding in ("gzip", "br", "identity, gzip", "x" * 200):
                headers = {"Content-Encoding": coding}
                connection = Connection(self.site)
                reply = connection.ask("POST", path, b"\x1f\x8b", headers)
                self.assertEqual(reply.status, 415, path)
                self.assertEqual(reply.headers["accept-encoding"], "identity")
                self.assertIn("send it as it is", json.loads(reply.body)["detail"])
        headers = {"Content-Encoding": "identity", "Content-Type": FORM}
        reply = Connection(self.site).ask("POST", "/stream/echo", b"x=1", headers)
        self.assertEqual(reply.status, 200)

    def test_head(self) -> None:
        """HEAD gets the same headers and no body."""
        reply = self.ask("HEAD", "/nothing")
        self.assertEqual((reply.status, reply.rest), (404, b""))
        self.assertEqual(reply.headers["content-type"], "application/problem+json")

    def test_http_1_0(self) -> None:
        """HTTP/1.0 gets the same answer, and its close."""
        self.ask("GET", "/nothing", version="HTTP/1.0")
        self.assertEqual(self.problem()["status"], 404)
        self.assertTrue(self.connection.wire.disconnecting)

    def test_unforeseen(self) -> None:
        """The response to an unforeseen error tells nothing about the daemon."""
        self.spawn.error = FileNotFoundError(2, "No such file", "/srv/secret/path")
        self.ask("GET", "/stream/say")
        found = self.problem()
        self.assertEqual(found["status"], 500)
        self.assertIn("something unforeseen went wrong", found["detail"])
        for word in (b"Traceback", b"secret", b".py", b"FileNotFound"):
            self.assertNotIn(word, self.connection.wire.value())
        (logged,) = self.flushLoggedErrors(FileNotFoundError)
        self.assertIs(logged.value, self.spawn.error)
        self.assertFalse(self.connection.wire.disconnecting)
        self.spawn.error = None
        self.assertEqual(self.ask("GET", "/stream/say").status, 200)

    def test_unforeseen_in_midstream(self) -> None:
        """After the start of the output, the only possible error is a cut."""
        self.ask("GET", "/stream/say")
        self.started.say(b"x")
        (request,) = self.connection.channel.requests
        failure = Failure(ZeroDivisionError())
        self.assertIs(request.processingFailed(failure), failure)
        self.assertTrue(self.connection.wire.disconnected)
        self.assertFalse(self.reply().whole)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
