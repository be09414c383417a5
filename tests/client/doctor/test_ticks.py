"""Tests for L{shellstream.client.doctor.ticks}: how late ticks are, by any clocks."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.exchange import Arrival
from shellstream.client.doctor.ticks import (
    Baseline,
    DeliveryPattern,
    Tick,
    classify,
    measure_baseline,
    ticks,
    transit,
)
from shellstream.output.formats import FORMATS
from shellstream.web import Now
from shellstream.web.resources.tick_stream import Ticker, Ticks
from tests.support.doctor_exchanges import BASE, OFFSET, answer, line, ticking

TIMES = st.floats(0, 5)


class TickTests(SynchronousTestCase):
    """The client reads the server's ticks."""

    def test_every_format(self) -> None:
        """A tick of the server's own is found in every format."""
        clock = Clock()
        clock.advance(OFFSET)
        wall = lambda: 1_767_225_600_500_000  # noqa: E731
        ticker = Ticker(Ticks(3, 0.0), clock, Now(wall, clock.seconds), set(), "")
        ticker.attach(None)  # type: ignore[arg-type]
        clock.advance(0)
        for form in FORMATS:
            log = ticker.log
            wire, _ = form.output(log.read(0), 0, final=True)
            cuts = [wire[:50], wire[50:51], wire[51:]]
            arrivals = [Arrival(time, cut) for time, cut in enumerate(cuts)]
            found = ticks(answer(*arrivals))
            self.assertEqual([each.number for each in found], [1, 2, 3], form.name)
            self.assertEqual({each.of for each in found}, {3})
            self.assertEqual({each.sent for each in found}, {OFFSET})
            self.assertEqual({each.wall for each in found}, {1_767_225_600.5})

    @given(st.data())
    def test_any_cuts(self, data) -> None:
        """A tick arrives with its last byte, however the stream is cut."""
        text = b"".join(line(n, 3, 2000.0 + n) for n in (1, 2, 3))
        places = sorted(data.draw(st.sets(st.integers(1, len(text) - 1))))
        cuts = [0, *places, len(text)]
        pairs = list(pairwise(cuts))
        arrivals = [Arrival(float(end), text[begin:end]) for begin, end in pairs]
        found = ticks(answer(*arrivals))
        self.assertEqual([each.number for each in found], [1, 2, 3])
        ends = [text.index(b"Z", text.index(b"tick %d" % n)) + 1 for n in (1, 2, 3)]
        expected = [float(min(cut for cut in cuts if cut >= end)) for end in ends]
        self.assertEqual([each.arrived for each in found], expected)

    def test_strangers(self) -> None:
        """Text that only looks like a tick is ignored."""
        for text in (
            b"tick 1 of 2, sent at never s, 2026-01-01T00:00:00.000000Z",
            b"tick 1 of 2, sent at 1.000000 s, 2026-13-41T99:00:00.000000Z",
            b"tick -1 of 2, sent at 1.000000 s, 2026-01-01T00:00:00.000000Z",
            b"\xff\0",
        ):
            self.assertEqual(ticks(answer(Arrival(0, text))), [])


class BaselineTests(SynchronousTestCase):
    """Clocks are compared by responses that no proxy holds back."""

    @given(
        st.lists(st.tuples(TIMES, TIMES, TIMES), min_size=1),
        st.floats(-1e6, 1e6),
    )
    def test_offset(self, trips, wall) -> None:
        """The error is at most half of the shortest round trip."""
        quick = [
            ticking([2000 + gone], [2000 + gone + back], of=1)
            for gone, back, _ in trips
        ]
        asked = [2000 - rest for _, _, rest in trips]
        quick = [
            answer(*each.arrivals, requested=at, answered=each.arrivals[0].time)
            for each, at in zip(quick, asked, strict=True)
        ]
        found = measure_baseline(quick, wall)
        assert found is not None
        shortest = min(sum(each) for each in trips)
        self.assertAlmostEqual(found.round_trip, shortest, places=5)
        self.assertLessEqual(abs(found.offset - OFFSET), shortest / 2 + 1e-5)

    def test_skew(self) -> None:
        """The skew is how far the server's time of day is ahead of ours."""
        quick = ticking([2000.0], [2000.0], of=1)  # when its day is 1000 s old
        found = measure_baseline([quick], wall=-1000.0 - 7.0)
        assert found is not None
        self.assertAlmostEqual(found.skew, 7.0, places=5)

    def test_head(self) -> None:
        """A proxy that delays bodies alone does not shift the clocks."""
        quick = ticking([2000.0], [2001.0], of=1, answered=2000.002)
        found = measure_baseline([quick], 0.0)
        assert found is not None
        self.assertAlmostEqual(found.round_trip, 0.002, places=5)
        self.assertAlmostEqual(found.offset, OFFSET + 0.001, places=5)

    def test_none(self) -> None:
        """Without a tick there is no baseline."""
        self.assertIsNone(measure_baseline([], 0.0))
        self.assertIsNone(measure_baseline([answer(Arrival(0, b"hello"))], 0.0))


