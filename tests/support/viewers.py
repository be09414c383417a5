"""Viewers of a log."""

from twisted.internet.testing import StringTransport

from shellstream.model.events import OnDisconnect, Stream
from shellstream.model.limits import Limits
from shellstream.output.formats import Plain
from shellstream.output.interfaces import ViewOptions
from shellstream.output.shared_encoding import SharedEncoding
from shellstream.output.viewer import Format, Viewer
from tests.support.run_cases import RunTestCase

STALL = 60.0


#: What the starter of a C{/stream} wants.
LOSSLESS = ViewOptions(lossless=True)


class Full(StringTransport):
    """A transport that is full after every write."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.producer.pauseProducing()


class ViewerTestCase(RunTestCase):
    """A viewer of a run, and its end."""

    limits = Limits(stall_timeout=STALL)
    on_disconnect = OnDisconnect.CANCEL

    def setUp(self) -> None:
        super().setUp()
        self.told: list[str] = []
        self.transport = StringTransport()

    def viewer(
        self, view: ViewOptions = LOSSLESS, form: Format | None = None
    ) -> Viewer:
        """A viewer that has not begun."""
        return Viewer(
            view,
            SharedEncoding(self.run_, form or Plain(), view.only),
            self.transport,
            lambda ended: self.told.append("ended" if ended else "done"),
            lambda: self.told.append("vanished"),
            self.clock,
        )

    def view(self, view: ViewOptions = LOSSLESS, form: Format | None = None) -> Viewer:
        """A viewer that has begun."""
        viewer = self.viewer(view, form)
        viewer.start()
        return viewer

    def assert_left(self) -> None:
        """
        Check that the run waits for a viewer to come back, and nothing else waits.
        """
        (linger,) = self.clock.getDelayedCalls()
        self.assertEqual(linger.getTime() - self.clock.seconds(), self.limits.linger)

    def say(self, data: bytes) -> None:
        self.run_.output(Stream.STDOUT, data)

    def end(self) -> None:
        self.child.lives = False
        self.exit()
