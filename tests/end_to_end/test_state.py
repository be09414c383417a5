"""A state folder that another uses, or that is not as it was left."""

import sqlite3
from collections.abc import Callable
from functools import partial
from os import truncate
from pathlib import Path
from typing import Any

from tests.end_to_end.state_daemons import StateTestCase, refusal
from tests.support.decoders import frames
from tests.support.http_watcher import fetch, fetch_output, get, kept_bytes, watch
from tests.support.programs import Gate, run, script, start_daemon

CONFIG = """
[commands.count]
argv = ["seq", "1", "50000"]
get = true
"""

#: What it says.
WHOLE = b"".join(b"%d\n" % number for number in range(1, 50_001))


def is_gap(record: Any) -> bool:
    return isinstance(record, dict) and record["type"] == "gap"


class TwoDaemonsTests(StateTestCase):
    """A folder belongs to one daemon."""

    async def test_same_folder(self) -> None:
        """A second daemon on the same directory names the first, and does not start."""
        daemon = await self.start(CONFIG)
        second = self.twistd()
        self.assertEqual(await second.ended(), 1)
        holder = f"is used by another shellstream (process {daemon.pid})"
        self.assertIn(f"{self.state} {holder}", refusal(second))
        answer = await fetch(daemon.port, "/stream/count")
        self.assertEqual(answer.body, WHOLE)

    async def test_default_folder(self) -> None:
        """It belongs to one daemon, too; a second demo keeps its runs in memory."""
        first = await start_daemon(self)
        second = await start_daemon(self)
        self.assertNotIn(b"in memory", first.program.out)
        holder = f"is used by another shellstream (process {first.pid})"
        self.assertIn(holder.encode(), second.program.out)
        self.assertIn(b"keeps its runs in memory", second.program.out)
        file = Path(self.mktemp()).absolute()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CONFIG)
        options = ("--port", "0", "--config", str(file))
        third = run(self, script("twistd"), "-n", "shellstream", *options)
        self.assertEqual(await third.ended(), 1)
        self.assertIn(holder, refusal(third))

    async def test_after_it_was_killed(self) -> None:
        """A daemon that was killed holds no folder: the next one has it at once."""
        for _ in range(2):
            daemon = await self.start(CONFIG)
            await self.stop(daemon, "KILL")
            self.assertTrue((self.state / "lock").exists())
        await self.start(CONFIG)


class HistoryTests(StateTestCase):
    """A history that is damaged, or of another version."""

    async def run_once(self) -> str:
        """Have a run in the history, and no daemon."""
        daemon = await self.start(CONFIG)
        answer = await fetch(daemon.port, "/stream/count")
        await self.stop(daemon)
        assert answer.run is not None
        return answer.run

    async def test_damaged(self) -> None:
        """A damaged history is set aside with its outputs, and a new one begun."""
        for garbage in (b"no database\n" * 1000, b"SQLite format 3\0" + b"\xa5" * 9000):
            run = await self.run_once()
            (self.state / "runs.db").write_bytes(garbage)
            daemon = await self.start(CONFIG)
            said = daemon.program.out.decode()
            self.assertIn("the run history was damaged", said)
            self.assertNotIn("Traceback", said)
            newest = max(self.state.glob("aside/*"), key=lambda each: each.name)
            self.assertIn(f"has been moved to {newest}", said)
            self.assertEqual((newest / "runs.db").read_bytes(), garbage)
            self.assertTrue((newest / "output" / f"{run}.log").exists())
            gone = await fetch(daemon.port, f"/runs/{run}")
            self.assertIn(" 404 ", gone.head)
            answer = await fetch(daemon.port, "/stream/count")
            self.assertEqual((await fetch_output(daemon.port, answer.run)).data, WHOLE)
            await self.stop(daemon)

    async def test_damaged_inside(self) -> None:
        """A history that opens but has damaged pages is set aside, too."""
        await self.run_once()
        file = self.state / "runs.db"
        content = bytearray(file.read_bytes())
        content[4096:] = b"\xa5" * (len(content) - 4096)
        file.write_bytes(content)
        daemon = await self.start(CONFIG)
        self.assertIn(b"the run history was damaged", daemon.program.out)
        answer = await fetch(daemon.port, "/stream/count")
        self.assertEqual((await fetch_output(daemon.port, answer.run)).data, WHOLE)

    async def test_newer(self) -> None:
        """A history of a later version is left alone, and the daemon does not start."""
        run = await self.run_once()
        with sqlite3.connect(self.state / "runs.db") as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            database.execute("PRAGMA user_version = 99")
        database.close()
        program = self.twistd()
        self.assertEqual(await program.ended(), 1)
        self.assertIn("was made by a newer shellstream; upgrade", refusal(program))
        with sqlite3.connect(self.state / "runs.db") as database:
            database.execute(f"PRAGMA user_version = {version}")
        database.close()
        daemon = await self.start(CONFIG)
        self.assertEqual((await fetch_output(daemon.port, run)).data, WHOLE)


