"""One program with many runs: nothing is lost, mixed up or left behind."""

import json
import os
import sys

from tests.end_to_end.command_line import ClientTestCase
from tests.support.programs import run

CONFIG = """
[commands.say]
shell = 'echo "out $k"; echo "err $k" >&2; exit $((k % 256))'
params.k = { type = "integer" }
[commands.cat]
argv = ["cat"]
stdin = true
"""

_PROGRAM = """
import asyncio, gc, json, os, sys
from shellstream.client import Client, Output

async def one(client, k):
    said = {"stdout": b"", "stderr": b""}
    async with client.run("say", {"k": str(k)}) as run:
        async for event in run:
            if isinstance(event, Output):
                said[event.stream] += event.data
    assert said == {"stdout": b"out %d\\n" % k, "stderr": b"err %d\\n" % k}, (k, said)
    assert run.end.code == k % 256, (k, run.end)

async def fed(client, k):
    data = os.urandom(1000 + k)

    async def source():
        yield data[:k]
        yield data[k:]

    begun = await client.start("cat", stdin=True)
    task = asyncio.create_task(client.feed(begun["id"], source()))
    async with client.attach(begun["id"]) as run:
        back = b"".join([each.data async for each in run if isinstance(each, Output)])
    assert (back, await task) == (data, len(data)), k

async def some(client, numbers):
    for k in numbers:
        await (fed if k % 10 == 9 else one)(client, k)

async def all_of(client, numbers):
    await asyncio.gather(*(some(client, numbers) for _ in range(4)))
    gc.collect()
    return [len(os.listdir("/proc/self/fd")), len(gc.get_objects())]

async def main():
    client = Client(sys.argv[1])
    first = await all_of(client, iter(range(40)))
    last = await all_of(client, iter(range(40, 40 + int(sys.argv[2]))))
    print(json.dumps([first, last, len(asyncio.all_tasks())]))

asyncio.run(main())
"""


class OftenTests(ClientTestCase):
    """The library, again and again."""

    async def test_often(self) -> None:
        """Every run has its own output and end, and costs nothing after it."""
        await self.serve(CONFIG)
        runs = int(os.environ.get("SHELLSTREAM_RUNS", 200))
        program = run(self, sys.executable, "-c", _PROGRAM, self.daemon.url, str(runs))
        self.assertEqual(await program.ended(), 0, program.err.decode())
        first, last, tasks = json.loads(program.out)
        self.assertEqual((last[0], tasks), (first[0], 1))
        # Timers that were cancelled are kept for a while; a run that is, is much more.
        self.assertLess(last[1], first[1] + 5 * runs)
        path = f"/proc/{self.daemon.pid}/fd"
        pipes = [os.readlink(f"{path}/{each}") for each in os.listdir(path)]
        self.assertLess(len(pipes), 40, pipes)

    if not sys.platform.startswith("linux"):
        test_often.skip = "only Linux has /proc"  # type: ignore[attr-defined]
