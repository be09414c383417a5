"""Tests for L{shellstream.client.follow}: every byte, or an error."""

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client import Client, View
from shellstream.client.errors import (
    CannotConnect,
    ClientError,
    CommandFailed,
    ContractViolation,
    CutShort,
    NoResponse,
    NoSuchHost,
    Refused,
    ServerFailed,
    TooMuchOutput,
)
from shellstream.client.events import Event, Gap, Output
from shellstream.client.follow import Following
from shellstream.client.retry import MAX_DELAY
from tests.support.client_wires import (
    FakeAnswer,
    FakeWire,
    begun,
    control,
    document,
    ended,
    finish,
    frame,
    stream,
    whole,
)

AWAY = CannotConnect("http://h", "refused")


class FollowingTestCase(SynchronousTestCase):
    """A client whose server answers as the test says."""

    def client(
        self, *answers: FakeAnswer | ClientError, retry_for: float = 60.0
    ) -> Client:
        """Return a client whose requests are in C{self.wire}."""
        self.wire = FakeWire(answers)
        self.noted: list[tuple[ClientError, float]] = []

        def noted(error: ClientError, delay: float) -> None:
            self.noted.append((error, delay))

        return Client("http://h/", self.wire, retry_for=retry_for, on_retry=noted)

    def all_of(self, following: Following) -> Sequence[Event]:
        """Its events, to the end."""
        events: Sequence[Event] = finish(whole(following))
        return events

    def fails(self, following: Following, kind: type[ClientError]) -> ClientError:
        """The error that it ends with."""
        error: ClientError = self.assertRaises(kind, finish, whole(following))
        return error

    def data(self, events: Sequence[Event]) -> bytes:
        """Join all output."""
        return b"".join(each.data for each in events if isinstance(each, Output))


class WholeTests(FollowingTestCase):
    """A run without interruptions."""

    def test_run(self) -> None:
        """The run, its output and its end, in order."""
        wire = begun() + frame(1, b"a") + frame(2, b"b") + ended(2, code=3)
        answer = stream(wire)
        following = self.client(answer).run("x y", {"a": "1 2", "b": "é"})
        events = self.all_of(following)
        self.assertEqual(self.data(events), b"ab")
        assert following.end is not None
        self.assertEqual((following.run, following.end.code), ("r", 3))
        self.assertEqual(events[-1], following.end)
        self.assertTrue(answer.closed)
        (asked,) = self.wire.asked
        self.assertEqual(asked.line, "POST /stream/x%20y")
        self.assertEqual(asked.body, b"a=1+2&b=%C3%A9")
        self.assertGreaterEqual(len(asked.headers["idempotency-key"]), 32)
        self.assertEqual(asked.headers["accept"], "application/vnd.shellstream.frames")
        self.assertEqual(self.noted, [])

    def test_default(self) -> None:
        """Without a name the default command is run."""
        self.all_of(self.client(stream(begun() + ended(0))).run())
        self.assertEqual(self.wire.lines, ["POST /stream"])

    def test_keys_differ(self) -> None:
        """Each run has its own idempotency key."""
        client = self.client(stream(begun() + ended(0)))
        self.all_of(client.run())
        self.wire.answers = [stream(begun() + ended(0))]
        self.all_of(client.run())
        self.assertEqual(
            len({each.headers["idempotency-key"] for each in self.wire.asked}), 2
        )

    def test_view(self) -> None:
        """A part of a run is asked for as the view says."""
        for view, query in (
            (View(), "offset=0"),
            (View(7, lossless=True), "offset=7&lossless=true"),
            (View(tail=3, only="stderr"), "tail=3&stream=stderr"),
        ):
            offset = view.offset if view.tail is None else 40
            wire = begun(offset) + ended(offset)
            self.all_of(self.client(stream(wire)).follow("r", view))
            self.assertEqual(self.wire.lines, [f"GET /runs/r/output?{query}"])

    def test_times(self) -> None:
        """With timestamps requested, the client uses NDJSON and reports the times."""
        line = b'{"offset":0,"time":"T","stream":"stdout","text":"a"}\n'
        end = b'{"type":"end","state":"exited","code":0,"signal":null,'
        end += b'"reason":null,"offset":1}\n'
        following = self.client(stream(line + end)).follow("r", View(timed=True))
        self.assertEqual(self.all_of(following)[0], Output(0, "stdout", b"a", "T"))
        self.assertEqual(self.wire.asked[0].headers["accept"], "application/x-ndjson")

    def test_closed(self) -> None:
        """After close() there are no events, and the connection is closed."""

        async def leave() -> None:
            async with self.client(answer).follow("r") as following:
                async for _ in following:
                    break
            with self.assertRaises(StopAsyncIteration):
                await following.__anext__()

        answer = stream(begun(), frame(1, b"a"))
        finish(leave())
        self.assertTrue(answer.closed)

    def test_snapshot(self) -> None:
        """
        A snapshot that holds all expected bytes is complete without an end record.
        """
        view = View(follow=False)
        size = document({"size": 2})
        answer = stream(begun() + frame(1, b"ab"), b"")
        events = self.all_of(self.client(size, answer).follow("r", view))
        self.assertEqual(self.data(events), b"ab")
        self.assertEqual(
            self.wire.lines, ["GET /runs/r", "GET /runs/r/output?offset=0&follow=false"]
        )

    def test_snapshot_cut(self) -> None:
        """An end before the known end of the output is a hidden cut."""
        answers = (
            document({"size": 2}),
            stream(begun() + frame(1, b"a"), b""),
            stream(begun(1) + frame(1, b"b"), b""),
        )
        following = self.client(*answers).follow("r", View(follow=False))
        self.assertEqual(self.data(self.all_of(following)), b"ab")


