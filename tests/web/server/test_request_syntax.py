"""Tests for L{shellstream.web.server.request_syntax}.

What may be read in two ways is refused.
"""

import json
import re
from collections.abc import Callable

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.command import Command
from shellstream.config.http_limits import HttpLimits
from shellstream.config.loader import Config
from shellstream.model.errors import (
    RequestMalformed,
    SpeaksTLS,
)
from shellstream.web.server import request_syntax
from tests.support.http import Reply, WebTestCase, parsed
from tests.support.smuggling import ALLOWED, ATTACKS, HIDDEN

CONTROLS = [*range(0x20), 0x7F]
TOKEN = st.text("!#$%&'*+-.^_`|~09AZaz", min_size=1).map(str.encode)


class SyntaxTestCase(WebTestCase):
    """C{GET /stream/hidden} would start a run."""

    config = Config(
        commands={"hidden": Command(name="hidden", argv=("true",), get=True)}
    )

    def answers(self, data: bytes) -> list[Reply]:
        """Return the responses to these bytes, sent in one read."""
        self.serve(self.config)
        self.connection.send(data)
        found, rest = [], self.connection.wire.value()
        while rest:
            found.append(parsed(rest))
            rest = found[-1].rest
        return found


class SmugglingTests(SyntaxTestCase):
    """A smuggled request is never executed."""

    def test_hidden(self) -> None:
        """The hidden request would be executed if it came openly."""
        self.answers(HIDDEN)
        self.assertEqual(len(self.spawn.started), 1)

    def test_attacks(self) -> None:
        """Each attack is refused, and the bytes behind it are ignored."""
        for name, data in ATTACKS.items():
            with self.subTest(name=name):
                (reply,) = self.answers(data)
                self.assertIn(reply.status, (400, 413, 417), name)
                self.assertTrue(self.connection.wire.half_closed, name)
                self.connection.send(HIDDEN)
                self.assertEqual(self.spawn.started, [], name)
                self.assertEqual(json.loads(reply.body)["status"], reply.status)

    def test_byte_by_byte(self) -> None:
        """However it comes."""
        for name, data in ATTACKS.items():
            with self.subTest(name=name):
                self.serve(self.config)
                for index in range(len(data)):
                    self.connection.send(data[index : index + 1])
                self.assertIn(self.reply().status, (400, 413, 417), name)
                self.assertEqual(self.spawn.started, [], name)

    def test_allowed(self) -> None:
        """A clear request is answered, and a body is never taken for a request."""
        for name, data in ALLOWED.items():
            with self.subTest(name=name):
                (reply,) = self.answers(data)
                self.assertIn(reply.status, (200, 405), name)
                self.assertEqual(self.spawn.started, [], name)

    def test_next(self) -> None:
        """Behind a clear request another one has its turn."""
        for name, data in ALLOWED.items():
            if b"HTTP/1.0" not in data:
                with self.subTest(name=name):
                    self.answers(data + HIDDEN)
                    self.clock.advance(0)
                    self.assertEqual(len(self.spawn.started), 1, name)

    def test_close(self) -> None:
        """A request with C{Connection: close} is the last one."""
        twice = b"x\r\nConnection: close"
        for value in (b"close", b"Close", b"x, close", b"close, x", twice):
            with self.subTest(value=value):
                head = b"GET /commands HTTP/1.1\r\nHost: localhost\r\nConnection: "
                (reply,) = self.answers(head + value + b"\r\n\r\n" + HIDDEN)
                self.assertEqual(reply.status, 200)
                self.assertEqual(reply.headers["connection"], "close")
                self.assertEqual(self.spawn.started, [], value)
                self.assertTrue(self.connection.wire.disconnecting)

    def test_why(self) -> None:
        """The response says what is wrong."""
        for name, words in (
            ("no Host", "it has 0 Host headers"),
            ("field: another Host", "it has 2 Host headers"),
            ("CL.TE", "it says more than once how long its body is"),
            ("coding: identity", "Transfer-Encoding is not chunked"),
            ("TE of HTTP/1.0", "HTTP/1.0 knows no Transfer-Encoding"),
            ("field: folded", "a header is no NAME: VALUE in one line"),
            ("line: HTTP/0.9", "its first line is no METHOD /PATH"),
        ):
            (reply,) = self.answers(ATTACKS[name])
            self.assertIn(words, json.loads(reply.body)["detail"])


def accepts(check: Callable[..., object], *given: object) -> bool:
    """Return whether a check raises nothing."""
    try:
        check(*given)
    except (RequestMalformed, SpeaksTLS):
        return False
    return True


class FirstBytesTests(SyntaxTestCase):
    """What cannot begin a request is answered at once, not when a line ends."""

    def test_tls(self) -> None:
        """A client that speaks TLS is told that this port does not."""
        (reply,) = self.answers(b"\x16\x03\x01\x02\x00\x01\x00")
        self.assertEqual(reply.status, 400)
        self.assertIn("write http:// in place", json.loads(reply.body)["detail"])

    def test_nonsense(self) -> None:
        """Other bytes are refused too; the beginning of a request waits for more."""
        for data in (b"\0", b"\xff\xfe", b" GET", b"\x80\x2e", b"{}", b"\t"):
            (reply,) = self.answers(data)
            self.assertEqual(reply.status, 400, data)
        for data in (b"G", b"\r", b"\r\n", b"!"):
            self.assertEqual(self.answers(data), [], data)


