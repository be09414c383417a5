"""Tests for L{shellstream.client.run_events}: what happens to runs."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client import Client
from shellstream.client.commands.events import line
from shellstream.client.errors import CannotConnect, ContractViolation, CutShort
from shellstream.client.events import RunEvent
from shellstream.client.run_events import ServerSentEvent, SseDecoder
from tests.support.client_wires import FakeAnswer, FakeWire, finish
from tests.support.zones import local_zone

RUN = {
    "id": "r",
    "command": "c",
    "params": {"a": "1"},
    "state": "exited",
    "code": 0,
    "signal": None,
    "created": "2026-12-01T04:04:04.000000Z",
    "started": "2026-12-01T04:04:05.000000Z",
    "ended": "2026-12-01T04:04:06.000000Z",
    "output": "runs/r/output",
}
BEGIN = b"retry: 1000\nid: 7@boot\n\n"


def sent(name: str, at: int) -> bytes:
    """An event as the server sends it."""
    data = json.dumps({"event": name, "run": RUN})
    return f"event: {name}\nid: {at}@boot\ndata: {data}\n\n".encode()


def answer(*steps: bytes | CutShort) -> FakeAnswer:
    """A stream that is cut after these steps."""
    return FakeAnswer([*steps, CutShort("there", "cut")])


async def first(client: Client, count: int) -> list[RunEvent]:
    """The first events of a server."""
    found: list[RunEvent] = []
    async for event in client.events():
        found.append(event)
        if len(found) == count:
            break
    return found


class EventTests(SynchronousTestCase):
    """Events come over as many connections as it takes."""

    def events(self, count: int, *answers: Any) -> list[RunEvent]:
        self.wire = FakeWire(answers)
        found: list[RunEvent] = finish(first(Client("http://h", self.wire), count))
        return found

    def test_resumed(self) -> None:
        """A cut stream goes on behind the last event; none is lost."""
        found = self.events(
            3,
            answer(BEGIN + sent("created", 8)[:30], sent("created", 8)[30:]),
            CannotConnect("http://h", "refused"),
            answer(BEGIN, b": ping\n\n", sent("started", 9) + sent("ended", 10)),
        )
        names = [each.event for each in found]
        self.assertEqual(names, ["created", "started", "ended"])
        after = [each.headers.get("last-event-id") for each in self.wire.asked]
        self.assertEqual(after, [None, "8@boot", "8@boot"])
        run = found[0].run
        assert run is not None
        self.assertEqual(run["output"], "http://h/runs/r/output")  # type: ignore[typeddict-item]

    def test_quiet(self) -> None:
        """A stream that was cut before the first event is resumed, too."""
        self.events(1, answer(BEGIN), answer(BEGIN, sent("created", 8)))
        self.assertEqual(self.wire.asked[1].headers["last-event-id"], "7@boot")

    def test_gap(self) -> None:
        """What is not kept any more is told as a gap."""
        gap = b'event: gap\nid: 9@boot\ndata: {"type": "gap"}\n\n'
        self.assertEqual(self.events(1, answer(BEGIN, gap)), [RunEvent("gap", None)])

    def test_wrong(self) -> None:
        """A server that was never reached, or sends something else, is an error."""
        for found, error in (
            (CannotConnect("http://h", "refused"), CannotConnect),
            (answer(BEGIN, b"data: {}\n\n"), ContractViolation),
            (answer(BEGIN, b"data: \xff\n\n"), ContractViolation),
            (answer(b"x" * (1 << 24), b"x"), ContractViolation),
        ):
            self.assertRaises(error, self.events, 1, found)

    @given(st.lists(st.integers(1, 40), max_size=30))
    def test_pieces(self, sizes: list[int]) -> None:
        """Events are the same however their bytes come in pieces."""
        wire = BEGIN + sent("created", 8) + b": ping\n\n" + sent("ended", 9)
        decoder, at = SseDecoder(), 0
        found: list[ServerSentEvent] = []
        for size in [*sizes, len(wire)]:
            found += decoder.feed(wire[at : at + size])
            at += size
        names = [(each.name, each.id) for each in found]
        self.assertEqual(names, [("created", "8@boot"), ("ended", "9@boot")])

    def test_lines(self) -> None:
        """An event is a line, for people and for programs."""
        run: Any = {**RUN, "params": {"a": "\x1b[2J"}}
        local_zone(self, "Asia/Tokyo")
        event = RunEvent("ended", run)
        whole = line(event, "plain", short=False)
        self.assertTrue(whole.startswith(b"2026-12-01T13:04:06+09:00  exited 0 "))
        shown = line(event, "plain", short=True).decode()
        self.assertEqual(shown, "13:04:06  exited 0      r  c a=\\x1b[2J\n")
        document = json.loads(line(event, "ndjson", short=False))
        self.assertEqual(document, {"event": "ended", "run": run})
        gap = line(RunEvent("gap", None), "plain", short=True)
        self.assertIn(b"events are missing", gap)
        gap = line(RunEvent("gap", None), "ndjson", short=True)
        self.assertEqual(gap, b'{"event":"gap"}\n')
