"""
A loss of power: what the disk had then is what is left.

A library between the daemon and its system keeps an image of the disk: a file's content
as of its last sync, and a folder's names as of the folder's last sync. Everything else
is lost, as it may be on a real disk, and the processes are gone.
"""

import json
import os
import subprocess
from pathlib import Path
from signal import SIGKILL

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.end_to_end.state_daemons import StateTestCase, processes_gone
from tests.support.http_watcher import (
    Watcher,
    ask,
    fetch,
    fetch_output,
    get,
    post,
    watch,
)
from tests.support.programs import Daemon, needs, start_daemon

#: Copies what is synced to C{$IMAGE}: files and lists of names, by their inodes.
PRELOAD = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int keep(int fd) {
    char part[4096], whole[4096], buffer[65536], path[64];
    struct stat found;
    if (fstat(fd, &found) != 0) return -1;
    const char *image = getenv("IMAGE");
    snprintf(whole, sizeof whole, "%s/hold", image);
    while (access(whole, F_OK) == 0) usleep(1000);
    snprintf(whole, sizeof whole, "%s/%ld", image, (long) found.st_ino);
    snprintf(part, sizeof part, "%s.%d.part", whole, gettid());
    int out = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (S_ISDIR(found.st_mode)) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        DIR *folder = opendir(path);
        for (struct dirent *each; (each = readdir(folder)) != NULL;)
            if (each->d_name[0] != '.')
                dprintf(out, "%ld %d %s\n", (long) each->d_ino,
                        each->d_type == DT_DIR, each->d_name);
        closedir(folder);
    } else {
        ssize_t size;
        off_t at = 0;
        while ((size = pread(fd, buffer, sizeof buffer, at)) > 0) {
            if (write(out, buffer, size) != size) abort();
            at += size;
        }
    }
    close(out);
    return rename(part, whole);
}
int fsync(int fd) { return keep(fd); }
int fdatasync(int fd) { return keep(fd); }
"""

CONFIG = """
[commands.end]
argv = ["echo", "hello"]
sync = "end"
[commands.second]
argv = ["echo", "hello"]
[commands.never]
argv = ["head", "-c", "5000", "/dev/zero"]
sync = "never"
[commands.always]
shell = "echo hello; exec sleep 1000"
sync = "always"
[commands.lines]
shell = "for k in 1 2 3; do echo line $k; sleep 0.2; done; exec sleep 1000"
[commands.queued]
shell = "echo hello; exec sleep 1000"
max_running = 1
when_busy = "queue"
"""


class PowerTests(StateTestCase):
    """What each C{sync} promises is on the disk when it is promised."""

    skip = needs("cc")

    def setUp(self) -> None:
        super().setUp()
        self.image = Path(self.mktemp()).absolute()
        self.image.mkdir(parents=True)
        self.library = self.image / "preload.so"
        self.hold = self.image / "hold"  # while it is there, no sync ends
        source = self.image / "preload.c"
        source.write_text(PRELOAD)
        built = ["cc", "-shared", "-fPIC", "-o", str(self.library), str(source)]
        subprocess.run(built, check=True)
        self.disks = 0

    async def boot(self, **env: str) -> Daemon:
        """Start a daemon on what the disk has."""
        env |= {"LD_PRELOAD": str(self.library), "IMAGE": str(self.image)}
        options = ("--state-dir", str(self.state))
        return await start_daemon(self, CONFIG, *options, env=env)

    async def lose_power(self, daemon: Daemon) -> None:
        """Stop the machine, and go on with what its disk has."""
        os.kill(daemon.pid, SIGKILL)
        await daemon.program.ended()
        old, self.state = self.state, self.image / f"disk-{self.disks}"
        self.disks += 1
        self.state.mkdir(0o700)
        self.restore(old.stat().st_ino, self.state)

    def restore(self, folder: int, path: Path) -> None:
        """Fill a folder with the names that were synced, and what was of each."""
        names = self.image / str(folder)
        for line in names.read_text().splitlines() if names.exists() else ():
            inode, is_folder, name = line.split(" ", 2)
            if int(is_folder):
                (path / name).mkdir(0o700)
                self.restore(int(inode), path / name)
            else:
                content = self.image / inode
                found = content.read_bytes() if content.exists() else b""
                (path / name).touch(0o600)
                (path / name).write_bytes(found)

    async def state_of(self, daemon: Daemon, run: Watcher) -> object:
        """The state of a run; L{None} if nobody knows it."""
        answer = await fetch(daemon.port, f"/runs/{run.run}")
        return json.loads(answer.body).get("state")

    async def second(self, changed: Path) -> None:
        """Wait until a file of the image is another."""
        before = changed.stat().st_mtime_ns
        while changed.stat().st_mtime_ns == before:
            await deferLater(reactor, 0.02)

    def wal(self) -> Path:
        """The image of the log of the history."""
        return self.image / str((self.state / "runs.db-wal").stat().st_ino)

    async def test_end(self) -> None:
        """With C{end}, an end that was told is there, with its output."""
        daemon = await self.boot()
        run = await ask(daemon.port, post("/stream/end"))
        await self.lose_power(daemon)
        daemon = await self.boot()
        self.assertEqual(await self.state_of(daemon, run), "exited")
        self.assertEqual((await fetch_output(daemon.port, run.run)).data, b"hello\n")

    async def test_second(self) -> None:
        """By default, all is there after the sync of the next second."""
        daemon = await self.boot()
        run = await ask(daemon.port, post("/stream/second"))
        await self.second(self.wal())
        await self.lose_power(daemon)
        daemon = await self.boot()
        self.assertEqual(await self.state_of(daemon, run), "exited")
        self.assertEqual((await fetch_output(daemon.port, run.run)).data, b"hello\n")

    async def test_always(self) -> None:
        """With C{always}, a byte that was seen is there, and so is its run."""
        daemon = await self.boot()
        run = await watch(daemon.port, post("/stream/always"))
        await run.seen(b"hello")
        await self.lose_power(daemon)
        daemon = await self.boot()
        await processes_gone({run.run})
        self.assertIn(await self.state_of(daemon, run), ("running", "lost"))
        path = f"/runs/{run.run}/output?follow=false"
        self.assertEqual((await fetch(daemon.port, path)).body, b"hello\n")

    async def test_never(self) -> None:
        """With C{never}, a run is known a second later; its output may be lost."""
        daemon = await self.boot()
        run = await ask(daemon.port, post("/stream/never"))
        await self.second(self.wal())
        await self.lose_power(daemon)
        daemon = await self.boot()
        self.assertEqual(await self.state_of(daemon, run), "exited")
        self.assertEqual((await fetch_output(daemon.port, run.run)).data, b"")

    async def test_key(self) -> None:
        """A run with a key is known before it is started: it never runs twice."""
        daemon = await self.boot()
        asked = post("/runs", {"command": "second"}, Idempotency_Key="k")
        first = await ask(daemon.port, asked)
        await self.lose_power(daemon)
        daemon = await self.boot()
        again = await ask(daemon.port, asked)
        self.assertEqual(json.loads(again.body)["id"], json.loads(first.body)["id"])
        self.assertIn(json.loads(again.body)["state"], ("exited", "lost"))

    async def test_slow_disk(self) -> None:
        """While the disk takes its time, only those wait who asked for it."""
        daemon = await self.boot()
        running = await watch(daemon.port, post("/stream/lines"))
        await running.seen(b"line 1")
        self.hold.touch()
        asked = post("/runs", {"command": "second"}, Idempotency_Key="k")
        keyed = await watch(daemon.port, asked)
        for _ in range(9):  # the sync of a second is held as well, from some time on
            done = await ask(daemon.port, post("/stream/second"))
            self.assertEqual(done.body, b"hello\n")
        await running.seen(b"line 3")
        self.assertEqual(keyed.head, "")
        self.hold.unlink()
        await keyed.gone
        self.assertEqual(keyed.status, 201)

    async def test_queue(self) -> None:
        """A run that has left the queue does not wait there again."""
        daemon = await self.boot()
        running = await watch(daemon.port, post("/stream/queued"))
        await running.seen(b"hello")
        waiting = await watch(daemon.port, post("/stream/queued"))
        await waiting.headed
        await ask(daemon.port, post(f"/runs/{running.run}/cancel"))
        await waiting.seen(b"hello")
        await self.lose_power(daemon)
        daemon = await self.boot()
        await processes_gone({waiting.run})
        self.assertIn(await self.state_of(daemon, waiting), ("running", "lost"))
        listed = await ask(daemon.port, get("/runs?state=queued"))
        self.assertEqual(json.loads(listed.body)["runs"], [])
