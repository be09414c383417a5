"""Tests for L{model.errors}, L{model.events} and the client's errors."""

from datetime import datetime, tzinfo
from http import HTTPStatus
from typing import Self
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client import errors as client_errors
from shellstream.client.cli.exit_codes import CODES
from shellstream.model import errors
from shellstream.model.errors import RefusedParameter, ShellstreamError, did_you_mean
from shellstream.model.events import Chunk, Stream, rfc3339
from shellstream.security.tokens import LAST_TIME

#: One of each, with what a handler of it may rely on.
RAISED = (
    errors.ParametersRefused([RefusedParameter("x", "is required")]),
    errors.RequestMalformed("no head"),
    errors.BodyMalformed("the body is not valid JSON"),
    errors.CrossSiteRequest(),
    errors.Unauthenticated(),
    errors.Forbidden("alice", "run"),
    errors.TooManyFailures(6),
    errors.WrongHost("evil.example"),
    errors.NotAProxy(),
    errors.CommandUnknown("bild", ["build", "test"]),
    errors.NoDefaultCommand(),
    errors.PathNotFound(),
    errors.MethodNotAllowed("PUT", ["GET", "HEAD"]),
    errors.NotAcceptable({"plain": "text/plain"}, "json"),
    errors.PreconditionFailed(),
    errors.SpeaksTLS(),
    errors.ContentCodingUnsupported("gzip"),
    errors.BodyTooLarge(65536),
    errors.MediaTypeUnsupported("text/xml"),
    errors.HeadersTooLarge(16384),
    errors.RequestTooSlow(),
    errors.ExpectationUnknown(),
    errors.TooManyConnections(3, 5),
    errors.TooManyKeys(3, 5),
    errors.CannotStart("build", "its program was not found"),
    errors.IdempotencyKeyReused(),
    errors.Busy("3 commands are running already", 5),
    errors.CannotRecord("the disk that holds the state is full"),
    errors.OffsetGone(1, 2),
    errors.RunUnknown("018f2c5e-0000-7000-8000-000000000000"),
    errors.RunForgotten("018f2c5e-0000-7000-8000-000000000000"),
    errors.RunFailed(
        "018f2c5e-0000-7000-8000-000000000000", "its program was not found"
    ),
    errors.RunActive("018f2c5e-0000-7000-8000-000000000000"),
    errors.RunNotRunning("queued"),
    errors.RangeNotSatisfiable(7, 3),
)


class ErrorTests(SynchronousTestCase):
    """Every error has an HTTP status, and a text with advice."""

    def test_long(self) -> None:
        """What a client sent does not make an error long."""
        text = "\xff" * 10_000
        refused = [RefusedParameter(f"p{n}", "is unknown") for n in range(2400)]
        for error in (
            errors.WrongHost(text),
            errors.CommandUnknown(text, ["build"]),
            errors.MethodNotAllowed(text, ["GET"]),
            errors.NotAcceptable({"plain": "text/plain"}, text),
            errors.MediaTypeUnsupported(text),
            errors.RunUnknown(text),
            errors.ParametersRefused(refused),
        ):
            self.assertLess(len(str(error)), 500, error)
            self.assertLess(len(repr(error.extensions)), 2000, error)
        self.assertTrue(str(error).endswith("p19: is unknown; and 2380 more"))

    def test_hint_work(self) -> None:
        """A hint costs no more than it may, however many names are known."""
        compared: list[str] = []

        def counted(name: str, known: list[str], n: int) -> list[str]:
            compared.extend(known)
            return []

        self.patch(errors, "get_close_matches", counted)
        for size in (1, 12, 40):
            compared.clear()
            did_you_mean("a" * size, ["b" * size] * 100_000)
            work = size * sum(map(len, compared))
            self.assertTrue(0 < work <= 40_000, (size, work))
        compared.clear()
        did_you_mean("a" * 41, ["b" * 41])
        did_you_mean("a" * 12, ["b" * 36, "b" * 4])
        self.assertEqual(compared, [])

    def test_all_are_here(self) -> None:
        """These tests look at every error there is."""
        there = set(ShellstreamError.__subclasses__())
        ours = {one for one in there if one.__module__ == errors.__name__}
        self.assertEqual(ours, {type(one) for one in RAISED})

    def test_status(self) -> None:
        """Each error has an HTTP error status."""
        for error in RAISED:
            with self.subTest(error=error):
                self.assertTrue(HTTPStatus(error.status).phrase)
                self.assertGreaterEqual(error.status, 400)

    def test_text(self) -> None:
        """Each error has a text; few have a header."""
        with_headers = (
            errors.Unauthenticated,
            errors.TooManyFailures,
            errors.TooManyConnections,
            errors.MethodNotAllowed,
            errors.Busy,
            errors.CannotRecord,
            errors.RangeNotSatisfiable,
            errors.ContentCodingUnsupported,
            errors.TooManyKeys,
        )
        for error in RAISED:
            with self.subTest(error=error):
                self.assertGreater(len(str(error).split()), 2)
                self.assertEqual(bool(error.headers), isinstance(error, with_headers))

    def test_parameters(self) -> None:
        """Refused parameters are listed by name, for programs too."""
        refused = [
            RefusedParameter("x", "is required"),
            RefusedParameter("n", "takes an integer"),
        ]
        error = errors.ParametersRefused(refused)
        self.assertEqual(str(error), "x: is required; n: takes an integer")
        self.assertEqual(
            error.extensions,
            {
                "parameters": [
                    {"name": "x", "detail": "is required"},
                    {"name": "n", "detail": "takes an integer"},
                ]
            },
        )

    def test_allow(self) -> None:
        """A method that is not allowed is answered with those that are."""
        error = errors.MethodNotAllowed("PUT", ["GET", "HEAD"])
        self.assertEqual(error.headers, {"Allow": "GET, HEAD, OPTIONS"})
        self.assertIn("PUT is not allowed here; use one of: GET, HEAD", str(error))
        error = errors.MethodNotAllowed("GET", ["POST"])
        self.assertIn("here; send POST, such as curl -d '' URL", str(error))

    def test_retry_after(self) -> None:
        """A busy daemon says when to come back, in the text and in the header."""
        error = errors.Busy("full", 5)
        self.assertEqual(error.headers, {"Retry-After": "5"})
        self.assertEqual(str(error), "full; try again in 5 seconds")

    def test_beyond_the_end(self) -> None:
        """A request beyond the output's end is answered with the end."""
        error = errors.RangeNotSatisfiable(7, 3)
        self.assertEqual(error.headers, {"Content-Range": "bytes */3"})
        self.assertEqual(error.extensions, {"size": 3})
        gone = errors.OffsetGone(1, 2)
        self.assertEqual(gone.extensions, {"offset": 1, "start": 2})
        self.assertIn("offset=2", str(gone))

    def test_long_id(self) -> None:
        """An id of any length is answered in few words."""
        self.assertLess(len(str(errors.RunUnknown("x" * 100_000))), 250)

    def test_unknown_command(self) -> None:
        """An unknown command's text names the one that was likely meant."""
        error = errors.CommandUnknown("bild", ["build", "test"])
        self.assertIn("'bild' (did you mean 'build'?)", str(error))

    def test_cannot_start(self) -> None:
        """The text names the command and the reason."""
        error = errors.CannotStart("build", "its program was not found")
        expected = "command 'build' cannot be started: its program was not found"
        self.assertEqual(str(error), expected)

    def test_did_you_mean(self) -> None:
        """A hint is given only for a similar word."""
        self.assertEqual(
            did_you_mean("tmeout", ["timeout"]), " (did you mean 'timeout'?)"
        )
        self.assertEqual(did_you_mean("x", ["timeout"]), "")
        self.assertEqual(did_you_mean("x", []), "")


