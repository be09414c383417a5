"""Subcommands with short answers: C{start}, C{show}, C{cancel}, C{commands} ..."""

import os
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError

from shellstream.client.api import Client
from shellstream.client.cli.exit_codes import exit_code, explain, signal_name
from shellstream.client.cli.messages import Messages
from shellstream.client.cli.stdout import OutputWriter
from shellstream.client.cli.subcommands import NAMES
from shellstream.client.cli.target import Target, suggest
from shellstream.client.cli.times import local
from shellstream.client.errors import CannotConnect, ClientError, Refused, Usage
from shellstream.client.escape import encode, printable, printable_json
from shellstream.client.events import CommandInfo
from shellstream.client.follow import View
from shellstream.programs import typed

from .connection import connect
from .ps import list_runs, state_of
from .run_ids import find_run
from .screen import Screen
from .secret_params import ask_missing, ask_secret, can_ask, read_params
from .waiting import Waiting


class Answer(NamedTuple):
    """
    What a subcommand answers.

    @ivar documents: for scripts, one after the other.
    @ivar lines: for people.
    @ivar code: the exit code.
    """

    documents: Iterable[object]
    lines: Iterable[str]
    code: int = 0


class Asked(NamedTuple):
    """A subcommand, and what it takes to carry it out."""

    args: Namespace
    client: Client
    messages: Messages
    waiting: Waiting


async def manage(reactor: Any, args: Namespace) -> int:
    """Carry out the subcommand; returns the exit code."""
    messages = Messages(quiet=args.quiet, verbose=args.verbose)
    client = connect(reactor, args, messages)
    stdout = OutputWriter(reactor, 1, "standard output")
    asked = Asked(args, client, messages, Waiting(client))
    answering = answer(asked, Screen.of(1, os.environ))
    text, code = await asked.waiting.watch(reactor, messages, answering)
    # At once, since a server that breaks off leaves no half of a table behind.
    await stdout.write(text)
    return code


async def answer(asked: Asked, screen: Screen | None = None) -> tuple[bytes, int]:
    """What the subcommand prints, and its exit code."""
    args = asked.args
    if args.subcommand == "ps":
        return await list_runs(asked.client, args, screen), 0
    documents, lines, code = await _SUBCOMMANDS[args.subcommand](asked)
    if getattr(args, "format", "plain") == "json":
        whole = (printable_json(each, indent=2) for each in documents)
        return "".join(f"{each}\n" for each in whole).encode(), code
    return encode("".join(f"{printable(line)}\n" for line in lines)), code


async def _start(asked: Asked) -> Answer:
    target = Target([*filter(None, [asked.args.name]), *asked.args.words])
    if target.url is not None:
        raise Usage("start takes the name of a command; --server says whose")
    params = read_params(target.params, asked.args.param_file)
    try:
        if can_ask():
            command = await asked.client.command(target.name)
            params = ask_missing(params, command, ask_secret)
        run = await asked.client.start(target.name, params, stdin=asked.args.stdin)
    except CancelledError:  # by Ctrl-C or TERM
        how = f"it may have started the run; {typed('shellstream')} ps lists it"
        asked.messages.info(f"left before the server answered: {how}")
        raise
    except (CannotConnect, Refused) as error:
        suggest(error, target.name)
        raise
    return Answer([run], [run["id"]])


async def _show(asked: Asked) -> Answer:
    run = await asked.client.show(await find_run(asked.client, asked.args.run))
    lines = [f"{'id:':<19} {run['id']}"]
    for name, value in run.items():
        if name in ("id", "end") or value is None or value == {}:
            continue  # other fields tell what "end" holds
        label = name.replace("_", " ")
        if isinstance(value, dict):
            value = " ".join(f"{k}={v}" for k, v in value.items())
        elif name in ("created", "started", "ended"):
            value = local(str(value), "microseconds")
        elif isinstance(value, float):  # cpu_seconds, as the kernel counts it
            value = f"{value:.3f}"
        elif name == "size":
            value = f"{value} bytes"
        elif name == "start":
            label = "oldest kept byte"
        lines.append(f"{label + ':':<19} {value}")
    return Answer([run], lines)


