"""What clients are sent, and may send, as JSON Schema (draft 2020-12)."""

from collections.abc import Iterable, Mapping
from enum import Enum
from signal import Signals
from typing import Any

from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.config.parameter_schema import parameters
from shellstream.model.events import OnDisconnect, Reason, State, Stream
from shellstream.model.run_input import MAX_SIDE, TERM, Tty

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
SIZE: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
RUN_ID: Schema = {"type": "string", "format": "uuid"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_NOTHING: Schema = {"type": "null"}


def ref(name: str) -> Schema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def one_of(values: Iterable[Any]) -> Schema:
    """Exactly these; of an enumeration its values."""
    return {"enum": [each.value if isinstance(each, Enum) else each for each in values]}


def many(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, _NOTHING]}


def _whole(**members: Schema) -> Schema:
    """An object that has all of these, always."""
    return {"type": "object", "properties": members, "required": [*members]}


def _side(default: int) -> Schema:
    bounds = {"minimum": 1, "maximum": MAX_SIDE}
    return {"type": "integer", **bounds, "default": default}


_SIDES = {"rows": _side(Tty().rows), "columns": _side(Tty().columns)}
_TERM = {"type": "string", "pattern": f"^{TERM}$", "default": Tty().term}
_OUTCOME = {
    "state": one_of(each for each in State if each.ended),
    "code": _maybe({"type": "integer"}),
    "signal": _maybe({"description": "TERM, or a number without a name", **TEXT}),
    "reason": _maybe(one_of(Reason)),
    "offset": {"description": "The length of the whole output", **SIZE},
}
_PIECE = {"offset": SIZE, "time": _TIME, "stream": one_of(Stream)}

#: Those that are the same whatever is configured.
SCHEMAS: Mapping[str, Schema] = {
    "Problem": {
        "description": "RFC 9457; the detail says what to do about it.",
        "type": "object",
        "properties": {
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "parameters": many(_whole(name=TEXT, detail=TEXT)),
            "formats": many(_whole(name=TEXT, media_type=TEXT)),
            "run": RUN_ID,
            "offset": SIZE,
            "start": SIZE,
            "size": SIZE,
            "stdin_offset": SIZE,
        },
        "required": ["title", "status", "detail"],
    },
    "Index": _whole(
        name=TEXT,
        version=TEXT,
        default=_maybe(TEXT),
        stream=TEXT,
        commands=TEXT,
        runs=TEXT,
        events=TEXT,
        doctor=TEXT,
        healthz=TEXT,
        openapi=TEXT,
    ),
    "Health": _whole(status={"const": "ok"}),
    "Commands": _whole(default=_maybe(TEXT), commands=many(ref("Command"))),
    "Command": _whole(
        name=TEXT,
        description=TEXT,
        stream=TEXT,
        methods=many(one_of(("GET", "POST"))),
        stdin=FLAG,
        tty=FLAG,
        timeout=_maybe(NUMBER),
        parameters={"description": "A JSON Schema", "type": "object"},
    ),
    "Runs": _whole(runs=many(ref("Run")), next=_maybe(TEXT)),
    "Run": _whole(
        id=RUN_ID,
        command=TEXT,
        params={"type": "object", "additionalProperties": TEXT},
        state=one_of(State),
        code=_OUTCOME["code"],
        signal=_OUTCOME["signal"],
        reason=_OUTCOME["reason"],
        failure=_maybe(TEXT),
        end=_maybe(_whole(**_OUTCOME)),
        principal=TEXT,
        on_disconnect=one_of(OnDisconnect),
        created=_TIME,
        started=_maybe(_TIME),
        ended=_maybe(_TIME),
        start=SIZE,
        size=SIZE,
        stdin=_maybe(_whole(offset=_maybe(SIZE), open=FLAG)),
        tty=_maybe(_whole(**_SIDES, term=_TERM)),
        cpu_seconds=_maybe(NUMBER),
        peak_memory_bytes=_maybe(SIZE),
        output=TEXT,
    ),
    "Done": {
        "description": "The run, as far as who asks may see it.",
        "anyOf": [ref("Run"), _whole(id=RUN_ID)],
    },
    "Login": {
        **_whole(token=TEXT),
        "properties": {"token": TEXT, "next": TEXT},
        "additionalProperties": False,
    },
    "Tty": {
        "type": "object",
        "properties": {**_SIDES, "term": _TERM},
        "additionalProperties": False,
    },
    "Size": {**_whole(**_SIDES), "additionalProperties": False},
    "Signal": {
        **_whole(
            signal=one_of(
                name
                for full in Signals.__members__
                for name in (full.removeprefix("SIG"), full)
            )
        ),
        "additionalProperties": False,
    },
    "Record": {
        "description": "What a line of ndjson holds; base64 where it is no UTF-8.",
        "anyOf": [
            _whole(**_PIECE, text=TEXT),
            _whole(**_PIECE, base64={"contentEncoding": "base64", **TEXT}),
            _whole(type={"const": "ping"}, offset=SIZE),
            _whole(type={"const": "gap"}, offset=SIZE, end=SIZE, bytes=SIZE),
            _whole(type={"const": "end"}, **_OUTCOME),
        ],
    },
    "OutputEvent": {
        "description": "Each event: its data are an object, its id the offset behind.",
        **_whole(
            event=one_of(("output", "gap", "end")),
            id=TEXT,
            data={
                "contentMediaType": "application/json",
                "contentSchema": ref("Record"),
                **TEXT,
            },
        ),
    },
    "RunEvent": {
        "description": "Each event: a run as it was created, has started or ended; "
        "or a gap, where some were missed.",
        **_whole(
            event=one_of(("created", "started", "ended", "gap")),
            id=TEXT,
            data={
                "contentMediaType": "application/json",
                "contentSchema": ref("News"),
                **TEXT,
            },
        ),
    },
    "News": {
        "anyOf": [
            _whole(event=one_of(("created", "started", "ended")), run=ref("Run")),
            _whole(type={"const": "gap"}),
        ]
    },
}


def parameters_of(command: Command) -> str:
    """What the schema of a command's parameters is called."""
    return f"Parameters.{command.name}"


def configured(config: Config) -> Mapping[str, Schema]:
    """All schemas; those of commands' parameters among them."""
    commands = config.commands.values()
    return {
        **SCHEMAS,
        "Order": _order(config),
        **{parameters_of(each): parameters(each) for each in commands},
    }


def _order(config: Config) -> Schema:
    """What C{POST /runs} takes: of each command what it takes."""
    return {
        "type": "object",
        "properties": {
            "command": _maybe(TEXT),
            "params": {"type": "object"},
            "stdin": FLAG,
            "tty": {"anyOf": [FLAG, ref("Tty")]},
            "on_disconnect": one_of(OnDisconnect),
        },
        "additionalProperties": False,
        "anyOf": [
            _order_of(each, default=each.name == config.default)
            for each in config.commands.values()
        ]
        or [False],
    }


def _order_of(command: Command, *, default: bool) -> Schema:
    names = [command.name, None] if default else [command.name]
    members = {"command": one_of(names), "params": ref(parameters_of(command))}
    if not command.tty:
        members["tty"] = one_of([False])
        if not command.stdin:
            members["stdin"] = one_of([False])
    required = [] if default else ["command"]
    if parameters(command)["required"]:
        required.append("params")
    return {"properties": members, "required": required}