class ClientErrorTests(SynchronousTestCase):
    """Every client error has an exit code of its own, which C{--help} lists."""

    def test_codes(self) -> None:
        """
        The exit codes differ, and each is in the help. A run that the client does not
        find has that of one which the server does not find.
        """
        self.assertEqual(client_errors.NoSuchRun.code, client_errors.Refused.code)
        found = [
            one
            for one in vars(client_errors).values()
            if isinstance(one, type)
            and "code" in vars(one)
            and one is not client_errors.NoSuchRun
        ]
        codes = [one.code for one in found]
        self.assertEqual(len(set(codes)), len(found))
        # Of the doctor, of runs, and of the client itself.
        ends = {66, 71, 72, 73, 129, 130, 141, 143}
        self.assertEqual(set(CODES), {*codes, *ends})

    def test_text(self) -> None:
        """The text is a line that begins with where it happened."""
        error = client_errors.CannotConnect("http://pi:8000", "connection refused")
        self.assertEqual(
            str(error), "http://pi:8000: cannot connect: connection refused"
        )
        self.assertEqual(error.url, "http://pi:8000")
        self.assertEqual(
            str(client_errors.NoSuchHost("http://pi")),
            "http://pi: no such host; check the spelling of its name, and your network",
        )


class ChunkTests(SynchronousTestCase):
    """A L{Chunk} has a place in the output."""

    def test_since(self) -> None:
        """The rest of a chunk begins where it was asked to, and ends where it did."""
        chunk = Chunk(10, Stream.STDERR, 7, b"abc")
        self.assertEqual(chunk.since(11), Chunk(11, Stream.STDERR, 7, b"bc"))
        self.assertEqual((chunk.end, chunk.since(11).end), (13, 13))
        self.assertIs(chunk.since(10), chunk)

    def test_until(self) -> None:
        """Its beginning begins where it did, and ends where it was asked to."""
        chunk = Chunk(10, Stream.STDERR, 7, b"abc")
        self.assertEqual(chunk.until(12), Chunk(10, Stream.STDERR, 7, b"ab"))
        for end in (13, 99):
            self.assertIs(chunk.until(end), chunk)


class TimeTests(SynchronousTestCase):
    """Times are written as RFC 3339 has it, in UTC."""

    def test_rfc3339(self) -> None:
        """Each time has microseconds, before 1970 too."""
        self.assertEqual(rfc3339(1_767_225_600_000_001), "2026-01-01T00:00:00.000001Z")
        self.assertEqual(rfc3339(0), "1970-01-01T00:00:00.000000Z")
        self.assertEqual(rfc3339(-1), "1969-12-31T23:59:59.999999Z")

    def test_beyond_2038(self) -> None:
        """No function of the C library is asked, which may end in 2038."""

        class ShortDates(datetime):
            """Dates on a machine whose C{time_t} has 32 bits."""

            @classmethod
            def fromtimestamp(cls, time: float, tz: tzinfo | None = None) -> Self:
                raise OverflowError("timestamp out of range for platform time_t")

        with patch("shellstream.model.events.datetime", ShortDates):
            self.assertEqual(rfc3339(1 << 51), "2041-05-10T11:56:53.685248Z")
            self.assertEqual(rfc3339(LAST_TIME), "9999-12-31T23:59:59.999999Z")