class CutTests(FollowingTestCase):
    """A stream that is cut is taken up at its next byte."""

    def test_resumed(self) -> None:
        """Wherever it is cut, no byte is missing or repeated."""
        data = bytes(range(60))
        wire = begun() + frame(1, data) + ended(60)
        for cut in range(len(wire) - 1):
            first = stream(wire[:cut])
            at = max(0, min(60, cut - len(begun()) - 8))
            rest = frame(2, data[at:]) if at < 60 else b""
            second = stream(begun(at) + rest + ended(60))
            following = self.client(first, second).run("c")
            self.assertEqual(self.data(self.all_of(following)), data)
            again = f"GET /runs/r/output?offset={at}&lossless=true"
            self.assertEqual(self.wire.lines, ["POST /stream/c", again])
            self.assertTrue(first.closed)
            self.assertEqual(self.wire.slept, [])

    def test_clean_end(self) -> None:
        """A stream without an end record was cut, even if it ends well."""
        answers = stream(begun(), b""), stream(begun() + ended(0))
        self.all_of(self.client(*answers).run("c"))
        self.assertEqual(len(self.wire.asked), 2)

    def test_unanswered(self) -> None:
        """A request that may have begun a run is sent again, with the same key."""
        answers = NoResponse("h"), AWAY, stream(begun()), stream(begun() + ended(0))
        self.all_of(self.client(*answers).run("c", {"a": "1"}))
        first, second, third, fourth = self.wire.asked
        for again in (second, third):
            self.assertEqual((again.headers, again.body), (first.headers, first.body))
        # The server lets only the starter itself miss nothing.
        self.assertEqual(fourth.line, "GET /runs/r/output?offset=0&lossless=true")

    def test_patience(self) -> None:
        """The first try is at once; the longer it takes, the longer the waits."""
        cut = stream(begun())
        following = self.client(cut, *[AWAY] * 30, retry_for=300.0).follow("r")
        error = self.fails(following, CutShort)
        self.assertIn("shellstream attach r --from 0", str(error))
        self.assertIn("for 300 s", str(error))
        self.assertLessEqual(max(self.wire.slept), MAX_DELAY)
        self.assertAlmostEqual(sum(self.wire.slept), 300.0)
        self.assertEqual(self.noted[0][1], 0)
        self.assertGreater(sum(self.wire.slept[-5:]), sum(self.wire.slept[:5]))

    def test_jitter(self) -> None:
        """No two clients come back at the same moments."""
        waits = set()
        for _ in range(2):
            following = self.client(stream(begun()), *[AWAY] * 30).follow("r")
            self.fails(following, CutShort)
            waits.add(tuple(self.wire.slept))
        self.assertEqual(len(waits), 2)

    def test_progress(self) -> None:
        """Time runs from the last byte on, not from the first cut."""
        answers: list[FakeAnswer | ClientError] = []
        for offset in range(40):
            answers += [stream(begun(offset) + frame(1, b"x")), *[AWAY] * 4]
        following = self.client(
            *answers, stream(begun(40) + ended(40)), retry_for=10.0
        ).follow("r")
        self.assertEqual(self.data(self.all_of(following)), b"x" * 40)
        self.assertGreater(sum(self.wire.slept), 10.0)

    def test_cut_at_once(self) -> None:
        """A server that only greets is asked ever less often, and not for ever."""
        for steps in ((), (begun(),)):
            cuts = [stream(*steps) for _ in range(1000)]
            self.fails(self.client(*cuts).follow("r"), CutShort)
            self.assertLess(len(self.wire.asked), 30)
            self.assertGreater(sum(self.wire.slept), 59)

    def test_lasting(self) -> None:
        """A quiet run may be watched through a proxy that soon cuts each connection."""

        class Quiet(FakeAnswer):
            async def read(quiet, timeout: float | None = None) -> bytes:  # noqa: N805
                if len(quiet.steps) == 1:
                    self.wire.now += 5
                return await super().read(timeout)

        cuts = [
            Quiet(each.steps, headers=each.headers)
            for each in (stream(begun()) for _ in range(100))
        ]
        self.all_of(self.client(*cuts, stream(begun() + ended(0))).follow("r"))
        self.assertEqual(sum(self.wire.slept), 0)

    def test_no_patience(self) -> None:
        """With C{retry_for=0} the client does not reconnect after a cut."""
        following = self.client(stream(begun()), retry_for=0).run("c")
        self.fails(following, CutShort)
        self.assertEqual(len(self.wire.asked), 1)
        self.fails(self.client(NoResponse("h"), retry_for=0).run("c"), CutShort)

    def test_never_reached(self) -> None:
        """The client does not wait for a server that was never there."""
        for error in (AWAY, NoSuchHost("h"), ServerFailed("h", 503, "busy")):
            self.assertIs(self.fails(self.client(error).run("c"), type(error)), error)
            found = self.fails(self.client(error).follow("r"), type(error))
            self.assertIs(found, error)

    def test_for_now(self) -> None:
        """A daemon that restarts, for which its proxy speaks, or has no room, will."""
        for status in (408, 429, 502, 503, 504):
            away = document({}, status)
            answers = stream(begun()), away, stream(begun() + ended(0))
            self.all_of(self.client(*answers).run("c"))

    def test_gone(self) -> None:
        """A run that is not there any more will not come back."""
        gone = document({"detail": "there is no run 'r'"}, 404)
        error = self.fails(self.client(stream(begun()), gone).run("c"), Refused)
        self.assertIn("there is no run 'r'", str(error))
        failed = document({"detail": "oops"}, 500)
        self.fails(self.client(stream(begun()), failed).run("c"), ServerFailed)

    def test_gap(self) -> None:
        """Output that is no longer kept is reported as a gap."""
        gap = begun() + control(type="gap", offset=0, end=9, bytes=9)
        answers = stream(gap), stream(begun(9) + frame(1, b"x") + ended(10))
        following = self.client(*answers).follow("r")
        events = self.all_of(following)
        self.assertIn(Gap(0, 9), events)
        self.assertEqual(self.data(events), b"x")

    def test_tail(self) -> None:
        """A tail is requested once; a reconnect continues at the offset."""
        answers = (
            stream(begun(50) + frame(1, b"ab")),
            stream(begun(52) + ended(52)),
        )
        self.all_of(self.client(*answers).follow("r", View(tail=2)))
        expected = ["GET /runs/r/output?tail=2", "GET /runs/r/output?offset=52"]
        self.assertEqual(self.wire.lines, expected)


