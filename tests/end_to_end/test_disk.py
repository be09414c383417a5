"""A disk that is full hurts nobody who is there, and is told to who comes."""

import json
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

from tests.end_to_end.watching import fetch, watch
from tests.support import start_daemon

CONFIG = """
[commands.big]
argv = ["seq", "1", "1000000"]
get = true
[commands.short]
argv = ["echo", "hi"]
get = true
"""


def whole() -> bytes:
    """What C{seq 1 1000000} says, several times what the disk holds."""
    return b"".join(b"%d\n" % number for number in range(1, 1_000_001))


class DiskTestCase(TestCase):
    """The state is on a disk of three megabytes."""

    timeout = 60

    def setUp(self) -> None:
        self.disk = Path(self.mktemp()).absolute()
        self.disk.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(self.disk)]
        try:
            mounted = subprocess.run(mount, check=False, capture_output=True)
        except FileNotFoundError:
            raise SkipTest("mount(8) is not installed") from None
        if mounted.returncode:
            raise SkipTest(f"no disk may be mounted: {mounted.stderr.decode()}")
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.disk)], check=True)


class FullDiskTests(DiskTestCase):
    """A disk that is full hurts neither those who watch nor what runs."""

    async def test_larger_than_the_disk(self) -> None:
        """Output that does not fit is seen whole; its end is kept, and others run."""
        daemon = await start_daemon(self, CONFIG, "--state-dir", f"{self.disk}/state")
        big = await fetch(daemon.port, "/stream/big")
        self.assertEqual(big.body, whole())
        short = await fetch(daemon.port, "/stream/short")
        self.assertEqual(short.body, b"hi\n")
        path = f"/runs/{big.run}"
        run = json.loads((await fetch(daemon.port, path)).body)
        self.assertEqual((run["state"], run["size"]), ("exited", len(whole())))
        kept = await fetch(daemon.port, f"{path}/output?gap=skip")
        self.assertGreater(len(kept.body), 1_000_000)
        self.assertEqual(kept.body, whole()[run["start"] :])

    async def test_full(self) -> None:
        """Once others have filled it, runs are refused until there is room again."""
        daemon = await start_daemon(self, CONFIG, "--state-dir", f"{self.disk}/state")
        request = 'POST /runs HTTP/1.0\r\nContent-Length: 19\r\n\r\n{"command":"short"}'
        self.fill()
        refused = await watch(daemon.port, request)
        await refused.gone
        for _ in range(100):  # until what SQLite had in reserve is used up, too
            if " 503 " in refused.head:
                break
            refused = await watch(daemon.port, request)
            await refused.gone
        self.assertIn(" 503 ", refused.head)
        self.assertIn("retry-after: ", refused.head.lower())
        self.assertIn(b"is full", refused.body)
        (self.disk / "fill").unlink()
        short = await fetch(daemon.port, "/stream/short")
        self.assertEqual(short.body, b"hi\n")

    def fill(self) -> None:
        """Take all that is left of the disk."""
        with (self.disk / "fill").open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    return


class ReadOnlyTests(DiskTestCase):
    """The state cannot be where nothing may be written."""

    async def test_read_only(self) -> None:
        """The daemon says so in a line, and does not start."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.disk)], check=True)
        with self.assertRaises(AssertionError) as caught:
            await start_daemon(self, CONFIG, "--state-dir", f"{self.disk}/state")
        self.assertIn(
            "cannot hold the state: Read-only file system", str(caught.exception)
        )
        self.assertNotIn("Traceback", str(caught.exception))
