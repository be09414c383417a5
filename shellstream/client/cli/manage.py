"""C{start}, C{ps}, C{show}, C{cancel}, C{signal}, C{commands}: short answers."""

import os
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from shellstream.client.api import Client
from shellstream.client.errors import Usage
from shellstream.client.escape import json_shown, shown
from shellstream.client.events import RunInfo

from .settings import settings, wire_to
from .stdout import OutputWriter
from .target import Target


class _Asking:
    """A server to ask, and standard output for what it says."""

    def __init__(self, given: Namespace) -> None:
        where = settings(given, os.environ)
        self._out = OutputWriter(1, "standard output")
        self.client = Client(where.url, wire_to(where), token=where.token)

    async def line(self, text: str) -> None:
        await self._out.write(shown(text).encode() + b"\n")

    async def document(self, document: object) -> None:
        text = json_shown(document, indent=2)
        await self._out.write(text.encode() + b"\n")


async def start(given: Namespace) -> int:
    """C{start}: prints the id of a new run."""
    words = Target([*filter(None, [given.name]), *given.words])
    if words.url is not None:
        raise Usage("start takes the name of a command; --server says whose")
    asking = _Asking(given)
    run = await asking.client.start(words.name, words.params)
    if given.format == "json":
        await asking.document(run)
    else:
        await asking.line(run["id"])
    return 0


async def ps(given: Namespace) -> int:
    """C{ps}: active runs, or all."""
    asking = _Asking(given)
    if given.format == "json":
        await asking.document([each async for each in _runs(asking.client, given)])
        return 0
    if given.format == "plain" and not given.quiet:
        await asking.line(_ROW.format("ID", "STATE", "CREATED", "BYTES", "COMMAND"))
    async for run in _runs(asking.client, given):
        if given.format == "ndjson":
            await asking.line(json_shown(run))
        elif given.quiet:
            await asking.line(run["id"])
        else:
            created = run["created"][:19].replace("T", " ")
            params = "".join(f" {k}={v}" for k, v in run["params"].items())
            row = (run["id"], _state(run), created, run["size"], run["command"])
            await asking.line(_ROW.format(*row) + params)
    return 0


_ROW = "{:<36}  {:<12}  {:<19}  {:>12}  {}"


async def _runs(client: Client, given: Namespace) -> AsyncIterator[RunInfo]:
    """What was asked for, newest first."""
    states = [None] if given.all else ["queued", "running"]  # those that wait are newer
    left = given.limit
    for state in states:
        async for run in client.list(state=state, command=given.command, limit=left):
            left = None if left is None else left - 1
            yield run


def _state(run: RunInfo) -> str:
    """A state, with what belongs to it."""
    more = run["signal"] if run["code"] is None else run["code"]
    return run["state"] if more is None else f"{run['state']} {more}"


async def show(given: Namespace) -> int:
    """C{show}: all about a run."""
    asking = _Asking(given)
    await _told(asking, given, await asking.client.show(given.run))
    return 0


async def cancel(given: Namespace) -> int:
    """C{cancel}: ends a run."""
    asking = _Asking(given)
    run = await asking.client.cancel(given.run)
    if given.format == "json":
        await asking.document(run)
    return 0


async def signal(given: Namespace) -> int:
    """C{signal}: sends one."""
    asking = _Asking(given)
    name = given.signal.upper()
    if name.isdecimal():
        from signal import Signals

        names = {each.value: each.name for each in Signals}
        name = names.get(int(name), name)
    run = await asking.client.signal(given.run, name)
    if given.format == "json":
        await asking.document(run)
    return 0


async def commands(given: Namespace) -> int:
    """C{commands}: what may be run."""
    asking = _Asking(given)
    found = await asking.client.commands()
    if given.format == "json":
        await asking.document(found)
        return 0
    for command in found:
        if given.quiet:
            await asking.line(command["name"])
            continue
        about = command["description"]
        await asking.line(command["name"] + (f": {about}" if about else ""))
        takes = [what for key, what in _TAKES.items() if command.get(key)]
        if takes:
            await asking.line(f"    takes {' or '.join(takes)}")
        required = command["parameters"]["required"]
        for name, schema in command["parameters"]["properties"].items():
            await asking.line(f"    {_parameter(name, schema, name in required)}")
    return 0


#: What a command may be given to read from.
_TAKES = {"stdin": "standard input", "tty": "a terminal (--tty)"}


def _parameter(name: str, schema: Mapping[str, Any], required: bool) -> str:
    """A parameter, for people."""
    default = schema.get("default")
    text = str(default).lower() if isinstance(default, bool) else str(default)
    shown = f"{name}=" if required or default is None else f"[{name}={text}]"
    facts: Sequence[str] = [
        str(schema.get("type", "")),
        *(f"{key} {schema[key]}" for key in ("minimum", "maximum") if key in schema),
        *([" | ".join(map(str, schema["enum"]))] if "enum" in schema else []),
        *([f"like {schema['pattern']}"] if "pattern" in schema else []),
        str(schema.get("description", "")),
    ]
    return f"{shown}  {', '.join(filter(None, facts))}"


async def _told(asking: _Asking, given: Namespace, run: RunInfo) -> None:
    if given.format == "json":
        await asking.document(run)
        return
    for name, value in run.items():
        if name == "end" or value is None or value == {}:
            continue  # the end is told by the others
        if isinstance(value, dict):
            value = " ".join(f"{k}={v}" for k, v in value.items())
        await asking.line(f"{name.replace('_', ' ') + ':':<19} {value}")