class OutputTests(StateTestCase):
    """Damaged output never looks whole."""

    async def assert_told(self, damage: Callable[[Path], object], words: str) -> bytes:
        """
        Check that the output left after C{damage} is shown, with a gap for the rest,
        that the daemon logs C{words}, and that another run is unharmed.

        Returns the output that is left.
        """
        daemon = await self.start(CONFIG)
        harmed = (await fetch(daemon.port, "/stream/count")).run
        other = (await fetch(daemon.port, "/stream/count")).run
        await self.stop(daemon)
        damage(self.state / "output" / f"{harmed}.log")
        daemon = await self.start(CONFIG)
        answer = await fetch(daemon.port, f"/runs/{harmed}/output?format=frames")
        left = kept_bytes(WHOLE, answer.body)
        self.assertIn(b'"exited"', answer.body)
        said = daemon.program.out.decode()
        self.assertIn(f"the output of run {harmed}", said)
        self.assertIn(words, said)
        self.assertNotIn("Traceback", said)
        plain = await fetch(daemon.port, f"/runs/{harmed}/output")
        if left:  # it is cut, and does not look whole
            self.assertTrue(WHOLE.startswith(plain.body))
            self.assertLess(len(plain.body), len(WHOLE))
            gap = next(each for each in frames(answer.body) if is_gap(each))
            path = f"/runs/{harmed}/output?offset={gap['offset']}"
            self.assertIn(" 410 ", (await fetch(daemon.port, path)).head)
            path = f"/runs/{harmed}/output?gap=skip"
            self.assertEqual((await fetch(daemon.port, path)).body, left)
        else:
            self.assertIn(" 410 ", plain.head)
        self.assertEqual((await fetch_output(daemon.port, other)).data, WHOLE)
        return left

    async def test_deleted(self) -> None:
        """All output of a deleted file is reported missing."""
        self.assertEqual(await self.assert_told(Path.unlink, "is gone"), b"")

    async def test_emptied(self) -> None:
        """All output of an emptied file is reported missing."""
        empty = partial(truncate, length=0)
        self.assertEqual(await self.assert_told(empty, "is cut short"), b"")

    async def test_truncated(self) -> None:
        """The rest of a truncated file is shown."""
        shorter = partial(truncate, length=100_000)
        left = await self.assert_told(shorter, "is cut short")
        self.assertGreater(len(left), 10_000)
        self.assertEqual(left, WHOLE[: len(left)])

    async def test_garbage(self) -> None:
        """A file that holds something else is set aside."""

        def overwrite(path: Path) -> None:
            path.write_bytes(b"\xa5" * path.stat().st_size)

        self.assertEqual(await self.assert_told(overwrite, "has been moved to"), b"")
        (aside,) = self.state.glob("output/*.damaged")
        self.assertEqual(set(aside.read_bytes()), {0xA5})

    async def test_one_byte(self) -> None:
        """A single changed byte is noticed."""

        def change(path: Path) -> None:
            content = bytearray(path.read_bytes())
            content[-10_000] ^= 1
            path.write_bytes(content)

        left = await self.assert_told(change, "is not kept whole: ")
        self.assertLess(len(left), len(WHOLE))
        self.assertTrue(left.startswith(WHOLE[:200_000]))  # it is in another sector

    async def test_deleted_while_it_is_written(self) -> None:
        """A viewer still sees all output of a run whose file was deleted."""
        gate = Gate(self)
        # More than the record of a run holds comes first.
        config = gate.config.replace("for k", "seq 1000; for k", 1)
        daemon = await self.start(config + CONFIG)
        watcher = await watch(daemon.port, get("/stream?format=frames"))
        await watcher.seen(b"line 1\n")
        (self.state / "output" / f"{watcher.run}.log").unlink()
        gate.let_through()
        await watcher.seen(b"line 2\n")
        late = await watch(daemon.port, get(f"/runs/{watcher.run}/output"))
        for number in (2, 3):
            await late.seen(b"line %d\n" % number)
            gate.let_through()
        whole = WHOLE[: WHOLE.index(b"1001\n")] + b"line 1\nline 2\nline 3\nover\n"
        await late.gone
        self.assertEqual(late.body, whole)
        await watcher.gone
        self.assertIn(b'"exited"', watcher.body)
        # It cannot be shown again, and the response says so.
        account = await fetch_output(daemon.port, watcher.run)
        self.assertEqual((account.start, account.data), (len(whole), b""))
        said = f"the output of run {watcher.run} is gone"
        self.assertIn(said, daemon.program.out.decode())
        answer = await fetch(daemon.port, "/stream/count")
        self.assertEqual((await fetch_output(daemon.port, answer.run)).data, WHOLE)
