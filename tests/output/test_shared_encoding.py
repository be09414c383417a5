"""Tests for L{shellstream.output.shared_encoding}."""

from itertools import pairwise
from unittest.mock import patch

from attrs import define

from shellstream.model.errors import OffsetGone
from shellstream.model.events import Chunk, Stream
from shellstream.output.formats import Ndjson, Plain
from shellstream.output.log import LogDamaged, OutputLog
from shellstream.output.shared_encoding import SharedEncoding
from shellstream.runs.history import EndedRun
from tests.support.decoders import Told, ndjson
from tests.support.logs import FakeLogStorage
from tests.support.run_cases import RunTestCase


class RenditionTests(RunTestCase):
    """L{SharedEncoding} tells the output in one format."""

    def test_once(self) -> None:
        """However many ask for the same, it is read and written once."""
        rendition = SharedEncoding(self.run_, Ndjson())
        self.run_.output(Stream.STDOUT, b"abc")
        with patch.object(OutputLog, "read", autospec=True, side_effect=OutputLog.read):
            first = rendition.encode_from(0, 3, final=False)
            self.assertIs(rendition.encode_from(0, 3, final=False), first)
            self.assertEqual(OutputLog.read.call_count, 1)

    def test_not_another(self) -> None:
        """A kept result serves only the same request."""
        rendition = SharedEncoding(self.run_, Plain())
        self.run_.output(Stream.STDOUT, b"abc")
        asked = [(0, 3), (1, 3), (0, 2), (0, 3)]
        told = [rendition.encode_from(*each, final=False)[0] for each in asked]
        self.assertEqual(told, [b"abc", b"bc", b"ab", b"abc"])
        self.run_.output(Stream.STDOUT, b"\xc3")
        rendition = SharedEncoding(self.run_, Ndjson())
        self.assertEqual(rendition.encode_from(3, 4, final=False), (b"", 3))
        self.assertEqual(rendition.encode_from(3, 4, final=True)[1], 4)

    def test_only(self) -> None:
        """An encoding of one stream leaves out the other."""
        rendition = SharedEncoding(self.run_, Plain(), Stream.STDERR)
        self.run_.output(Stream.STDOUT, b"abc")
        self.run_.output(Stream.STDERR, b"d")
        self.assertEqual(rendition.encode_from(0, 4, final=False), (b"d", 4))

    def test_gone(self) -> None:
        """Output that is gone is an error, and is not replaced by other output."""
        rendition = SharedEncoding(self.run_, Plain())
        self.run_.output(Stream.STDOUT, b"abc")
        rendition.encode_from(0, 3, final=False)
        for _ in range(2):
            with self.assertRaises(OffsetGone):
                rendition.encode_from(4, 5, final=False)


@define
class Sectors(FakeLogStorage):
    """One read gives one chunk, like one sector of a file; or it is damaged."""

    damaged_from: int = 1 << 30

    def read(self, offset: int, size: int) -> list[Chunk]:
        if offset >= self.damaged_from:
            raise LogDamaged("bad")
        return super().read(offset, size)


class PartedTests(RunTestCase):
    """Characters are whole, wherever reads of a log end."""

    def rendition(self, *parts: bytes, damaged_from: int = 1 << 30) -> SharedEncoding:
        """An ended run whose output is read in these parts."""
        chunks: list[Chunk] = []
        for data in parts:
            offset = chunks[-1].end if chunks else 0
            chunks.append(Chunk(offset, Stream.STDOUT, 0, data))
        storage = Sectors(99, chunks, chunks[-1].end, damaged_from=damaged_from)
        log = OutputLog.from_storage(storage)
        return SharedEncoding(EndedRun(self.run_.record, lambda _: log), Ndjson())

    def told(self, rendition: SharedEncoding, limit: int) -> list[Told]:
        """Encode all output up to C{limit}, in as many steps as needed."""
        found, offset = list[Told](), 0
        while offset < limit:
            wire, then = rendition.encode_from(offset, limit, final=True)
            self.assertGreater(then, offset)
            found, offset = found + ndjson(wire), then
        return found

    def test_parted(self) -> None:
        """A character split over several chunks is encoded as one."""
        text = "a\U0001f388b".encode()
        for cuts in ((2,), (3,), (4,), (2, 3), (2, 4), (2, 3, 4)):
            parts = [text[i:j] for i, j in pairwise((0, *cuts, len(text)))]
            found = self.told(self.rendition(*parts), len(text))
            self.assertTrue(all(each.text for each in found), found)
            self.assertEqual(b"".join(each.data for each in found), text)

    def test_rest_is_gone(self) -> None:
        """
        A character with an unreadable rest is encoded as the bytes that are there.
        """
        rendition = self.rendition(b"a\xc3", b"\xa4b", damaged_from=2)
        found = self.told(rendition, 2)
        self.assertEqual([each.data for each in found], [b"a", b"\xc3"])
        self.assertEqual(rendition.encode_from(1, 4, final=True)[1], 2)
        with self.assertRaises(OffsetGone):
            rendition.encode_from(2, 4, final=True)
