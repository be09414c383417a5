"""The fakes that the fast tests share, and the proof that they are good ones."""

import inspect
from collections.abc import Callable

from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from shellstream.process import child
from shellstream.runs.run import Child
from tests.support.fakes import FakeChild
from tests.support.http import Wire, parsed


class FakeTests(SynchronousTestCase):
    """A fake that differs from the real interface fails here, not in production."""

    def test_verified(self) -> None:
        """The fake wire provides the interface of a TCP transport."""
        verifyObject(ITCPTransport, Wire())
        verifyObject(IPushProducer, Wire())

    def test_child(self) -> None:
        """A fake child takes input like the real one."""
        names = ("pause", "resume", "signal", "session_lives")
        for name in (*names, "write", "end_input", "resize"):
            asked = inspect.signature(getattr(Child, name))
            for stands_in in (FakeChild, child.ChildProcess):
                made: Callable[..., object] = getattr(stands_in, name)
                self.assertEqual(inspect.signature(made), asked, name)

    def test_chunks(self) -> None:
        """An answer is read chunk by chunk, up to its trailers, and not beyond."""
        top = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        cut = parsed(top + b"2\r\nhi\r\n")
        self.assertEqual((cut.body, cut.whole), (b"hi", False))
        whole = parsed(top + b"1\r\n!\r\n0\r\nA: b\r\n\r\nmore")
        self.assertEqual((whole.body, whole.whole), (b"!", True))
        self.assertEqual((whole.trailers, whole.rest), ({"a": "b"}, b"more"))
