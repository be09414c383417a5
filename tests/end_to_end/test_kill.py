"""The daemon is killed at any moment, and not a byte that was seen is lost."""

import json
import os
import sqlite3
from itertools import count
from pathlib import Path
from random import Random
from signal import SIGINT, SIGKILL
from time import time

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.end_to_end.state_daemons import StateTestCase, processes_gone
from tests.support.http_watcher import (
    RunOutput,
    Watcher,
    ask,
    fetch,
    fetch_output,
    get,
    post,
    watch,
)
from tests.support.programs import Daemon, Lifeline, start_daemon

#: How often the daemon is killed in all, by how many workers side by side.
KILLS = int(os.environ.get("SHELLSTREAM_KILLS", 200 if os.environ.get("CI") else 12))
WORKERS = 4

#: What the commands of a round keep, in bytes, if not the default.
RETAIN = {"big": 4 << 20, "wrap": 256 << 10}

#: Those that say enough for the daemon to be killed at any byte, and never end.
ENDLESS = ("big", "wrap", "tiny")

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
argv = ["sleep", "1000"]
get = true
[commands.once]
shell = 'echo "$SHELLSTREAM_RUN" >> "{ran}"; echo ran'
get = true
max_running = 1
when_busy = "queue"
on_disconnect = "keep"
"""


@define
class Client:
    """A client's request, and the response until the daemon was killed."""

    command: str
    form: str
    request: str
    watcher: Watcher

    @property
    def saw(self) -> RunOutput:
        if self.form == "json":  # it only ordered a run
            return RunOutput()
        return RunOutput.of(self.form, self.watcher.body)


@define(eq=False)
class Worker:
    """Starts daemons on one state folder, one after the other, and kills them."""

    test: TestCase
    random: Random
    state: str
    config: str
    daemon: Daemon = field(init=False)
    _keys: "count[int]" = field(factory=count, init=False)
    _left: int = field(default=0, init=False)  # bytes until the daemon is killed
    _kill: Deferred[None] = field(factory=Deferred, init=False)

    async def start(self) -> None:
        self.daemon = await start_daemon(
            self.test, self.config, "--state-dir", self.state
        )

    async def work(self, kills: int) -> None:
        """Kill so many daemons; the last one lives."""
        await self.start()
        for _ in range(kills):
            clients = await self.load()
            os.kill(self.daemon.pid, SIGKILL)
            await self.daemon.program.ended()
            await DeferredList([each.watcher.gone for each in clients])
            await self.start()
            for each in clients:
                if each.watcher.run is not None:
                    await self.compare(each)
            for each in clients:
                await self.ask_again(each)

    async def load(self) -> list[Client]:
        """Watch several runs until a part of their output has come."""
        # None: right after the start; else after so many bytes of the response.
        moments = [None, 0, 1_000, 30_000, 300_000, 3_000_000, 10_000_000]
        most = self.random.choice(moments)
        if most is None:
            return []
        commands = [*ENDLESS, "short", "quiet", "once", "once", "post", "post"]
        chosen = self.random.sample(commands, 6)
        if not set(chosen) & set(ENDLESS):
            most = min(most, 1_000)  # these say no more
        self._left = self.random.randint(0, most)
        self._kill = Deferred()
        clients = [await self.client(command) for command in chosen]
        self.noticed(0)
        await self._kill
        return clients

    async def client(self, command: str) -> Client:
        """Order a run, with a key, and watch it unless that is C{post}."""
        key = f"key-{next(self._keys)}"
        if command == "post":
            form, command = "json", self.random.choice(["once", "short"])
            body = {"command": command}
            request = post("/runs", body, Idempotency_Key=key)
        else:
            form = self.random.choice(["plain", "frames", "ndjson"])
            path = f"/stream/{command}?format={form}"
            request = get(path, Idempotency_Key=key)
        watcher = await watch(self.daemon.port, request, self.noticed)
        return Client(command, form, request, watcher)

    def noticed(self, size: int) -> None:
        self._left -= size
        if self._left <= 0 and not self._kill.called:
            self._kill.callback(None)

    async def compare(self, client: Client) -> None:
        """Check that the next daemon replays the client's output, and the same end."""
        test, command, saw = self.test, client.command, client.saw
        run = client.watcher.run
        replay = await fetch_output(self.daemon.port, run)
        end = replay.end
        assert run is not None
        assert end is not None
        test.assertEqual(saw.start, 0, command)  # it waited for its viewers
        test.assertEqual(end["offset"], replay.start + len(replay.data), command)
        test.assertGreaterEqual(end["offset"], len(saw.data), command)
        retain = RETAIN.get(command, 64 << 20)
        test.assertLessEqual(replay.start, max(0, end["offset"] - retain), command)
        expected = saw.data[replay.start :]
        again = replay.data[: len(expected)]
        if again != expected:
            pairs = enumerate(zip(again, expected, strict=False), replay.start)
            where = next((n for n, (a, b) in pairs if a != b), end["offset"])
            test.fail(f"the output of {command} is another one from {where} on")
        if saw.end is not None:
            test.assertEqual(end, saw.end, command)
        elif command in (*ENDLESS, "quiet"):
            test.assertEqual(end["state"], "lost", command)
        else:
            test.assertIn(end["state"], ("exited", "lost"), command)
        await processes_gone({run})

    async def ask_again(self, client: Client) -> None:
        """A request that is sent again, with its key, begins no second run."""
        run = client.watcher.run
        if run is None and client.command not in ("short", "once"):
            return  # it may begin only now, and would never end
        watcher = await watch(self.daemon.port, client.request)
        await watcher.headed
        if run is not None:
            self.test.assertEqual(watcher.run, run, client.command)
        self.test.assertIsNotNone(watcher.run, watcher.head)
        watcher.leave()

    async def runs(self, command: str) -> list[str]:
        """The ids of all runs of a command, the newest first."""
        path = f"/runs?command={command}&limit=1000"
        answer = json.loads((await fetch(self.daemon.port, path)).body)
        assert answer["next"] is None, "there are more"
        return [run["id"] for run in answer["runs"]]


