"""C{events}: what happens to runs, as it happens."""

import os
from argparse import Namespace
from typing import Any

from shellstream.client.cli.messages import Messages
from shellstream.client.cli.stdout import OutputWriter
from shellstream.client.cli.times import local
from shellstream.client.escape import encode, printable, printable_json
from shellstream.client.events import RunEvent
from shellstream.programs import typed

from .connection import connect
from .ps import call_of, state_of


async def events(reactor: Any, args: Namespace) -> int:
    """Show events until a signal ends the program."""
    messages = Messages(quiet=args.quiet, verbose=args.verbose)
    client = connect(reactor, args, messages)
    stdout = OutputWriter(reactor, 1, "standard output")
    async for event in client.events():
        if args.command and event.run and event.run["command"] != args.command:
            continue
        await stdout.write(line(event, args.format, short=os.isatty(1)))
    return 0


def line(event: RunEvent, form: str, *, short: bool) -> bytes:
    """
    An event as a line: for people, or as the object that the server sent.

    @param short: show the time of day only.
    """
    run = event.run
    if form == "ndjson":
        document = {"event": event.event} | ({} if run is None else {"run": run})
        return f"{printable_json(document, separators=(',', ':'))}\n".encode()
    if run is None:
        shellstream = typed("shellstream")
        return encode(
            f"some events are missing: {shellstream} ps --all lists the runs\n"
        )
    times = {"created": run["created"], "started": run["started"]}
    time = local(times.get(event.event, run["ended"]))
    time = time[11:19] if short else time
    what = state_of(run) if event.event == "ended" else event.event
    text = f"{time:<8}  {what:<12}  {run['id']}  {call_of(run)}"
    return encode(f"{printable(text)}\n")
