"""Tests for L{shellstream.web}: no cut of a connection loses or repeats a byte."""

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from shellstream.model.events import Stream
from tests.support.decoders import DECODERS, Told, event_source
from tests.support.http import Connection, WebTestCase
from tests.support.outputs import PARTS

#: How many more parts there are before a cut, and after how many bytes that is.
CUTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 600)), max_size=4)
WAYS = ["plain", "sse", "ndjson", "frames", "EventSource at /stream"]


def complete(name: str, body: bytes) -> bytes:
    """The part of a cut body that a reader can decode."""
    if name == "frames":
        end = 0
        while len(body) >= end + 8:
            size = 8 + int.from_bytes(body[end + 4 : end + 8], "big")
            if len(body) < end + size:
                break
            end += size
        return body[:end]
    return body if name == "plain" else body[: body.rfind(b"\n") + 1]


@define
class Reader:
    """
    A client that keeps the decoded output, and resumes after it.

    @ivar at: the offset, or what C{Last-Event-ID} says.
    """

    name: str
    path: str
    at: str = "0"
    data: bytes = b""
    ends: list[Any] = field(factory=list)

    @property
    def by_id(self) -> bool:
        return self.name == "sse"

    def connect(self, connection: Connection) -> int:
        """Request the output after the last complete record; return the status."""
        accept = {"plain": "text/plain", "sse": "text/event-stream"}
        kind = {"ndjson": "application/x-ndjson", **accept}.get(
            self.name, "application/vnd.shellstream.frames"
        )
        headers = {"Accept": kind}
        path = self.path
        if not self.by_id:
            path = f"{path}?offset={self.at}"
        elif self.at != "0":
            headers["Last-Event-ID"] = self.at
        return connection.ask("GET", path, headers=headers).status

    def read(self, body: bytes) -> None:
        """Decode the received bytes, up to the cut."""
        body = complete(self.name, body)
        if self.name == "plain":
            self.data += body
            self.at = str(int(self.at) + len(body))
            return
        for one in DECODERS[self.name](body):
            if isinstance(one, Told):
                assert one.offset == len(self.data), (one, self.data)
                self.data += one.data
            elif one["type"] == "end":
                self.ends.append(one)
        if self.by_id:
            self.at = event_source(body)[1]["id"] or self.at
        else:
            self.at = str(len(self.data))


def portions(
    parts: Sequence[tuple[Stream, bytes]], cuts: Sequence[tuple[int, int]]
) -> Iterator[tuple[Sequence[tuple[Stream, bytes]], int]]:
    """The parts that come before each cut, with the cut."""
    for count, cut in cuts:
        yield parts[:count], cut
        parts = parts[count:]
    yield parts, 1 << 30


class CutProperties(WebTestCase):
    """A client that resumes after its last understood byte gets all output once."""

    @given(PARTS, CUTS, st.sampled_from(WAYS), st.booleans())
    def test_resumed(self, parts, cuts, way, said_while_away) -> None:
        """Every format can be resumed cut by cut, while the run goes on."""
        self.serve(self.config)
        reader, connection = self.begun(way)
        for portion, cut in portions(parts, cuts):
            if said_while_away:
                self.say(portion)
            if connection is None:
                connection = Connection(self.site)
                self.assertEqual(reader.connect(connection), 200)
            if not said_while_away:
                self.say(portion)
            if cut == 1 << 30:
                self.started.exit()
            reader.read(connection.reply().body[:cut])
            whole = connection.reply().whole
            connection.lose()
            connection = None
        self.assertEqual(reader.data, b"".join(data for _, data in parts))
        self.assertTrue(whole)
        if reader.name != "plain":
            self.assertEqual(
                [each["offset"] for each in reader.ends], [len(reader.data)]
            )
        self.assertEqual(len(self.spawn.started), 1)

    @given(PARTS, CUTS, st.sampled_from(WAYS))
    def test_ended(self, parts, cuts, way) -> None:
        """The same for an ended run."""
        self.serve(self.config)
        reader, connection = self.begun(way)
        self.say(parts)
        self.started.exit(3)
        for cut in [*(cut for _, cut in cuts), 1 << 30]:
            connection = connection or Connection(self.site)
            if connection.wire.value() == b"":
                self.assertEqual(reader.connect(connection), 200)
            reader.read(connection.reply().body[:cut])
            connection.lose()
            connection = None
        self.assertEqual(reader.data, b"".join(data for _, data in parts))
        self.assertEqual(len(self.spawn.started), 1)

    def begun(self, way: str) -> tuple[Reader, Connection | None]:
        """Return a run and its reader, which may have begun it."""
        if way in DECODERS or way == "plain":
            run_id = self.begin().run.id
            return Reader(way, f"/runs/{run_id}/output"), None
        reader, connection = Reader("sse", "/stream"), Connection(self.site)
        self.assertEqual(reader.connect(connection), 200)
        # It has the headers and the first id: before that it is not a stream yet.
        reader.read(connection.reply().body)
        return reader, connection

    def say(self, parts: Sequence[tuple[Stream, bytes]]) -> None:
        """The command writes these."""
        for stream, data in parts:
            self.started.say(data, stream)