class KillTests(TestCase):
    """After C{kill -9} all seen output is kept, and nothing is run twice."""

    timeout = 900

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.ran = self.folder / "ran"
        self.ran.touch()

    async def test_any_moment(self) -> None:
        """The daemon is killed again and again, under load, at random moments."""
        given = os.environ.get("SHELLSTREAM_SEED")
        seed = Random().randrange(1 << 32) if given is None else int(given)
        config = CONFIG.format(ran=self.ran)
        workers = [
            Worker(self, Random(seed + number), f"{self.folder}/{number}", config)
            for number in range(WORKERS)
        ]
        work = [Deferred.fromCoroutine(each.work(KILLS // WORKERS)) for each in workers]
        done = await DeferredList(work, consumeErrors=True)
        for success, result in done:
            if not success:
                self.fail(f"SHELLSTREAM_SEED={seed}: {result.getTraceback()}")
        await self.assert_each_once(workers)

    async def assert_each_once(self, workers: list[Worker]) -> None:
        """Check that each of C{once} ran, and ran once."""
        known: set[str] = set()
        exited: set[str] = set()
        for worker in workers:
            for run in await worker.runs("once"):
                account = await fetch_output(worker.daemon.port, run)
                assert account.end is not None
                self.assertIn(account.end["state"], ("exited", "lost"))
                known.add(run)
                if account.end["state"] == "exited":
                    self.assertEqual(account.data, b"ran\n")
                    exited.add(run)
        ran = self.ran.read_text().split()
        self.assertEqual(len(ran), len(set(ran)), "one ran twice")
        self.assertLessEqual(exited, set(ran))
        self.assertLessEqual(set(ran), known)
        await processes_gone(known)

    async def test_queue(self) -> None:
        """
        The next daemon runs queued runs in order, but not those that were running.
        """
        gate = self.folder / "gate"
        line = f'echo "$SHELLSTREAM_RUN" >> "{self.ran}"; echo ran; '
        config = (
            'max_running = 1\nwhen_busy = "queue"\n[commands.one]\n'
            f"shell = '{line}[ -e \"{gate}\" ] || exec sleep 1000'\nget = true\n"
        )
        worker = Worker(self, Random(), f"{self.folder}/state", config)
        await worker.start()
        first = await watch(worker.daemon.port, get("/stream/one"))
        await first.seen(b"ran\n")
        queued = []
        for key in ("a", "b", "c"):
            request = post("/runs", {"command": "one"}, Idempotency_Key=key)
            answer = await ask(worker.daemon.port, request)
            self.assertEqual(json.loads(answer.body)["state"], "queued")
            queued.append((request, answer.run))
        gate.touch()
        os.kill(worker.daemon.pid, SIGKILL)
        await worker.daemon.program.ended()
        await worker.start()
        lost = await fetch_output(worker.daemon.port, first.run)
        self.assertEqual(
            (lost.data, lost.end and lost.end["state"]), (b"ran\n", "lost")
        )
        for request, run in queued:
            again = await ask(worker.daemon.port, request)
            self.assertEqual(again.run, run)
            account = await fetch_output(worker.daemon.port, run)
            self.assertEqual(account.data, b"ran\n")
            self.assertEqual(account.end and account.end["state"], "exited")
        ran = [first.run, *(run for _, run in queued)]
        self.assertEqual(self.ran.read_text().split(), ran)
        self.assertEqual(len(await worker.runs("one")), 4)
        await processes_gone({run for run in ran if run is not None})


class UnrecordedTests(StateTestCase):
    """A run that began while the daemon could not record it, and was killed."""

    async def test_ended(self) -> None:
        """Its process is ended, its output removed; nobody ever hears of it."""
        line = Lifeline(self)
        config = await self.leave(line)
        daemon = await self.start(config)
        await daemon.program.seen(b"1 runs had begun")
        await line.cut()
        listed = await fetch(daemon.port, "/runs")
        self.assertEqual(json.loads(listed.body)["runs"], [])
        await self.stop(daemon)
        self.assertEqual(os.listdir(self.state / "output"), [])
        self.assertNotIn("aside", os.listdir(self.state))

    async def leave(self, line: Lifeline, first: str = "") -> str:
        """
        Leave a process behind that a daemon could not record. Returns the
        configuration.
        """
        # More than its record would have, so that its output is in a file.
        said = "head -c 5000 /dev/zero"
        script = f"{first}exec 3> '{line.path}'; {said}; echo x >&3; exec sleep 1000"
        config = f'[commands.line]\nshell = "{script}"\n'
        daemon = await self.start(config)
        # Another program's transaction: the daemon waits for a second.
        other = sqlite3.connect(self.state / "runs.db")
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        asked = await watch(daemon.port, post("/stream/line"))
        await line.spoken()
        while not os.listdir(self.state / "output"):
            await deferLater(reactor, 0.01)
        os.kill(daemon.pid, SIGKILL)
        await daemon.program.ended()
        other.rollback()
        self.assertEqual(asked.head, "")
        return config

    async def test_killed_again(self) -> None:
        """
        If the next daemon is killed before it has ended the process, the one after it
        does that, however late.
        """
        line = Lifeline(self)
        config = await self.leave(line, "trap '' TERM; ")
        for signal in SIGKILL, SIGINT:
            daemon = await self.start(config)
            self.assertIn(b"1 runs had begun", daemon.program.out)
            daemon.program.signal(signal.name[3:])
            await daemon.program.ended()
            # As if it had lived for an hour.
            os.utime(self.state / "runs.db", (time() + 3600,) * 2)
        daemon = await self.start(config)
        self.assertIn(b"1 runs had begun", daemon.program.out)
        await line.cut()
        await self.stop(daemon)
        daemon = await self.start(config)
        await self.stop(daemon)
        self.assertNotIn(b"had begun", daemon.program.out)

    async def test_forgotten(self) -> None:
        """A program that outlives its run is spared, though the run is forgotten."""
        script = "setsid sleep 1000 > /dev/null 2>&1 & echo $!"
        config = f"[commands.leave]\nshell = '{script}'\n"
        daemon = await self.start(config)
        run = await ask(daemon.port, post("/stream/leave"))
        pid = int(run.body)
        self.addCleanup(os.kill, pid, SIGKILL)
        delete = get(f"/runs/{run.run}").replace("GET", "DELETE", 1)
        self.assertIn("204", (await ask(daemon.port, delete)).head)
        os.kill(daemon.pid, SIGKILL)
        await daemon.program.ended()
        daemon = await self.start(config)
        await self.stop(daemon)
        self.assertNotIn(b"had begun", daemon.program.out + daemon.program.err)
        os.kill(pid, 0)
