"""C{start}, C{ps}, C{show}, C{cancel}, C{signal}, C{commands}: short answers."""

import os
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from typing import Any

from shellstream.client.api import Client
from shellstream.client.errors import Usage
from shellstream.client.escape import printable, printable_json
from shellstream.client.events import CommandInfo, RunInfo

from .settings import load_settings, make_wire
from .stdout import OutputWriter
from .target import Target

_RUN_ROW = "{:<36}  {:<12}  {:<19}  {:>12}  {}"


async def manage(reactor: Any, args: Namespace) -> int:
    """Carry out the subcommand; returns the exit code."""
    settings = load_settings(args, os.environ)
    client = Client(settings.url, make_wire(reactor, settings), token=settings.token)
    printer = _Printer(OutputWriter(reactor, 1, "standard output"), args)
    await _SUBCOMMANDS[args.subcommand](client, printer, args)
    return 0


class _Printer:
    """Standard output, in the format that the command line asks for."""

    def __init__(self, stdout: OutputWriter, args: Namespace) -> None:
        self._stdout = stdout
        self.json = args.format == "json"

    async def line(self, text: str) -> None:
        """Print a line for people."""
        await self._stdout.write(printable(text).encode() + b"\n")

    async def document(self, document: object) -> None:
        """Print JSON."""
        text = printable_json(document, indent=2)
        await self._stdout.write(text.encode() + b"\n")


async def _start(client: Client, printer: _Printer, args: Namespace) -> None:
    """Print the id of a new run."""
    target = Target([*filter(None, [args.name]), *args.words])
    if target.url is not None:
        raise Usage("start takes the name of a command; --server says whose")
    run = await client.start(target.name, target.params)
    if printer.json:
        await printer.document(run)
    else:
        await printer.line(run["id"])


async def _ps(client: Client, printer: _Printer, args: Namespace) -> None:
    """List active runs, or all."""
    if printer.json:
        await printer.document([each async for each in _runs(client, args)])
        return
    if args.format == "plain" and not args.quiet:
        await printer.line(
            _RUN_ROW.format("ID", "STATE", "CREATED", "BYTES", "COMMAND")
        )
    async for run in _runs(client, args):
        if args.format == "ndjson":
            await printer.line(printable_json(run))
        elif args.quiet:
            await printer.line(run["id"])
        else:
            created = run["created"][:19].replace("T", " ")
            params = "".join(f" {k}={v}" for k, v in run["params"].items())
            row = (run["id"], _state(run), created, run["size"], run["command"])
            await printer.line(_RUN_ROW.format(*row) + params)


async def _runs(client: Client, args: Namespace) -> AsyncIterator[RunInfo]:
    """The runs that the options choose, newest first."""
    # A queued run is newer than every running one.
    states = [None] if args.all else ["queued", "running"]
    left = args.limit
    for state in states:
        async for run in client.list(state=state, command=args.command, limit=left):
            left = None if left is None else left - 1
            yield run


def _state(run: RunInfo) -> str:
    """A run's state, with its exit code or signal."""
    result = run["signal"] if run["code"] is None else run["code"]
    return run["state"] if result is None else f"{run['state']} {result}"


async def _show(client: Client, printer: _Printer, args: Namespace) -> None:
    """Print all about a run."""
    run = await client.show(args.run)
    if printer.json:
        await printer.document(run)
        return
    for name, value in run.items():
        if name == "end" or value is None or value == {}:
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
        await printer.line(f"{label + ':':<19} {value}")


async def _cancel(client: Client, printer: _Printer, args: Namespace) -> None:
    """End a run."""
    run = await client.cancel(args.run)
    if printer.json:
        await printer.document(run)


async def _signal(client: Client, printer: _Printer, args: Namespace) -> None:
    """Send a run a signal, by its name or number."""
    name = args.signal.upper()
    if name.isdecimal():
        from signal import Signals

        names = {each.value: each.name for each in Signals}
        name = names.get(int(name), name)
    run = await client.signal(args.run, name)
    if printer.json:
        await printer.document(run)


async def _commands(client: Client, printer: _Printer, args: Namespace) -> None:
    """List the commands of the server."""
    commands = await client.commands()
    if printer.json:
        await printer.document(commands)
        return
    for command in commands:
        if args.quiet:
            await printer.line(command["name"])
        else:
            for line in _describe_command(command):
                await printer.line(line)


def _describe_command(command: CommandInfo) -> list[str]:
    description = command["description"]
    lines = [command["name"] + (f": {description}" if description else "")]
    inputs = {"standard input": "stdin", "a terminal (--tty)": "tty"}
    takes = [text for text, key in inputs.items() if command.get(key)]
    if takes:
        lines.append(f"    takes {' or '.join(takes)}")
    required = command["parameters"]["required"]
    for name, schema in command["parameters"]["properties"].items():
        lines.append(f"    {_describe_parameter(name, schema, name in required)}")
    return lines


def _describe_parameter(name: str, schema: Mapping[str, Any], required: bool) -> str:
    default = schema.get("default")
    value = str(default).lower() if isinstance(default, bool) else str(default)
    usage = f"{name}=" if required or default is None else f"[{name}={value}]"
    facts = [
        str(schema.get("type", "")),
        *(f"{key} {schema[key]}" for key in ("minimum", "maximum") if key in schema),
        *([" | ".join(map(str, schema["enum"]))] if "enum" in schema else []),
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
