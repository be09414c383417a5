"""Tests for L{shellstream.web.server.request_syntax}.

What may be read in two ways is refused.
"""

import json
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.model.errors import RequestMalformed
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
            ("CL.TE", "header, or how its body is framed"),
            ("coding: identity", "Transfer-Encoding is not chunked"),
            ("TE of HTTP/1.0", "HTTP/1.0 knows no Transfer-Encoding"),
            ("field: folded", "a header is no NAME: VALUE in one line"),
            ("line: HTTP/0.9", "its first line is no METHOD /PATH"),
        ):
            (reply,) = self.answers(ATTACKS[name])
            self.assertIn(words, json.loads(reply.body)["detail"])


def accepts(check: Callable[..., None], *given: object) -> bool:
    """Return whether a check raises nothing."""
    try:
        check(*given)
    except RequestMalformed:
        return False
    return True


class LineTests(SynchronousTestCase):
    """Lines are taken as they stand, or not at all."""

    @given(TOKEN, st.sampled_from(["/", "http://x", "HTTPS://x/"]), st.binary())
    def test_target(self, method: bytes, begin: str, rest: bytes) -> None:
        """A target is of visible ASCII."""
        visible = all(0x20 < byte < 0x7F for byte in rest)
        line = method + b" " + begin.encode() + rest + b" HTTP/1.1"
        self.assertEqual(accepts(request_syntax.check_request_line, line), visible)

    @given(TOKEN, st.binary())
    def test_value(self, name: bytes, value: bytes) -> None:
        """A header's value has no control characters but tabs."""
        clean = not any(byte in CONTROLS and byte != 9 for byte in value)
        line = name + b":" + value
        self.assertEqual(accepts(request_syntax.check_field_line, line), clean)

    @given(st.binary(max_size=20))
    def test_name(self, name: bytes) -> None:
        """A header's name is a token, up to the first colon."""
        name = name.replace(b":", b"")
        token = bool(name) and all(
            chr(byte) in "!#$%&'*+-.^_`|~" or (byte < 128 and chr(byte).isalnum())
            for byte in name
        )
        line = name + b": 1"
        self.assertEqual(accepts(request_syntax.check_field_line, line), token)

    @given(st.text("0123456789+-_ x", max_size=110).map(str.encode))
    def test_length(self, value: bytes) -> None:
        """A length has only digits, and not too many."""
        digits = value.strip(b" ")
        clear = digits.isdigit() and len(digits) <= 100
        line = b"CONTENT-length:" + value
        self.assertEqual(accepts(request_syntax.check_field_line, line), clear)

    @given(
        st.lists(st.just(b"5"), max_size=2),
        st.lists(st.sampled_from([b"chunked", b"Chunked", b"gzip"]), max_size=2),
        st.sampled_from([b"HTTP/1.0", b"HTTP/1.1"]),
    )
    def test_framing(
        self, lengths: list[bytes], codings: list[bytes], version: bytes
    ) -> None:
        """A head has at most one length, or one known coding, and not both."""
        headers = Headers(
            {b"host": [b"x"], b"content-length": lengths, b"transfer-encoding": codings}
        )
        known = codings in ([b"chunked"], [b"Chunked"]) and version == b"HTTP/1.1"
        clear = len(lengths) <= 1 if not codings else known and not lengths
        self.assertEqual(accepts(request_syntax.check_head, version, headers), clear)
