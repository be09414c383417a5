"""
C{/openapi.json}: the whole HTTP API, for machines (OpenAPI 3.1).

The document is in C{openapi.json}, beside this file. What depends on the
configuration, on the caller and on this machine is added here. The tests hold both
against the resources.
"""

import json
from collections.abc import Mapping
from pkgutil import get_data
from typing import Any

from shellstream import __version__
from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.web.resources.query import LAST_EVENT_ID
from shellstream.web.resources.run_control import SIGNALS

#: Kept as text: each request completes a copy of its own.
_DOCUMENT = get_data(__package__, "openapi.json") or b""


def document(config: Config, required: bool, cookie: str) -> Mapping[str, Any]:
    """
    The API of one daemon, as one caller may use it.

    @param config: with only the commands that the caller may run.
    @param required: whether authentication is required.
    @param cookie: the name of the session cookie.
    """
    found: dict[str, Any] = json.loads(_DOCUMENT)
    paths, schemas = found["paths"], found["components"]["schemas"]
    found["info"]["version"] = __version__
    if not required:
        found["security"].append({})
    found["components"]["securitySchemes"]["session"]["name"] = cookie
    schemas["Signal"]["properties"]["signal"]["enum"] = list(SIGNALS)
    # JSON Schema limits strings in characters, not bodies in bytes: the text says it.
    stdin = paths["/runs/{id}/stdin"]["post"]
    stdin["summary"] = stdin["summary"].format(input_size=config.http.input_size)
    _add_commands(config, paths, schemas)
    # In the file they would be two thirds of all responses.
    every = found.pop("x-every-operation")["responses"]
    for operations in paths.values():
        if "get" in operations:
            operations["head"] = _head(operations)
        for operation in operations.values():
            _add_conditions(operation)
            operation["responses"] = {**every, **operation["responses"]}
    return found


def _add_commands(
    config: Config, paths: dict[str, Any], schemas: dict[str, Any]
) -> None:
    # As text, to fill in the name wherever it stands. A name is safe within JSON.
    template = json.dumps(paths.pop("/stream/{name}"))
    commands = config.commands.values()
    for command in commands:
        schemas[f"Parameters.{command.name}"] = command.parameter_schema()
        paths[f"/stream/{command.name}"] = _stream(
            template, command, config.runs_by_get(command)
        )
        common = schemas["Order"]["properties"]
        order = _order(command, common, default=command.name == config.default)
        schemas["Order"]["anyOf"].append(order)
    if config.default is not None:
        command = config.commands[config.default]
        short = template.replace("stream.{name}", "stream")
        paths["/stream"] = _stream(short, command, by_get=True)
    if commands:
        one = paths["/commands/{name}"]["get"]
        one["parameters"][0]["schema"]["enum"] = list(config.commands)
    else:  # JSON Schema allows neither an empty enum nor an empty anyOf
        del paths["/commands/{name}"]
        schemas["Order"]["anyOf"] = [False]


def _stream(template: str, command: Command, by_get: bool) -> dict[str, Any]:
    """The operations that run a command, and follow it."""
    found: dict[str, Any] = json.loads(template.replace("{name}", command.name))
    # The command's own parameter hides ours of the same name.
    for name, ours in {"format": "Format", LAST_EVENT_ID: LAST_EVENT_ID}.items():
        if name in command.params:
            hidden = {"$ref": f"#/components/parameters/{ours}"}
            for operation in found.values():
                kept = [each for each in operation["parameters"] if each != hidden]
                operation["parameters"] = kept
    found["post"]["requestBody"]["required"] = bool(command.required)
    if by_get:
        found["get"]["parameters"][:0] = [
            {
                "name": parameter.name,
                "in": "query",
                "required": parameter.default is None,
                "schema": parameter.schema(),
                "description": parameter.description,
            }
            for parameter in command.params.values()
        ]
    else:
        del found["get"], found["head"]
    return found


def _order(
    command: Command, common: Mapping[str, Any], *, default: bool
) -> dict[str, Any]:
    """
    What C{POST /runs} takes for one command.

    @param common: what it takes for all. It is repeated, since there are generators
        of clients that make a type of each alternative alone.
    """
    names = [command.name, None] if default else [command.name]
    params = {"$ref": f"#/components/schemas/Parameters.{command.name}"}
    members = {**common, "command": {"enum": names}, "params": params}
    if not command.tty:
        members["tty"] = {"type": "boolean", "const": False}
        if not command.stdin:
            members["stdin"] = {"type": "boolean", "const": False}
    required = [] if default else ["command"]
    if command.required:
        required.append("params")
    return {"type": "object", "properties": members, "required": required}


def _head(operations: Mapping[str, Any]) -> dict[str, Any]:
    """HEAD is like GET, except in what the document says of it itself."""
    get = operations["get"]
    return {
        **get,
        **operations.get("head", {}),
        "operationId": f"{get['operationId']}.head",
        "summary": "The headers of what GET answers",
    }


def _add_conditions(operation: dict[str, Any]) -> None:
    """What has an ETag may be asked for by it."""
    if "ETag" in operation["responses"].get("200", {}).get("headers", {}):
        operation["responses"]["304"] = {"$ref": "#/components/responses/304"}
        operation["parameters"] = [
            *operation.get("parameters", []),
            {"$ref": "#/components/parameters/If-Match"},
            {"$ref": "#/components/parameters/If-None-Match"},
        ]
