"""Streams a command's output: Starlette, for uvicorn."""

import json
import os
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

COMMANDS = json.loads(Path(os.environ["COMMANDS"]).read_text())


async def stream(request: Request) -> StreamingResponse:
    argv = COMMANDS[request.path_params["name"]]
    process = await create_subprocess_exec(*argv, stdout=PIPE)
    assert process.stdout is not None
    pipe = process.stdout

    async def output() -> AsyncIterator[bytes]:
        while chunk := await pipe.read(65536):
            yield chunk
        await process.wait()

    return StreamingResponse(output(), media_type="application/octet-stream")


app = Starlette(routes=[Route("/{name}", stream)])
