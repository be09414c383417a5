"""The clients of a day: each output has to be whole, also over a restart."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

from attrs import define, field

from shellstream.client import Client, CutShort, Output, View
from shellstream.client.errors import CannotConnect, Refused, ServerFailed

#: How many work at once.
AT_ONCE = 4


class Wrong(Exception):
    """A run had other output or another end than its command."""


def lines(count: int) -> bytes:
    """Return what C{words} writes."""
    return b"".join(b"line %d\n" % number for number in range(1, count + 1))


@define
class Clients:
    """Clients that work at the same time, until they are cancelled."""

    url: str
    _client: Client = field(init=False)
    _done: int = 0
    #: Jobs that met a restart of the daemon.
    _restarts: int = 0
    _random: random.Random = field(factory=lambda: random.Random(1))

    def __attrs_post_init__(self) -> None:
        self._client = Client(self.url, retry_for=30)

    def __str__(self) -> str:
        return f"{self._done} jobs done, {self._restarts} met a restart"

    async def work(self) -> None:
        """
        Work without an end.

        @raise Wrong: if the daemon did.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        jobs: list[Callable[[], Awaitable[None]]] = [
            *(self._follow, self._follow, self._crowd, self._leave),
            *(self._fail, self._cancel, self._feed, self._ask),
        ]
        while True:
            try:
                await self._random.choice(jobs)()
            except (CannotConnect, CutShort, ServerFailed):
                # The daemon is being restarted.
                self._restarts += 1
                await asyncio.sleep(0.5)
            self._done += 1
            await asyncio.sleep(0.02)

    async def _follow(self) -> None:
        """Start a run, and see all of it."""
        count = self._random.choice([1, 10, 1_000, 30_000])
        result = await self._client.run("words", {"lines": str(count)}).collect()
        if result.end.code == 0 and result.stdout != lines(count):
            raise Wrong(f"words {count} gave {len(result.stdout)} bytes")

    async def _crowd(self) -> None:
        """Start a run for several viewers, each of which sees all of it."""
        run = await self._client.start("words", {"lines": "5000"})
        views = [self._client.follow(run["id"], View()).collect() for _ in range(5)]
        for result in await asyncio.gather(*views):
            if result.end.code == 0 and result.stdout != lines(5_000):
                raise Wrong(f"a viewer saw {len(result.stdout)} bytes of {run['id']}")

    async def _leave(self) -> None:
        """Leave in the middle."""
        async with self._client.run("slow") as run:
            async for event in run:
                if isinstance(event, Output):
                    break

    async def _fail(self) -> None:
        """Wait for a run that fails, which somebody would be told of."""
        result = await self._client.run("fails").collect()
        if result.end.code is not None and result.end.code != 3:
            raise Wrong(f"fails ended with {result.end.code}")

    async def _cancel(self) -> None:
        """Cancel a run that is watched."""
        run = await self._client.start("slow")
        watched = asyncio.create_task(self._client.follow(run["id"]).collect())
        await asyncio.sleep(0.2)
        try:
            await self._client.cancel(run["id"])
        except Refused as error:
            if error.status != HTTPStatus.CONFLICT:  # it has ended
                raise
        finally:
            await asyncio.gather(watched, return_exceptions=True)

    async def _feed(self) -> None:
        """Give a run input, and see it again."""
        run = await self._client.start("reads", stdin=True)
        sent = [self._random.randbytes(30_000) for _ in range(5)]

        async def source() -> AsyncIterator[bytes]:
            for chunk in sent:
                yield chunk

        _, result = await asyncio.gather(
            self._client.feed(run["id"], source()),
            self._client.follow(run["id"]).collect(),
        )
        if result.end.code == 0 and result.stdout != b"".join(sent):
            raise Wrong(f"reads gave {len(result.stdout)} bytes of {150_000}")

    async def _ask(self) -> None:
        """Read what pages and scripts read."""
        async for _ in self._client.list(limit=500):
            pass
        await self._client.commands()
