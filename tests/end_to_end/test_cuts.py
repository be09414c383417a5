"""Connections are cut at random bytes, and taken up again, until all is there."""

import os
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from tests.end_to_end.state_daemons import StateTestCase
from tests.support.cutting_proxy import start_cutting_proxy
from tests.support.decoders import DECODERS, Told
from tests.support.http_watcher import RunOutput, ask, fetch_output, get, post, watch
from tests.support.programs import Daemon, Gate, needs, run

#: Says half of what it has to say, waits to be let through, and says the rest: text,
#: with characters of up to four bytes, and invalid bytes, on both streams.
SPEAKER = """
import os, random, sys
rng = random.Random(int(sys.argv[1]))
def say(count):
    for _ in range(count):
        size = rng.choice([1, 3, 100, 5000])
        data = rng.choice([
            b"line of text\\n" * size,
            "caf\\u00e9 \\u6f22\\u5b57 \\U0001f388 ".encode()[rng.randrange(3):] * size,
            rng.randbytes(size),
        ])
        fd = rng.choice([1, 1, 2])
        while data:
            data = data[os.write(fd, data[:9999]):]
say(60)
open(sys.argv[2]).readline()
say(60)
"""


def _whole_frames(wire: bytes) -> bytes:
    position = 0
    while position + 8 <= len(wire):
        size = 8 + int.from_bytes(wire[position + 4 : position + 8], "big")
        if position + size > len(wire):
            break
        position += size
    return wire[:position]


#: What of an answer that was cut came whole.
WHOLE: dict[str, Callable[[bytes], bytes]] = {
    "sse": lambda wire: wire[: wire.rfind(b"\n\n") + 2] if b"\n\n" in wire else b"",
    "ndjson": lambda wire: wire[: wire.rfind(b"\n") + 1],
    "frames": _whole_frames,
}


class CutTestCase(StateTestCase):
    """A run that says a lot, and the connections to it."""

    def setUp(self) -> None:
        super().setUp()
        given = os.environ.get("SHELLSTREAM_SEED")
        self.seed = Random().randrange(1 << 32) if given is None else int(given)
        self.random = Random(self.seed)
        self.gate = Gate(self)

    async def speaker(self) -> Daemon:
        """A daemon with a command that says a lot."""
        program = Path(self.mktemp()).absolute()
        program.write_text(SPEAKER)
        argv = [sys.executable, str(program), str(self.seed), self.gate.path]
        return await self.start(
            f'default = "speak"\n[commands.speak]\nargv = {argv}\nget = true\n'
        )

    async def begin(self, daemon: Daemon) -> str:
        """Start a run without a viewer."""
        run_id = (await ask(daemon.port, post("/runs", {}))).run
        assert run_id is not None
        return run_id

    def assert_same(self, found: bytes, account: RunOutput) -> None:
        """Compare with the daemon's uncut answer."""
        one, other = (sha256(each).hexdigest() for each in (found, account.data))
        self.assertEqual(one, other, f"SHELLSTREAM_SEED={self.seed}")
        self.assertGreater(len(found), 100_000)


class ResumeTests(CutTestCase):
    """In each format a client resumes at its offset, live and later."""

    async def test_plain(self) -> None:
        """Bytes go on at an offset that is the number of those that came."""
        await self.check("plain")

    async def test_ndjson(self) -> None:
        """Objects go on behind the last that came whole."""
        await self.check("ndjson")

    async def test_frames(self) -> None:
        """Frames resume, too."""
        await self.check("frames")

    async def test_sse(self) -> None:
        """Events resume by the id of the last one."""
        await self.check("sse")

    async def check(self, form: str) -> None:
        """Have it whole from a run that goes on, and again when that has ended."""
        daemon = await self.speaker()
        run_id = await self.begin(daemon)
        live = await self.resumed(daemon, run_id, form)
        account = await fetch_output(daemon.port, run_id)
        self.assert_same(live, account)
        self.assert_same(await self.resumed(daemon, run_id, form), account)

    async def resumed(self, daemon: Daemon, run_id: str, form: str) -> bytes:
        """Read the whole output, in as many answers as it takes."""
        found, answers = b"", 0
        while True:
            answers += 1
            if answers == 5:
                self.gate.let_through()
            limit = self.random.randrange(self.random.choice([300, 10_000, 100_000]))
            if answers < 5:  # of the output before that
                limit %= 10_000
            elif answers > 40:
                limit = 1 << 30
            wire, whole = await self.cut(daemon, run_id, form, len(found), limit)
            if form == "plain":
                found += wire
                if whole:
                    return found
                continue
            for each in DECODERS[form](WHOLE[form](wire)):
                if isinstance(each, Told):
                    self.assertEqual(each.offset, len(found), self.seed)
                    found += each.data
                elif each["type"] == "end":
                    self.assertEqual(each["offset"], len(found), self.seed)
                    return found

    async def cut(
        self, daemon: Daemon, run_id: str, form: str, offset: int, limit: int
    ) -> tuple[bytes, bool]:
        """The first C{limit} bytes of a response, and whether that is all."""
        got = 0

        def noticed(size: int) -> None:
            nonlocal got
            got += size
            if got > limit:
                watcher.leave()

        path = f"/runs/{run_id}/output?format={form}"
        if form == "sse":
            request = get(path, Last_Event_ID=str(offset))
        else:
            request = get(f"{path}&offset={offset}")
        watcher: Any = await watch(daemon.port, request, noticed)
        await watcher.gone
        if got <= limit:
            return watcher.body, True
        head = len(watcher.head) + 4 if watcher.head else limit
        return watcher.body[: max(limit - head, 0)], False


class CurlTests(CutTestCase):
    """C{curl -C -} goes on with a download that broke."""

    async def test_ended_run(self) -> None:
        """However often it breaks, and where: in the end the file is the output."""
        daemon = await self.speaker()
        self.gate.let_through()
        run_id = await self.begin(daemon)
        account = await fetch_output(daemon.port, run_id)
        # Not within the headers: curl would accept a part of them as all.
        limits = [self.random.randrange(1000, 100_000) for _ in range(10)]
        proxy = await start_cutting_proxy(self, daemon, limits)
        file = Path(self.mktemp()).absolute()
        url = f"{proxy.url}/runs/{run_id}/output"
        asked = 0
        while await run(self, "curl", "-sC", "-", "-o", str(file), url).ended():
            asked += 1
        self.assertEqual((proxy.cuts, asked), (10, 10))
        self.assert_same(file.read_bytes(), account)

    test_ended_run.skip = needs("curl")
