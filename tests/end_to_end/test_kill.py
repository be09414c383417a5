"""The daemon is killed at any moment, and not a byte that was seen is lost."""

import json
import os
from pathlib import Path
from random import Random
from signal import SIGKILL

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import TestCase

from tests.end_to_end.watching import Frames, Watcher, fetch, watch
from tests.support import Daemon, Lifeline, start_daemon

#: How often the daemon is killed in all, by how many workers side by side.
KILLS = int(os.environ.get("SHELLSTREAM_KILLS", 200 if os.environ.get("CI") else 12))
WORKERS = 4

#: What the commands of a round keep, in bytes.
RETAIN = {"big": 4 << 20, "wrap": 256 << 10}

CONFIG = """
linger = 0
[commands.big]
argv = ["seq", "1", "100000000"]
get = true
retain = "4 MiB"
[commands.wrap]
argv = ["seq", "1", "100000000"]
get = true
retain = "256 KiB"
[commands.tiny]
shell = "while :; do echo x; done"
get = true
[commands.short]
shell = "echo one; echo two >&2; echo three"
get = true
[commands.quiet]
shell = "exec 3> '{lifeline}'; exec sleep 1000"
get = true
[commands.once]
shell = 'echo "$SHELLSTREAM_RUN" >> "{ran}"; echo ran'
get = true
max_running = 1
when_busy = "queue"
on_disconnect = "keep"
"""


@define
class Seen:
    """What a client saw of a run, when its daemon was killed."""

    command: str
    form: str
    watcher: Watcher

    @property
    def frames(self) -> Frames:
        body = self.watcher.body
        return Frames(data=body) if self.form == "plain" else Frames.of(body)


@define(eq=False)
class Worker:
    """Starts daemons on one state folder, one after the other, and kills them."""

    test: TestCase
    random: Random
    state: str
    config: str
    daemon: Daemon = field(init=False)
    _left: int = field(default=0, init=False)  # bytes until the daemon is killed
    _kill: Deferred[None] | None = field(default=None, init=False)
    _keys: dict[str, str] = field(factory=dict, init=False)

    async def start(self) -> None:
        self.daemon = await start_daemon(
            self.test, self.config, "--state-dir", self.state
        )

    async def work(self, kills: int) -> None:
        """Kill so many daemons; the last one lives."""
        await self.start()
        for number in range(kills):
            seen = await self.load_until_killed(number)
            await self.start()
            for each in seen:
                if each.watcher.run is not None:
                    await self.compare(each, each.watcher.run)
            await self.ask_again()

    async def load_until_killed(self, number: int) -> list[Seen]:
        """Watch several runs until so and so much was seen of them."""
        commands = ["big", "wrap", "tiny", "short", "quiet", "once", "once"]
        self._left = self.random.choice([0, 1, 3_000, 300_000, 3_000_000])
        self._left = self.random.randint(0, self._left)
        self._kill = Deferred()
        seen: list[Seen] = []
        for command in self.random.sample(commands, 5):
            form = self.random.choice(["plain", "frames"])
            key = f"{self.state}-{number}-{len(seen)}"
            request = (
                f"GET /stream/{command}?format={form} HTTP/1.0\r\n"
                f"Idempotency-Key: {key}\r\n"
            )
            watcher = await watch(self.daemon.port, request, self.noticed)
            seen.append(Seen(command, form, watcher))
            self._keys[key] = request
        if not {each.command for each in seen} & {"big", "wrap", "tiny"}:
            self._left = 0  # nobody says enough
        self.noticed(0)
        await self._kill
        os.kill(self.daemon.pid, SIGKILL)
        await self.daemon.program.ended()
        await DeferredList([each.watcher.gone for each in seen])
        return seen

    def noticed(self, size: int) -> None:
        self._left -= size
        if self._left <= 0 and self._kill is not None and not self._kill.called:
            self._kill.callback(None)

    async def compare(self, seen: Seen, run: str) -> None:
        """What the next daemon replays is what was seen, and how it ended too."""
        replayed = await fetch(self.daemon.port, f"/runs/{run}/output?format=frames")
        frames, saw = Frames.of(replayed.body), seen.frames
        end, test = frames.end, self.test
        assert end is not None, (seen.command, replayed.head, frames.controls)
        test.assertEqual(end["offset"], frames.start + len(frames.data))
        test.assertGreaterEqual(end["offset"], len(saw.data), seen.command)
        retain = RETAIN.get(seen.command, 64 << 20)
        test.assertLessEqual(frames.start, max(0, end["offset"] - retain))
        again = frames.data[: max(0, len(saw.data) - frames.start)]
        test.assertEqual(again, saw.data[frames.start :], seen.command)
        if saw.end is not None:
            test.assertEqual(end, saw.end)
        elif seen.command in ("big", "wrap", "tiny", "quiet"):
            test.assertEqual(end["state"], "lost", seen.command)

    async def ask_again(self) -> None:
        """Who heard nothing sends its request again, and begins no second run."""
        asked, self._keys = self._keys, {}
        for request in asked.values():
            if "/once" in request:
                watcher = await watch(self.daemon.port, request)
                await watcher.gone
                self.test.assertIsNotNone(watcher.run, watcher.head)


class KillTests(TestCase):
    """C{kill -9} takes nothing that anybody has seen, and starts nothing twice."""

    timeout = 900

    async def test_killed(self) -> None:
        """Again and again, under load, at moments that nobody has chosen."""
        seed = Random().randrange(1 << 32)
        lifeline = Lifeline(self)
        ran = Path(self.mktemp()).absolute()
        ran.parent.mkdir(parents=True, exist_ok=True)
        config = CONFIG.format(lifeline=lifeline.path, ran=ran)
        workers = [
            Worker(self, Random(seed + number), os.path.abspath(self.mktemp()), config)
            for number in range(WORKERS)
        ]
        work = [Deferred.fromCoroutine(each.work(KILLS // WORKERS)) for each in workers]
        done = await DeferredList(work, consumeErrors=True)
        for success, result in done:
            if not success:
                result.value.add_note(f"seed {seed}")
                result.raiseException()
        await self.assert_each_once(workers, ran)
        # What a daemon that was killed had left running, the next one has ended.
        await lifeline.cut()

    async def assert_each_once(self, workers: list[Worker], ran: Path) -> None:
        """Every run of C{once} that ended by itself ran, and none ran twice."""
        ids = ran.read_text().split()
        self.assertEqual(sorted(ids), sorted(set(ids)))
        for worker in workers:
            path = "/runs?command=once&limit=1000"
            for run in json.loads((await fetch(worker.daemon.port, path)).body)["runs"]:
                await fetch(worker.daemon.port, f"/runs/{run['id']}/output")
                if run["state"] == "exited":
                    self.assertIn(run["id"], ids)
