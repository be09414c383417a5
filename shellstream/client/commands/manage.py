"""C{start}, C{ps}, C{show}, C{cancel}, C{signal}, C{commands}: short answers."""

import os
from argparse import Namespace
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Literal

from twisted.internet.defer import CancelledError

from shellstream.client.api import Client
from shellstream.client.cli.exit_codes import signal_name
from shellstream.client.cli.messages import Messages
from shellstream.client.cli.options import SUBCOMMANDS
from shellstream.client.cli.settings import load_settings, make_wire
from shellstream.client.cli.stdout import OutputWriter
from shellstream.client.cli.target import Target
from shellstream.client.errors import Usage
from shellstream.client.escape import encode, printable, printable_json
from shellstream.client.events import CommandInfo, RunInfo
from shellstream.programs import typed

_RUN_ROW = "{:<36}  {:<12}  {:<19}  {:>12}  {}"


#: What a subcommand answers: a document for scripts, and lines for people.
_Answer = tuple[object, Iterable[str]]


async def manage(reactor: Any, args: Namespace) -> int:
    """Carry out the subcommand; returns the exit code."""
    settings = load_settings(args, os.environ)
    client = Client(settings.url, make_wire(reactor, settings), token=settings.token)
    stdout = OutputWriter(reactor, 1, "standard output")
    # At once, since a server that breaks off leaves no half of a table behind.
    await stdout.write(await answer(client, args))
    return 0


async def answer(client: Client, args: Namespace) -> bytes:
    """What the subcommand prints."""
    document, lines = await _SUBCOMMANDS[args.subcommand](client, args)
    if args.format == "json":
        lines = printable_json(document, indent=2).split("\n")
    text = "".join(f"{printable(line)}\n" for line in lines)
    return encode(text) if args.format == "plain" else text.encode()


async def _start(client: Client, args: Namespace) -> _Answer:
    target = Target([*filter(None, [args.name]), *args.words])
    if target.url is not None:
        raise Usage("start takes the name of a command; --server says whose")
    try:
        run = await client.start(target.name, target.params)
    except CancelledError:  # by Ctrl-C or TERM
        how = f"it may have started the run; {typed('shellstream')} ps lists it"
        Messages(quiet=args.quiet, verbose=False).info(
            f"left before the server answered: {how}"
        )
        raise
    return run, [run["id"]]


async def _ps(client: Client, args: Namespace) -> _Answer:
    runs = [run async for run in _runs(client, args)]
    if args.format == "ndjson":
        return runs, map(printable_json, runs)
    if args.quiet:
        return runs, [run["id"] for run in runs]
    head = _RUN_ROW.format("ID", "STATE", "CREATED", "BYTES", "COMMAND")
    return runs, [head, *map(_run_row, runs)]


async def _runs(client: Client, args: Namespace) -> AsyncIterator[RunInfo]:
    """The runs that the options choose, newest first."""
    # A queued run is newer than every running one.
    states = [None] if args.all or args.failed else ["queued", "running"]
    outcome: Literal["failure"] | None = "failure" if args.failed else None
    left = args.limit
    for state in states:
        async for run in client.list(
            state=state, command=args.command, limit=left, outcome=outcome
        ):
            left = None if left is None else left - 1
            yield run


def _run_row(run: RunInfo) -> str:
    created = run["created"][:19].replace("T", " ")
    params = "".join(f" {k}={v}" for k, v in run["params"].items())
    row = (run["id"], _state(run), created, run["size"], run["command"])
    return _RUN_ROW.format(*row) + params


def _state(run: RunInfo) -> str:
    """A run's state, with its exit code or signal."""
    result = run["signal"] if run["code"] is None else run["code"]
    return run["state"] if result is None else f"{run['state']} {result}"


async def _show(client: Client, args: Namespace) -> _Answer:
    run = await client.show(args.run)
    lines = [f"{'id:':<19} {run['id']}"]
    for name, value in run.items():
        if name in ("id", "end") or value is None or value == {}:
            continue  # other fields tell what "end" holds
        label = name.replace("_", " ")
        if isinstance(value, dict):
            value = " ".join(f"{k}={v}" for k, v in value.items())
        elif isinstance(value, float):  # cpu_seconds, as the kernel counts it
            value = f"{value:.3f}"
        elif name == "size":
            value = f"{value} bytes"
        elif name == "start":
            label = "oldest kept byte"
        lines.append(f"{label + ':':<19} {value}")
    return run, lines


async def _cancel(client: Client, args: Namespace) -> _Answer:
    return await client.cancel(args.run), []


async def _signal(client: Client, args: Namespace) -> _Answer:
    return await client.signal(args.run, signal_name(args.signal)), []


async def _commands(client: Client, args: Namespace) -> _Answer:
    commands = await client.commands()
    if args.quiet:
        return commands, [command["name"] for command in commands]
    return commands, [line for each in commands for line in _describe_command(each)]


def _describe_command(command: CommandInfo) -> list[str]:
    description = command["description"]
    lines = [command["name"] + (f": {description}" if description else "")]
    if command["name"] in SUBCOMMANDS:
        run = f"{typed('shellstream')} run {command['name']}"
        lines.append(f"    runs with: {run}")
    inputs = {"standard input": "stdin", "a terminal (--tty)": "tty"}
    takes = [text for text, key in inputs.items() if command.get(key)]
    if takes:
        lines.append(f"    takes {' or '.join(takes)}")
    required = command["parameters"]["required"]
    for name, schema in command["parameters"]["properties"].items():
        lines.append(f"    {_describe_parameter(name, schema, name in required)}")
    return lines


def _describe_parameter(name: str, schema: Mapping[str, Any], required: bool) -> str:
    default, choices = schema.get("default"), schema.get("enum")
    value = str(default).lower() if isinstance(default, bool) else str(default)
    usage = f"{name}=" if required or default is None else f"[{name}={value}]"
    facts = [
        str(schema.get("type", "")),
        *(f"{key} {schema[key]}" for key in ("minimum", "maximum") if key in schema),
        *([" | ".join(map(str, choices))] if isinstance(choices, list) else []),
        *([f"like {schema['pattern']}"] if "pattern" in schema else []),
        str(schema.get("description", "")),
    ]
    return f"{usage}  {', '.join(filter(None, facts))}"


_SUBCOMMANDS = {
    "start": _start,
    "ps": _ps,
    "show": _show,
    "cancel": _cancel,
    "signal": _signal,
    "commands": _commands,
}
