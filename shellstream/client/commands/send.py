"""C{send}: input for a run that somebody else started or follows."""

from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

from shellstream.client.api import Client
from shellstream.client.cli.messages import Messages
from shellstream.client.cli.stdin import StdinReader
from shellstream.client.errors import Usage
from shellstream.programs import typed

from .connection import connect
from .run_ids import find_run
from .waiting import Waiting


async def send(reactor: Any, args: Namespace) -> int:
    """
    Send a line, or standard input, to a run.

    @return: the exit code: 0 if the run has taken all of it.
    """
    messages = Messages(quiet=args.quiet, verbose=args.verbose)
    client = connect(reactor, args, messages)
    if args.text:
        sending = send_to(client, args, messages, _line(args.text))
        return await Waiting(client).watch(reactor, messages, sending)
    with closing(StdinReader(reactor, 0, "standard input")) as source:
        return await send_to(client, args, messages, source)


async def _line(words: list[str]) -> AsyncIterator[bytes]:
    yield f"{' '.join(words)}\n".encode()


async def send_to(
    client: Client, args: Namespace, messages: Messages, source: AsyncIterator[bytes]
) -> int:
    """
    Send all of C{source} to the run that the command line names.

    @raise Usage: if that run takes no input.
    """
    run = await find_run(client, args.run)
    stdin = (await client.show(run))["stdin"]
    if stdin is None:
        raise Usage(
            f"run {run} takes no input: its command needs stdin = true, and the run "
            f"needs {typed('shellstream')} start --stdin"
        )
    if not stdin["open"] or stdin["offset"] is None:
        raise Usage(f"run {run} takes no more input")
    read = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal read
        async for data in source:
            read += len(data)
            yield data

    begin = stdin["offset"]
    end = await client.feed(run, counted(), offset=begin, eof=args.eof)
    if end - begin < read:
        messages.error(f"the run took {end - begin} of {read} bytes, and takes no more")
        return 65
    return 0
