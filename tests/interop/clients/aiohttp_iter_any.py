"""aiohttp; without a timeout of its own the stream ends after five minutes in all."""

import asyncio
import sys

import aiohttp


async def main() -> None:
    forever = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=forever, raise_for_status=True) as session,
        session.get(sys.argv[1]) as response,
    ):
        async for chunk in response.content.iter_any():
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


asyncio.run(main())
