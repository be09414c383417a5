"""The output of every implementation of runs: see L{runs_contract}."""

from attrs import define
from zope.interface import implementer

from shellstream.model.errors import OffsetGone
from shellstream.model.events import Stream
from shellstream.output.interfaces import IViewer
from tests.support.runs_contract import Contract


@implementer(IViewer)
@define(eq=False)
class Watcher:
    """A viewer that stays where the test puts it."""

    offset: int = 0
    lossless: bool = True

    def abort(self) -> None:
        """Ignore the abort."""


class OutputContract(Contract):
    """Output is read, followed and waited for."""

    def test_output(self) -> None:
        """Output can be read from any kept offset, during the run and after it."""
        run = self.requested()
        run_id, log = run.record.id, run.log
        self.assertEqual((log.start, log.end, log.closed), (0, 0, False))
        self.assertEqual(log.read(0, 100), [])
        self.say(run_id, b"out")
        self.say(run_id, b"err", Stream.STDERR)
        for closed in (False, True):
            found = self.result(self.runs().find(run_id))
            log = found.log
            self.assertEqual((log.start, log.end, log.closed), (0, 6, closed))
            for offset in range(7):
                self.assertEqual(self.text(log, offset), b"outerr"[offset:])
            out, err = log.read(0, 100)
            self.assertEqual((out.stream, out.data), (Stream.STDOUT, b"out"))
            self.assertEqual((err.stream, err.data), (Stream.STDERR, b"err"))
            self.assertLessEqual(self.record(run_id).created, out.time)
            for offset in (7, -1):
                with self.assertRaises(OffsetGone):
                    log.read(offset, 1)
            if not closed:
                self.exit(run_id)

    def test_subscribe(self) -> None:
        """A subscriber is woken for new output and the end, until it leaves."""
        run = self.requested()
        run_id, log = run.record.id, run.log
        told: list[tuple[int, bool]] = []
        leave = log.subscribe(lambda: told.append((log.end, log.closed)))
        other: list[int] = []
        leave_other = log.subscribe(lambda: other.append(log.end))
        self.say(run_id, b"abc")
        leave_other()
        leave_other()
        self.say(run_id, b"de")
        self.exit(run_id)
        self.assertEqual(told, [(3, False), (5, False), (5, True)])
        self.assertEqual(other, [3])
        self.assertEqual(self.text(log), b"abcde")
        leave()

    def test_late_subscriber(self) -> None:
        """
        A late subscriber of an ended run gets all output as long as it subscribes.
        """
        run_id = self.requested().record.id
        self.say(run_id, b"abc")
        self.exit(run_id)
        for _ in range(2):
            found = self.result(self.runs().find(run_id))
            log = found.log
            leave = log.subscribe(lambda: None)
            del found  # a subscriber needs no more than the log
            self.assertEqual(self.text(log), b"abc")
            leave()

    def test_attach(self) -> None:
        """A process waits for a lossless viewer, until that has moved on or left."""
        for leaves in (False, True):
            run = self.requested()
            run_id, viewer = run.record.id, Watcher()
            run.attach(viewer)
            for _ in range(2 * self.runs().config.command(None).limits.retain >> 16):
                if self.waits(run_id):
                    break
                self.say(run_id, b"x" * (1 << 16))
            self.assertTrue(self.waits(run_id))
            self.assertEqual(run.log.start, 0)
            if leaves:
                run.detach(viewer)
            else:
                viewer.offset = run.log.end
                run.apply_backpressure()
            self.assertFalse(self.waits(run_id))
            run.detach(viewer)
            self.exit(run_id)

    def test_loose(self) -> None:
        """A process never waits for a viewer that is not lossless."""
        run = self.requested()
        run.attach(Watcher(lossless=False))
        for _ in range(20):
            self.say(run.record.id, b"x" * (1 << 16))
            self.assertFalse(self.waits(run.record.id))

    def test_detach(self) -> None:
        """
        A second detach, one without an attach, or one of an ended run is harmless.
        """
        run = self.requested()
        run_id, viewer = run.record.id, Watcher()
        for each in (viewer, Watcher()):
            run.detach(each)
        run.attach(viewer)
        run.detach(viewer)
        run.detach(viewer)
        self.exit(run_id)
        ended = self.result(self.runs().find(run_id))
        for one in (run, ended):
            one.attach(viewer)
            one.apply_backpressure()
            one.detach(viewer)
        self.assertEqual(self.signals(run_id), [])