async def _each(
    asked: Asked,
    act: Callable[[str], Awaitable[tuple[object, int]]],
) -> Answer:
    """
    Do the same with each run that is named. What goes wrong with one does not keep the
    others from it.

    @param act: takes an id, and returns a document and an exit code.
    @raise ClientError: if there is only one run.
    """
    documents, codes = [], [0]
    for text in asked.args.run:
        try:
            document, code = await act(await find_run(asked.client, text))
        except ClientError as error:
            if len(asked.args.run) == 1:
                raise
            asked.messages.error(explain(error, run=text))
            codes.append(error.code)
        else:
            documents.append(document)
            codes.append(code)
    return Answer(documents, [], next(filter(None, codes), 0))


async def _cancel(asked: Asked) -> Answer:
    async def cancel(run: str) -> tuple[object, int]:
        try:
            return await asked.client.cancel(run), 0
        except Refused as error:
            if error.status != 409 or not error.is_ours:
                raise
        # What the user wants is so, as with docker stop.
        shown = await asked.client.show(run)
        asked.messages.info(f"run {run} has ended already: {state_of(shown)}")
        return shown, 0

    return await _each(asked, cancel)


async def _delete(asked: Asked) -> Answer:
    async def delete(run: str) -> tuple[object, int]:
        await asked.client.delete(run)
        return None, 0

    return await _each(asked, delete)


async def _wait(asked: Asked) -> Answer:
    async def wait(run: str) -> tuple[object, int]:
        # From the end of the output on: what was written before is not of interest.
        async with asked.client.follow(run, View(tail=0)) as following:
            async for event in following:
                asked.waiting.received(event, run)
        assert following.end is not None
        shown = await asked.client.show(run) if asked.args.format == "json" else None
        return shown, exit_code(following.end)

    return await _each(asked, wait)


async def _signal(asked: Asked) -> Answer:
    run = await find_run(asked.client, asked.args.run)
    return Answer([await asked.client.signal(run, signal_name(asked.args.signal))], [])


async def _commands(asked: Asked) -> Answer:
    name = asked.args.name
    if name is not None:
        command = await asked.client.command(name)
        assert command is not None  # which only the default command may be
        return Answer([command], _describe_command(command))
    commands = await asked.client.commands()
    if asked.args.quiet:
        lines = [command["name"] for command in commands]
    else:
        lines = [line for each in commands for line in _describe_command(each)]
    return Answer([commands], lines)


def _describe_command(command: CommandInfo) -> list[str]:
    description = command["description"]
    lines = [command["name"] + (f": {description}" if description else "")]
    if command["name"] in NAMES:
        run = f"{typed('shellstream')} run {command['name']}"
        lines.append(f"    runs with: {run}")
    inputs = {"standard input": "stdin", "a terminal (--tty)": "tty"}
    takes = [text for text, key in inputs.items() if command.get(key)]
    if takes:
        lines.append(f"    takes {' or '.join(takes)}")
    if confirm := command.get("confirm"):
        lines.append(f"    its form asks: {confirm}")
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
        *(["secret"] if schema.get("writeOnly") is True else []),
        *(f"{key} {schema[key]}" for key in ("minimum", "maximum") if key in schema),
        *([" | ".join(map(str, choices))] if isinstance(choices, list) else []),
        *([f"like {schema['pattern']}"] if "pattern" in schema else []),
        str(schema.get("description", "")),
    ]
    return f"{usage}  {', '.join(filter(None, facts))}"


_SUBCOMMANDS = {
    "start": _start,
    "show": _show,
    "cancel": _cancel,
    "delete": _delete,
    "wait": _wait,
    "signal": _signal,
    "commands": _commands,
}
