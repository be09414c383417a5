"""Tests for L{shellstream.model.run_record}.

Ids that sort, and runs as clients see them.
"""

import json
from hashlib import sha256
from uuid import RFC_4122, UUID

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import End, OnDisconnect, Reason, State
from shellstream.model.run_input import StdinState, Tty
from shellstream.model.run_record import (
    IdempotencyKey,
    RunRecord,
    end_document,
    id_time,
    next_id,
    signal_name,
    to_document,
)

NOW = 1_767_225_600_000_000
#: Microseconds since 1970, up to the year 9999.
TIMES = st.integers(0, 253_402_300_799_999_999)

RUN = RunRecord(
    id="018f2c5e-0000-7000-8000-000000000000",
    command="build",
    params={"x": "1"},
    created=NOW,
    on_disconnect=OnDisconnect.KEEP,
)
ENDED = evolve(
    RUN,
    state=State.SIGNALED,
    started=NOW + 1,
    ended=NOW + 2_000_000,
    signal=15,
    reason=Reason.TIMEOUT,
    start=3,
    size=7,
    stored=512,
    cpu=0.5,
    memory=4096,
    pid=42,
    pid_start=43,
)


class IdTests(SynchronousTestCase):
    """Ids are UUIDs of version 7 that sort by creation."""

    @given(TIMES)
    def test_uuid(self, now) -> None:
        """An id is a UUIDv7 (RFC 9562, 5.7), and begins with its time."""
        found = UUID(next_id(now, None))
        self.assertEqual((found.version, found.variant), (7, RFC_4122))
        self.assertEqual(found.int >> 80, now // 1000)

    @given(st.lists(TIMES, min_size=1, max_size=20))
    def test_sorted(self, times) -> None:
        """Each id is the newest, also when the clock is set back or stands still."""
        ids: list[str] = []
        for now in times:
            ids.append(next_id(now, ids[-1] if ids else None))
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual({UUID(each).version for each in ids}, {7})

    def test_set_back(self) -> None:
        """An id says a time just after the newest one's while the clock is behind."""
        newest = next_id(NOW, None)
        found = UUID(next_id(NOW - 3_600_000_000, newest))
        self.assertEqual(found.int >> 80, NOW // 1000 + 1)

    @given(TIMES, st.binary(max_size=32), st.binary(max_size=32))
    def test_made_with_a_secret(self, now: int, mine: bytes, other: bytes) -> None:
        """The time of an id is told only with the secret that it was made with."""
        found = next_id(now, None, mine)
        self.assertEqual(id_time(found, mine), now // 1000 * 1000)
        self.assertIsNone(id_time(found, b"x" + mine))
        self.assertIsNone(id_time("no id", other))

    def test_not_to_be_guessed(self) -> None:
        """Two ids of the same time share nothing else."""
        ids = {next_id(NOW, None) for _ in range(1000)}
        self.assertEqual(len(ids), 1000)
        for bit in (*range(62), *range(64, 76)):
            self.assertEqual(len({UUID(each).int >> bit & 1 for each in ids}), 2, bit)


class KeyTests(SynchronousTestCase):
    """A key's fingerprint covers the whole request."""

    def test_told_apart(self) -> None:
        """Command, parameters, input and terminal, each counts."""
        wishes: list[tuple[object, ...]] = [
            ("a", {}),
            ("b", {}),
            (None, {}),
            ("a", {"x": "1"}),
            ("a", {"x": "2"}),
            ("a", {}, True),
            ("a", {}, True, Tty()),
            ("a", {}, True, Tty(rows=1)),
        ]
        found = {
            IdempotencyKey.of_request("k", "ann", *wish).fingerprint  # type: ignore[arg-type]
            for wish in wishes
        }
        self.assertEqual(len(found), len(wishes))

    def test_kept(self) -> None:
        """Fingerprints stored by a daemon without input are unchanged."""
        plain = sha256(b'["a", [["x", "1"]]]').hexdigest()
        self.assertEqual(
            IdempotencyKey.of_request("k", "ann", "a", {"x": "1"}).fingerprint, plain
        )


class DescribedTests(SynchronousTestCase):
    """A run as clients see it."""

    def test_queued(self) -> None:
        """Unknown fields are null, and a queued run has no end."""
        found = json.loads(json.dumps(to_document(RUN)))
        unknown = {name for name, value in found.items() if value is None}
        self.assertEqual(
            unknown,
            {"code", "signal", "reason", "failure", "end", "started", "ended"}
            | {"cpu_seconds", "peak_memory_bytes", "stdin", "tty"},
        )
        self.assertEqual(found["state"], "queued")
        self.assertEqual(found["params"], {"x": "1"})
        self.assertEqual(found["created"], "2026-01-01T00:00:00.000000Z")
        self.assertEqual(found["output"], f"runs/{RUN.id}/output")

    def test_ended(self) -> None:
        """The document of an ended run tells in full how it ended."""
        found = json.loads(json.dumps(to_document(ENDED)))
        self.assertEqual((found["state"], found["signal"]), ("signaled", "TERM"))
        self.assertEqual(found["reason"], "timeout")
        self.assertEqual(found["ended"], "2026-01-01T00:00:02.000000Z")
        self.assertEqual((found["start"], found["size"]), (3, 7))
        self.assertEqual(
            (found["cpu_seconds"], found["peak_memory_bytes"]), (0.5, 4096)
        )
        self.assertEqual(
            found["end"],
            {
                "state": "signaled",
                "code": None,
                "signal": "TERM",
                "reason": "timeout",
                "offset": 7,
            },
        )

    def test_input(self) -> None:
        """The document shows the offset of the input, and the terminal."""
        asked = evolve(RUN, stdin=StdinState(offset=7, open=False), tty=Tty(rows=50))
        found = json.loads(json.dumps(to_document(asked)))
        self.assertEqual(found["stdin"], {"offset": 7, "open": False})
        self.assertEqual(found["tty"], {"rows": 50, "columns": 80, "term": "xterm"})

    def test_not_for_clients(self) -> None:
        """Fields for this machine only are not in the document."""
        names = set(to_document(ENDED))
        self.assertEqual(names & {"pid", "pid_start", "stored"}, set())
        self.assertNotIn("pid", repr(ENDED))

    def test_end(self) -> None:
        """The end is the same in every document."""
        self.assertEqual(
            ENDED.end, End(State.SIGNALED, None, "TERM", Reason.TIMEOUT, 7)
        )
        exited = evolve(RUN, state=State.EXITED, code=3)
        self.assertEqual(end_document(exited.end)["code"], 3)
        for state in (State.QUEUED, State.RUNNING):
            with self.assertRaises(AssertionError):
                _ = evolve(RUN, state=state).end

    def test_signal_name(self) -> None:
        """A signal is named as kill(1) does; one without a name by its number."""
        self.assertEqual((signal_name(9), signal_name(15)), ("KILL", "TERM"))
        self.assertEqual(signal_name(99), "99")