class VersionTests(SyntaxTestCase):
    """A later minor version is understood; another major one is not (RFC 9110, 2.5)."""

    def test_minor(self) -> None:
        """HTTP/1.2 is answered as HTTP/1.1, and the connection goes on."""
        for version in ("1.1", "1.2", "1.9"):
            head = f"GET /commands HTTP/{version}\r\nHost: localhost\r\n\r\n".encode()
            self.assertEqual([each.status for each in self.answers(head)], [200])
            self.assertTrue(self.connection.wire.value().startswith(b"HTTP/1.1 200"))
            self.connection.send(head)
            self.assertEqual(self.connection.wire.value().count(b"HTTP/1.1 200"), 2)

    def test_major(self) -> None:
        """HTTP/2.0 is refused."""
        for version in ("2.0", "3.1"):
            head = f"GET /commands HTTP/{version}\r\nHost: localhost\r\n\r\n".encode()
            self.assertEqual([each.status for each in self.answers(head)], [400])


class TargetTests(SyntaxTestCase):
    """The host of a whole URL counts, whatever the header says (RFC 9112, 3.2.2)."""

    def status(self, target: str, host: str, version: str = "1.1") -> int:
        head = f"GET {target} HTTP/{version}\r\n"
        lines = f"Host: {host}\r\n" if host else ""
        (reply,) = self.answers(f"{head}{lines}\r\n".encode())
        return reply.status

    def test_host(self) -> None:
        """A name in the target is allowed, or refused, as one in the header is."""
        self.assertEqual(self.status("http://localhost/commands", "evil.test"), 200)
        self.assertEqual(self.status("http://localhost", "evil.test"), 200)
        self.assertEqual(self.status("http://evil.test/commands", "localhost"), 421)
        self.assertEqual(self.status("http://evil.test/commands", "", "1.0"), 421)
        self.assertEqual(self.status("http://a@localhost/commands", "localhost"), 421)
        self.assertEqual(self.status("http:///commands", "localhost"), 400)

    def test_empty_port(self) -> None:
        """The port of a name may be empty (RFC 3986, 3.2.3)."""
        self.assertEqual(self.status("/commands", "localhost:"), 200)
        self.assertEqual(self.status("/commands", "evil.test:"), 421)


class LineTests(SynchronousTestCase):
    """Lines are taken as they stand, or not at all."""

    @given(TOKEN, st.sampled_from(["/", "http://x", "HTTPS://x/"]), st.binary())
    def test_target(self, method: bytes, begin: str, rest: bytes) -> None:
        """A target is of visible ASCII."""
        visible = all(0x20 < byte < 0x7F for byte in rest)
        if begin == "http://x" and b"#" in rest:
            visible = visible and not re.match(rb"[^/?]*#", rest)
        line = method + b" " + begin.encode() + rest + b" HTTP/1.1"
        self.assertEqual(accepts(request_syntax.match_request_line, line), visible)

    @given(TOKEN, st.binary())
    def test_value(self, name: bytes, value: bytes) -> None:
        """A header's value has no control characters but tabs."""
        assume(b"\r\n" not in value)
        clean = not any(byte in CONTROLS and byte != 9 for byte in value)
        line = name + b":" + value
        self.assertEqual(accepts(request_syntax.parse_fields, line), clean)

    @given(st.binary(max_size=20))
    def test_name(self, name: bytes) -> None:
        """A header's name is a token, up to the first colon."""
        name = name.replace(b":", b"")
        token = bool(name) and all(
            chr(byte) in "!#$%&'*+-.^_`|~" or (byte < 128 and chr(byte).isalnum())
            for byte in name
        )
        line = name + b": 1"
        self.assertEqual(accepts(request_syntax.parse_fields, line), token)

    @given(st.text("0123456789+-_ x", max_size=110).map(str.encode))
    def test_length(self, value: bytes) -> None:
        """A length has only digits, and not too many."""
        digits = value.strip(b" ")
        clear = digits.isdigit() and len(digits) <= 100
        line = b"CONTENT-length:" + value
        self.assertEqual(accepts(request_syntax.parse_fields, line), clear)

    @given(
        st.lists(st.just(b"5"), max_size=2),
        st.lists(st.sampled_from([b"chunked", b"Chunked", b"gzip"]), max_size=2),
        st.sampled_from([b"HTTP/1.0", b"HTTP/1.1"]),
    )
    def test_framing(
        self, lengths: list[bytes], codings: list[bytes], version: bytes
    ) -> None:
        """A head has at most one length, or one known coding, and not both."""
        fields = [b"Content-Length: " + each for each in lengths]
        fields += [b"Transfer-Encoding: " + each for each in codings]
        head = b"\r\n".join([b"POST / " + version, b"Host: localhost", *fields])
        known = codings in ([b"chunked"], [b"Chunked"]) and version == b"HTTP/1.1"
        clear = len(lengths) <= 1 if not codings else known and not lengths
        self.assertEqual(accepts(request_syntax.parse_head, head, HttpLimits()), clear)
