"""A full or failing disk: viewers lose nothing; new requests are refused."""

import json
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.end_to_end.state_daemons import StateTestCase, refusal
from tests.support.http_watcher import (
    RunOutput,
    Watcher,
    ask,
    fetch,
    fetch_output,
    get,
    kept_bytes,
    post,
    watch,
)
from tests.support.programs import Daemon, Gate

CONFIG = """
[commands.big]
argv = ["seq", "1", "1000000"]
get = true
[commands.held]
argv = ["seq", "1", "1000000"]
get = true
retain = "1 MiB"
[commands.longer]
argv = ["seq", "1", "2000"]
get = true
[commands.short]
argv = ["echo", "hi"]
get = true
"""

#: What C{big} and C{held} say: several times what the disk holds.
WHOLE = b"".join(b"%d\n" % number for number in range(1, 1_000_001))

#: What C{longer} says: more than the record of a run holds.
LONGER = b"".join(b"%d\n" % number for number in range(1, 2001))

#: What the gated command says.
GATED = b"line 1\nline 2\nline 3\nover\n"


class DiskTestCase(StateTestCase):
    """The state is on a small disk of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.disk = Path(self.mktemp()).absolute()
        self.disk.mkdir()
        self.state = self.disk / "state"
        self.mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", str(self.disk))
        # Lazily: a daemon that does not end must not keep others from it.
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.disk)], check=True)

    def mount(self, *options: str) -> None:
        """mount(8), or skip the test: containers forbid it, to root as well."""
        try:
            mount = ["mount", *options]
            mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
        except FileNotFoundError:
            raise SkipTest("mount(8) is not installed") from None
        if mounted.returncode:
            raise SkipTest(f"no disk may be mounted: {mounted.stderr.strip()}")

    async def order(self, daemon: Daemon) -> Watcher:
        """Start a run without a viewer."""
        return await ask(daemon.port, post("/runs", {"command": "short"}))

    async def gated(self, daemon: Daemon) -> Watcher:
        """A viewer of the gated command, which has printed its first line."""
        watcher = await watch(daemon.port, get("/stream?format=frames"))
        await watcher.seen(b"line 1\n")
        return watcher

    async def assert_goes_on(self, gate: Gate, watcher: Watcher) -> None:
        """The gated command goes on to its end, live."""
        for number in range(1, gate.LINES + 1):
            await watcher.seen(b"line %d\n" % number)
            gate.let_through()
        await watcher.gone
        account = RunOutput.of("frames", watcher.body)
        self.assertEqual(account.data, GATED)
        self.assertEqual(account.end and account.end["state"], "exited")

    async def looks(self, daemon: Daemon, status: int) -> None:
        """Look whether it is well until that is as it should be."""
        while f" {status} " not in (await fetch(daemon.port, "/healthz")).head:
            pass  # it asks the disk once a second

    async def left(self, daemon: Daemon, run: str | None, whole: bytes) -> bytes:
        """The kept output of a run that exited; a gap must cover the rest."""
        answer = await fetch(daemon.port, f"/runs/{run}/output?format=frames")
        self.assertIn(b'"exited"', answer.body)
        return kept_bytes(whole, answer.body)

    async def far_behind(self, daemon: Daemon) -> Watcher:
        """A viewer that has not read its response, so that C{held} waits for it."""
        watcher = await watch(daemon.port, get("/stream/held"))
        await watcher.headed
        watcher.transport.pauseProducing()
        size = 0
        while size < 1 << 20:
            answer = await fetch(daemon.port, f"/runs/{watcher.run}")
            size = json.loads(answer.body)["size"]
        return watcher

    async def assert_works(self, daemon: Daemon) -> None:
        """New runs are accepted, delivered and kept."""
        short = await fetch(daemon.port, "/stream/short")
        self.assertEqual(short.body, b"hi\n")
        self.assertEqual((await fetch_output(daemon.port, short.run)).data, b"hi\n")
        self.assertNotIn(b"Traceback", daemon.program.out)


class FullDiskTests(DiskTestCase):
    """A full disk affects neither viewers nor active runs."""

    async def test_larger_than_the_disk(self) -> None:
        """Output that does not fit is delivered whole; its end is kept."""
        daemon = await self.start(CONFIG)
        big = await fetch(daemon.port, "/stream/big")
        self.assertEqual(big.body, WHOLE)
        await self.assert_works(daemon)
        run = json.loads((await fetch(daemon.port, f"/runs/{big.run}")).body)
        self.assertEqual((run["state"], run["size"]), ("exited", len(WHOLE)))
        kept = await fetch_output(daemon.port, big.run)
        self.assertGreater(len(kept.data), 1_000_000)
        self.assertEqual(kept.data, WHOLE[kept.start :])

    async def test_refused(self) -> None:
        """A full disk refuses runs until there is room again."""
        daemon = await self.start(CONFIG)
        self.fill()
        refused = await self.order(daemon)
        for _ in range(100):  # until SQLite's reserve is used up, too
            if " 503 " in refused.head:
                break
            refused = await self.order(daemon)
        self.assertIn(" 503 ", refused.head)
        self.assertIn("\r\nRetry-After: ", refused.head)
        self.assertIn(b"the disk that holds the state is full", refused.body)
        await self.looks(daemon, 503)
        streamed = await ask(daemon.port, post("/stream/short"))
        self.assertIn(b"is full", streamed.body)
        self.empty()
        await self.looks(daemon, 200)
        await self.assert_works(daemon)

    async def test_what_runs(self) -> None:
        """Runs go on while the disk fills up; their end is kept when there is room."""
        gate = Gate(self)
        config = gate.config + CONFIG
        daemon = await self.start(config)
        earlier = await fetch(daemon.port, "/stream/short")
        gated = await self.gated(daemon)
        big = await watch(daemon.port, get("/stream/big"))
        await big.headed
        self.fill()
        await self.assert_goes_on(gate, gated)
        await big.gone
        self.assertEqual(big.body, WHOLE)
        self.assertEqual((await fetch_output(daemon.port, earlier.run)).data, b"hi\n")
        runs = ((gated.run, GATED), (big.run, WHOLE))
        before = [await self.left(daemon, *each) for each in runs]
        self.empty()
        await self.assert_works(daemon)
        await self.stop(daemon, "TERM")
        daemon = await self.start(config)
        after = [await self.left(daemon, *each) for each in runs]
        self.assertEqual(after, before)

    def fill(self) -> None:
        """Fill the disk."""
        with (self.disk / "fill").open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    return

    def empty(self) -> None:
        """Make room again."""
        (self.disk / "fill").unlink()


class ReadOnlyTests(DiskTestCase):
    """A daemon needs a writable state directory."""

    async def test_at_the_start(self) -> None:
        """The daemon says so in a line, and does not start."""
        self.mount("-o", "remount,ro", str(self.disk))
        program = self.twistd()
        self.assertEqual(await program.ended(), 1)
        self.assertIn(
            "cannot hold the state: Read-only file system; repair that",
            refusal(program),
        )

    async def test_outputs(self) -> None:
        """
        Where no new file can be made, output that needs one can be watched live, once.
        Output that is in its file, or short enough for a record, is kept.
        """
        gate = Gate(self)
        daemon = await self.start(gate.config + CONFIG)
        gated = await self.gated(daemon)
        slow = await self.far_behind(daemon)
        earlier = await fetch(daemon.port, "/stream/short")
        outputs = str(self.state / "output")
        self.mount("--bind", outputs, outputs)
        self.addCleanup(subprocess.run, ["umount", "-ql", outputs], check=False)
        self.mount("-o", "remount,ro,bind", outputs)
        await self.assert_works(daemon)
        longer = await fetch(daemon.port, "/stream/longer")
        self.assertEqual(longer.body, LONGER)
        account = await fetch_output(daemon.port, longer.run)
        self.assertEqual((account.start, account.data), (len(LONGER), b""))
        said = f"the output of run {longer.run} is not kept whole: "
        await daemon.program.seen(said.encode() + b"[Errno 30] Read-only file system")
        await self.assert_goes_on(gate, gated)
        self.assertEqual(await self.left(daemon, gated.run, GATED), b"line 1\n")
        slow.transport.resumeProducing()
        await slow.gone
        self.assertEqual(slow.body, WHOLE)
        kept = await fetch_output(daemon.port, slow.run)
        self.assertEqual(kept.data, WHOLE[kept.start :])
        self.assertGreater(len(kept.data), 500_000)
        request = get(f"/runs/{earlier.run}").replace("GET", "DELETE", 1)
        self.assertIn(" 204 ", (await ask(daemon.port, request)).head)
        await daemon.program.seen(b"old outputs are not removed: [Errno 30] Read-only")
        subprocess.run(["umount", outputs], check=True)
        await self.assert_works(daemon)


class BrokenDiskTests(DiskTestCase):
    """A failing disk, which the kernel makes read-only."""

    def setUp(self) -> None:
        super().setUp()
        image = Path(self.mktemp()).absolute()
        with image.open("wb") as file:
            file.truncate(16 << 20)
        try:
            subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
        except FileNotFoundError:
            raise SkipTest("mkfs.ext4(8) is not installed") from None
        self.mount("-o", "loop,errors=remount-ro", str(image), str(self.disk))
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.disk)], check=True)

    async def test_while_it_runs(self) -> None:
        """Active runs are delivered whole; new ones are refused, old ones shown."""
        gate = Gate(self)
        daemon = await self.start(gate.config + CONFIG)
        earlier = await fetch(daemon.port, "/stream/short")
        gated = await self.gated(daemon)
        slow = await self.far_behind(daemon)
        self.mount("-o", "remount,abort", str(self.disk))
        await self.assert_goes_on(gate, gated)
        slow.transport.resumeProducing()
        await slow.gone
        self.assertEqual(slow.body, WHOLE)
        for refused in (
            await self.order(daemon),
            await ask(daemon.port, post("/stream/short")),
        ):
            self.assertIn(" 503 ", refused.head)
            self.assertIn(b"runs cannot be recorded: the disk", refused.body)
        self.assertEqual((await fetch_output(daemon.port, earlier.run)).data, b"hi\n")
        for run, whole in ((gated.run, GATED), (slow.run, WHOLE)):
            await self.left(daemon, run, whole)
        await self.stop(daemon, "TERM")
        self.assertNotIn(b"Traceback", daemon.program.out)