class NonsenseTests(FollowingTestCase):
    """A server that contradicts itself is not believed."""

    def test_refused(self) -> None:
        """Any other answer is an error."""
        for wire in (
            begun() + ended(1),
            begun(5),
            begun(run="other"),
            b"HTTP/1.1 200",
            begun() + ended(0) + b"x",
        ):
            self.fails(self.client(stream(wire)).follow("r"), ContractViolation)

    def test_other_stream(self) -> None:
        """The server must not send a stream that was not requested."""
        wire = begun() + frame(2, b"x")
        following = self.client(stream(wire)).follow("r", View(only="stdout"))
        self.assertIn(
            "was not asked for", str(self.fails(following, ContractViolation))
        )

    def test_nameless(self) -> None:
        """A response that does not name its run is refused."""
        self.fails(self.client(FakeAnswer([b""])).run("c"), ContractViolation)
        for odd in ("", "../x", "a b", "\x1b[2J", "x" * 101):
            following = self.client(stream(begun(), run=odd)).run("c")
            error = self.fails(following, ContractViolation)
            self.assertIn("is this a shellstream server?", str(error))

    def test_foreign(self) -> None:
        """A short page of another server is not the first bytes of output."""
        following = self.client(FakeAnswer([b"hi\n"])).follow("r")
        error = self.fails(following, ContractViolation)
        self.assertIn("is this a shellstream server?", str(error))