class TransitTests(SynchronousTestCase):
    """What the network needs is told from what a proxy holds back."""

    @given(TIMES, TIMES, st.floats(0, 0.01))
    def test_nearest(self, gone, back, trip) -> None:
        """
        By a near address' clock, what responses need beyond requests is held back.
        """
        nearest = Baseline(trip, OFFSET, 0.0)
        middle = 2000 + (gone + back) / 2
        far = Baseline(gone + back, middle - (2000 + gone - OFFSET), 0.0)
        way = transit(far, nearest)
        tick = Tick(1, 1, 2000 + gone - OFFSET, 0.0, 2000 + gone + back)
        self.assertAlmostEqual(way.took(tick), back, places=5)
        self.assertAlmostEqual(way.held(tick), max(0.0, back - gone), places=5)

    def test_other_clock(self) -> None:
        """Another server's clock, behind a balancer, is not used."""
        nearest = Baseline(0.001, OFFSET + 77.0, 0.0)
        self.assertEqual(transit(BASE, nearest).offset, OFFSET)

    @given(st.floats(0, 0.2), st.floats(0.3, 5))
    def test_alone(self, distance, held) -> None:
        """With one address alone, connecting shows how much is due to the network."""
        trip = 2 * distance + held
        base = Baseline(trip, OFFSET + held / 2, 0.0, connected=2 * distance)
        tick = Tick(1, 1, 0.0, 0.0, OFFSET + distance + held)
        self.assertAlmostEqual(transit(base, base).held(tick), held, places=5)

    def test_never_negative(self) -> None:
        """No tick arrives before it was sent, whatever the clocks say."""
        tick = Tick(1, 1, 0.0, 0.0, OFFSET - 0.0013)
        self.assertEqual(transit(BASE, BASE).took(tick), 0.0)


class ClassifyTests(SynchronousTestCase):
    """The pattern follows from when ticks were sent and when they arrived."""

    SENT = tuple(2000 + 0.3 * n for n in range(8))

    def pattern(self, came: Sequence[float], base: Baseline = BASE) -> DeliveryPattern:
        sent = self.SENT[: len(came)]
        return classify(ticks(ticking(sent, came)), transit(base, base)).pattern

    @given(st.lists(st.floats(0, 0.09), min_size=8, max_size=8))
    def test_live(self, jitter) -> None:
        """Small delays, however they vary, are live."""
        came = [at + late for at, late in zip(self.SENT, jitter, strict=True)]
        self.assertEqual(self.pattern(came), DeliveryPattern.LIVE)

    @given(st.integers(0, 7), st.floats(0.1, 1.0))
    def test_hiccup(self, index, late) -> None:
        """One late tick, and those that wait behind it, do not change the pattern."""
        came, earliest = [], 0.0
        for number, at in enumerate(self.SENT):
            earliest = max(earliest, at + (late if number == index else 0.0))
            came.append(earliest)
        self.assertEqual(self.pattern(came), DeliveryPattern.LIVE)

    @given(st.floats(0.12, 0.28), st.lists(st.floats(0, 0.05), min_size=8, max_size=8))
    def test_late(self, late, jitter) -> None:
        """Ticks that are each late are a pattern, whether the first is late or not."""
        came = [at + late + j for at, j in zip(self.SENT, jitter, strict=True)]
        self.assertEqual(self.pattern(came), DeliveryPattern.LATE)
        self.assertEqual(self.pattern([self.SENT[0], *came[1:]]), DeliveryPattern.LATE)

    @given(st.floats(0, 5), st.lists(st.floats(0, 0.04), min_size=8, max_size=8))
    def test_at_the_end(self, late, jitter) -> None:
        """All ticks arrive at once, after the last was sent."""
        came = sorted(self.SENT[-1] + late + each for each in jitter)
        self.assertEqual(self.pattern(came), DeliveryPattern.AT_THE_END)

    def test_batches(self) -> None:
        """Several ticks arrive at a time."""
        for size in (2, 4):
            came = [self.SENT[n - n % size + size - 1] for n in range(8)]
            self.assertEqual(self.pattern(came), DeliveryPattern.BATCHES, size)

    def test_none(self) -> None:
        """No ticks have no pattern; one or two are live or late."""
        self.assertEqual(self.pattern([]), DeliveryPattern.NONE)
        self.assertEqual(self.pattern([2000.0]), DeliveryPattern.LIVE)
        self.assertEqual(self.pattern([2000.3, 2000.3]), DeliveryPattern.LATE)

    @given(st.floats(0, 2), st.floats(-0.5, 0.5))
    def test_far_away(self, trip, error) -> None:
        """An error of comparing clocks is no delay."""
        base = Baseline(trip, OFFSET + trip * error, 0.0, connected=trip)
        self.assertEqual(self.pattern(self.SENT, base), DeliveryPattern.LIVE)
