"""Streams a command's output: PORT COMMANDS."""

import json
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from pathlib import Path

from aiohttp import web

COMMANDS = json.loads(Path(sys.argv[2]).read_text())


async def stream(request: web.Request) -> web.StreamResponse:
    argv = COMMANDS[request.match_info["name"]]
    process = await create_subprocess_exec(*argv, stdout=PIPE)
    assert process.stdout is not None
    response = web.StreamResponse()
    await response.prepare(request)
    while chunk := await process.stdout.read(65536):
        await response.write(chunk)
    await process.wait()
    await response.write_eof()
    return response


app = web.Application()
app.router.add_get("/{name}", stream)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