class CollectTests(FollowingTestCase):
    """All output of a run in one call."""

    PRINTS = frame(1, b"out") + frame(2, b"err") + frame(1, b"!")

    def test_whole(self) -> None:
        """Both streams are whole, over two connections."""
        first, second = stream(begun() + frame(1, b"ou")), stream(begun(2), ended(7))
        second.steps[1:1] = [frame(1, b"t"), frame(2, b"err") + frame(1, b"!")]
        result = finish(self.client(first, second).run("c").collect())
        self.assertEqual(
            (result.run, result.stdout, result.stderr), ("r", b"out!", b"err")
        )
        self.assertEqual(result.end.code, 0)

    def test_too_much(self) -> None:
        """Output that is more than the caller wants is not held, and not read on."""
        for most, fits in ((7, True), (6, False), (0, False)):
            answer = stream(begun() + self.PRINTS, ended(7))
            collecting = self.client(answer).run("c").collect(most)
            if fits:
                self.assertEqual(finish(collecting).stdout, b"out!")
            else:
                error = self.assertRaises(TooMuchOutput, finish, collecting)
                self.assertIn(
                    f"run r: too much output to hold: it has more than {most}",
                    str(error),
                )
            self.assertTrue(answer.closed)

    def test_output(self) -> None:
        """A run's output and its end come in one call; a failure raises if asked."""
        for code in (0, 3):
            answer = stream(begun() + self.PRINTS, ended(7, code=code))
            found = finish(self.client(answer).output("c", {"a": "1"}))
            self.assertEqual((found.stdout, found.stderr), (b"out!", b"err"))
            self.assertEqual((found.state, found.exit_code), ("exited", code))
            self.assertFalse(found.truncated)
        failing = self.client(stream(begun() + self.PRINTS, ended(7, code=3)))
        error = self.assertRaises(CommandFailed, finish, failing.output(check=True))
        self.assertEqual(error.result.stderr, b"err")
        self.assertEqual(str(error), "run r: exited with 3: err")

    def test_output_bounded(self) -> None:
        """No more output is held than the caller wants; the end comes all the same."""
        answer = stream(begun() + self.PRINTS, ended(7, "signaled", signal="TERM"))
        found = finish(self.client(answer).output("c", most=5))
        self.assertEqual(len(found.stdout + found.stderr), 5)
        self.assertTrue(found.truncated)
        self.assertEqual((found.state, found.exit_code), ("signaled", 143))
        gap = control(type="gap", offset=0, end=5, bytes=5)
        answer = stream(begun() + gap + ended(5, "lost"))
        found = finish(self.client(answer).output("c"))
        self.assertTrue(found.truncated)
        self.assertIsNone(found.exit_code)

    def test_gap(self) -> None:
        """Output that is not whole is an error."""
        gap = control(type="gap", offset=0, end=5, bytes=5)
        answer = stream(begun() + gap + ended(5))
        collecting = self.client(answer).follow("r").collect()
        error = self.assertRaises(CutShort, finish, collecting)
        self.assertIn("5 bytes are not kept any more", str(error))
