"""Tests for L{shellstream.rendition}."""

from unittest.mock import patch

from shellstream.errors import OffsetGone
from shellstream.events import Stream
from shellstream.formats import Ndjson, Plain
from shellstream.outputlog import OutputLog
from shellstream.rendition import Rendition
from tests.test_run import RunTestCase


class RenditionTests(RunTestCase):
    """L{Rendition} tells the output in one format."""

    def test_once(self) -> None:
        """However many ask for the same, it is read and written once."""
        rendition = Rendition(self.run_, Ndjson())
        self.run_.output(Stream.STDOUT, b"abc")
        with patch.object(OutputLog, "read", autospec=True, side_effect=OutputLog.read):
            first = rendition.tell(0, 3, final=False)
            self.assertIs(rendition.tell(0, 3, final=False), first)
            self.assertEqual(OutputLog.read.call_count, 1)

    def test_not_another(self) -> None:
        """What was told to others is told to nobody who asks for something else."""
        rendition = Rendition(self.run_, Plain())
        self.run_.output(Stream.STDOUT, b"abc")
        asked = [(0, 3), (1, 3), (0, 2), (0, 3)]
        told = [rendition.tell(*each, final=False)[0] for each in asked]
        self.assertEqual(told, [b"abc", b"bc", b"ab", b"abc"])
        self.run_.output(Stream.STDOUT, b"\xc3")
        rendition = Rendition(self.run_, Ndjson())
        self.assertEqual(rendition.tell(3, 4, final=False), (b"", 3))
        self.assertEqual(rendition.tell(3, 4, final=True)[1], 4)

    def test_only(self) -> None:
        """Of one stream, the other is left out."""
        rendition = Rendition(self.run_, Plain(), Stream.STDERR)
        self.run_.output(Stream.STDOUT, b"abc")
        self.run_.output(Stream.STDERR, b"d")
        self.assertEqual(rendition.tell(0, 4, final=False), (b"d", 4))

    def test_gone(self) -> None:
        """What is not there is not told, nor anything else in its place."""
        rendition = Rendition(self.run_, Plain())
        self.run_.output(Stream.STDOUT, b"abc")
        rendition.tell(0, 3, final=False)
        for _ in range(2):
            with self.assertRaises(OffsetGone):
                rendition.tell(4, 5, final=False)
