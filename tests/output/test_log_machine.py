"""Any history of an L{OutputLog} in a L{RingFile}, against a log that drops nothing."""

import os
import shutil
from pathlib import Path
from tempfile import mkdtemp

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.errors import OffsetGone
from shellstream.model.events import Chunk, Stream
from shellstream.output.log import OVERHEAD, LogDamaged, OutputLog
from shellstream.storage.ring_file import RingFile
from shellstream.storage.ring_format import FRAME, SECTOR_HEAD, Header

#: What a sector of the smallest size holds.
ROOM = 512 - SECTOR_HEAD - FRAME

#: Less than that, about as much, and several times as much.
SIZES = st.integers(1, 700) | st.sampled_from(
    [ROOM - 1, ROOM, ROOM + 1, 2 * ROOM + 1, 2000, 5000]
)
STREAMS = st.sampled_from(Stream)


class LogMachine(RuleBasedStateMachine):
    """
    A run that writes, its disk that fills, viewers that come, read and lag, and a
    daemon that is killed at any time.
    """

    viewers = Bundle("viewers")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp(dir="."))
        self.data = bytearray()
        self.labels: list[tuple[Stream, int]] = []  # of each byte
        self.offsets: list[int] = []  # of the viewers
        self.room = 1 << 50

    @initialize(
        retain=st.sampled_from([0, 300, 2000, 4096, 20_000]),
        capacity=st.sampled_from([0, 1000, 4 * OVERHEAD, 10_000]),
        publish_later=st.booleans(),
    )
    def begin(self, retain: int, capacity: int, publish_later: bool) -> None:
        path = self.folder / "log"
        self.file = RingFile(path, retain, self.may_grow)
        self.log = OutputLog(capacity, self.file, publish_later)

    def may_grow(self, more: int) -> bool:
        return self.file.stored + more <= self.room

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()
        shutil.rmtree(self.folder)

    @rule(stream=STREAMS, size=SIZES, fill=st.integers(0, 255), time=st.integers(0, 9))
    def append(self, stream: Stream, size: int, fill: int, time: int) -> None:
        data = bytes((fill + index * 7) % 251 for index in range(size))
        told = self.log.reserve(size)
        self.log.append(stream, time, data)
        self.data += data
        self.labels += [(stream, time)] * size
        assert self.log.start <= told
        assert self.log.written == len(self.data)

    @rule(times=st.integers(2, 60), size=st.integers(1, 20))
    def append_often(self, times: int, size: int) -> None:
        for index in range(times):
            self.append(Stream.STDERR, size, index, index)

    @rule(share=st.floats(0, 1))
    def release(self, share: float) -> None:
        self.log.publish(int(share * self.log.written))

    @rule(room=st.sampled_from([0, 700, 3000, 1 << 50]))
    def disk(self, room: int) -> None:
        """Other runs fill the disk, or free it."""
        self.room = room

    @rule(target=viewers, share=st.floats(0, 1))
    def join(self, share: float) -> int:
        start, end = self.log.start, self.log.end
        self.offsets.append(start + int(share * (end - start)))
        return len(self.offsets) - 1

    @rule(
        viewer=viewers, size=st.sampled_from([1, 50, 1000, 1 << 16]), fast=st.booleans()
    )
    def view(self, viewer: int, size: int, fast: bool) -> None:
        """A viewer gets exactly the following bytes, or the offset of more."""
        while True:
            offset = self.offsets[viewer]
            try:
                chunks = self.log.read(offset, size)
            except OffsetGone as gone:
                assert offset < gone.start == self.log.start <= self.log.end
                self.offsets[viewer] = gone.start
                continue
            self.check(chunks, offset)
            assert chunks or offset == self.log.end
            if chunks:
                self.offsets[viewer] = chunks[-1].end
            if not (fast and chunks):
                return

    @precondition(lambda self: self.data)
    @rule()
    def killed(self) -> None:
        """After a kill, a new reader finds all readable and all written output."""
        found = RingFile.open(self.file.path)
        log = OutputLog.from_storage(found)
        assert log.start <= self.file.start
        assert log.end == len(self.data)
        self.check_all(log)

    @precondition(lambda self: self.data)
    @rule(
        stream=STREAMS,
        size=SIZES,
        kept=st.floats(0, 0.999),
        garble=st.binary(max_size=40),
    )
    def killed_while_appending(
        self, stream: Stream, size: int, kept: float, garble: bytes
    ) -> None:
        """A torn append yields no false output, and loses no older output."""
        path, torn = self.file.path, self.folder / "torn"
        before, start, end = path.read_bytes(), self.file.start, self.file.end
        self.append(stream, size, 1, 2)
        after = path.read_bytes()
        sector = Header.at(after).signature.sector
        order = sorted(
            range(0, len(after), sector), key=lambda at: Header.at(after[at:]).offset
        )
        changes = [
            position
            for at in order
            for position in range(at, min(at + sector, len(after)))
            if before[position : position + 1] != after[position : position + 1]
        ]
        done = changes[: int(kept * len(changes))]
        lie = bytearray(before)
        for position in done:
            lie += bytes(max(0, position + 1 - len(lie)))
            lie[position] = after[position]
        for position, byte in zip(done[::-1], garble, strict=False):
            lie[position] = byte
        torn.write_bytes(lie)
        try:
            log = OutputLog.from_storage(RingFile.open(torn))
        except LogDamaged:
            assert start == end or garble  # nothing was promised
            return
        finally:
            os.unlink(torn)
        # A second write to the same place cannot be seen from the outside.
        plain = not (garble or self.evicts() or size > 3 * self.file.retain)
        if plain:
            assert log.start <= start
            assert log.end >= end
        self.check_all(log, damaged=not plain)

    @invariant()
    def ordered(self) -> None:
        if hasattr(self, "log"):
            log = self.log
            assert 0 <= log.start <= log.end <= log.written == len(self.data)
            assert log.storage_error is None

    def evicts(self) -> bool:
        """Return whether an append may have had to overwrite promised output."""
        return self.room < 1 << 50 or self.file.stored > 4 * self.file.retain

    def check(self, chunks: list[Chunk], offset: int) -> None:
        for chunk in chunks:
            assert chunk.offset == offset
            assert chunk.data == self.data[offset : chunk.end]
            labels = set(self.labels[offset : chunk.end])
            assert labels == {(chunk.stream, chunk.time)}
            offset = chunk.end

    def check_all(self, log: OutputLog, *, damaged: bool = False) -> None:
        leave = log.subscribe(lambda: None)
        offset = log.start
        while offset < log.end:
            try:
                chunks = log.read(offset)
            except OffsetGone as gone:
                assert damaged
                assert offset < gone.start <= log.end
                offset = gone.start
                continue
            self.check(chunks, offset)
            offset = chunks[-1].end
        assert log.end <= len(self.data)
        leave()
        assert log.storage_closed


class MachineTests(SynchronousTestCase):
    """The machine above, run as one test."""

    def test_any_history(self) -> None:
        """Each viewer gets exactly the run's bytes, or an explicit gap."""
        machine = LogMachine.TestCase
        machine.settings = settings(max_examples=80, stateful_step_count=40)
        machine("runTest").runTest()
