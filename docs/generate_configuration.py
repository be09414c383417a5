"""
Makes the reference page of the configuration, and its JSON Schema for editors.

Both come from the metadata of the fields that keep the values: see
L{shellstream.model.tables}. C{docs/generate.py} writes them.
"""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from shellstream.config.command import Command
from shellstream.config.confinement import Confinement
from shellstream.config.loader import COMMAND_NAME, PARAMETER_NAME, Config
from shellstream.config.notification import FACTS, Notification
from shellstream.config.notification_trigger import Trigger
from shellstream.config.parameter_tables import KEYS
from shellstream.config.parameters import KINDS
from shellstream.model import checks
from shellstream.model.limits import Limits
from shellstream.model.quantities import show_size, show_time
from shellstream.model.tables import Section, Setting, settings_of
from shellstream.security.authorization import Action, Grant
from shellstream.security.principals import ANY_NAME, NAME, KnownPrincipal

REFERENCE = Path(__file__).parent / "reference"
SCHEMA_FILE = "shellstream.schema.json"

Keys = Mapping[str, Setting | Section]


def _settings(*kinds: type[Any]) -> dict[str, Setting]:
    """The keys of several classes that hold values."""
    return {
        name: each
        for kind in kinds
        for name, each in settings_of(kind).items()
        if isinstance(each, Setting)
    }


TOP = _settings(Config)
SECTIONS = {
    name: each
    for name, each in settings_of(Config).items()
    if isinstance(each, Section)
}
COMMAND = _settings(Command, Limits, Confinement)
SHARED = {name: each for name, each in COMMAND.items() if each.shared}
PRINCIPAL = _settings(KnownPrincipal, Grant)
CONFINEMENT = _settings(Confinement)
NOTIFICATION = _settings(Notification, Confinement)


_RELOAD = """\
SIGHUP, or `systemctl reload`, has the daemon read its files again, beside all other
work. If anything in them is wrong, or cannot be done on this system, it changes
nothing, and the log has each mistake with its file and line. Else all of it is put in
force at once, and the log names what has changed. Runs and open streams go on:

- A run keeps the definition of its command under which it was started, also if the
  command is removed.
- A run that waits follows the new definition. If that does not take its parameters, or
  is gone, the run ends as `failed` and says so.
- Limits hold for what comes next: connections above a lower limit stay open.
- A principal that is removed, or has other rights now, loses its open streams, as with
  a token that is revoked. Once clients have to authenticate, they have to until a
  restart.
- Certificates and keys are read again.
- Whether there is a table `[tls]`, and all options of the command line, need a
  restart. The log names the table, and the rest is in force.
- The files are read by the user that the daemon runs as.

"""


def pages() -> Iterator[tuple[Path, str]]:
    """Each file, and its text."""
    yield REFERENCE / "configuration.md", "\n".join(page()) + "\n"
    schema = json.dumps(json_schema(), indent=1, ensure_ascii=False)
    yield REFERENCE / SCHEMA_FILE, f"{schema}\n"


# The page.


def page() -> Iterator[str]:
    """C{configuration.md}."""
    yield from ("<!-- Made by docs/generate.py: change the code, then run it. -->", "")
    yield from ("# Configuration", "")
    yield "The daemon reads a TOML file: the one that `--config` names, or else"
    yield "`$XDG_CONFIG_HOME/shellstream/shellstream.toml` (in `~/.config` without it),"
    yield "or else `/etc/shellstream/shellstream.toml`. If there is none of them,"
    yield "it serves the demo, and says so. A file that exists but cannot be read is an"
    yield "error."
    yield ""
    yield "The files `commands.d/*.toml` beside it add commands, in the order of their"
    yield "names. They hold tables `[commands.NAME]` only, which have the defaults of"
    yield "the main file. Each name of a command may be used once in all files."
    yield ""
    yield "`--check` starts nothing. It reports the mistakes in keys and values all at"
    yield "once, each with its file and line; wrong syntax of TOML comes by itself."
    yield "Without mistakes it warns of what is probably one, such as a program that is"
    yield "missing, and says in words what the file means: who may do what, where, and"
    yield "with which programs. It exits with 1 if what it found would keep the daemon"
    yield "from its start, else 0. Whether this system can do what `memory` and other"
    yield "limits ask for is tried only when the daemon starts:"
    yield from ("", "<!-- test: skip generated -->", "```sh")
    yield "shellstreamd --config shellstream.toml --check"
    yield from ("```", "")
    yield from ("## Reload", "")
    yield from _RELOAD.splitlines()
    yield from ("## Keys", "")
    yield "[The example](../../deploy/shellstream.toml.example) shows all keys in use."
    yield f"[`{SCHEMA_FILE}`]({SCHEMA_FILE}) is a JSON Schema of the file."
    yield "Editors with the Taplo language server, such as VS Code with Even Better"
    yield "TOML, complete and check keys if the first line of the file names it:"
    yield from ("", "<!-- test: skip generated -->", "```toml")
    yield f"#:schema /path/to/{SCHEMA_FILE}"
    yield from ("```", "")
    yield 'A size is a number of bytes, or a string such as `"64 MiB"`. A time is a'
    yield "number of seconds, or a string of a number and a unit, with a space between"
    yield 'them or not: `"90 s"`, `"10min"`, `"1.5 h"`, `"30 d"`. The units are `ms`,'
    yield "`s`, `m` or `min`, `h`, `d` and `w`."
    yield from ("", "## The top of the file", "")
    yield from _key_table(TOP)
    yield "The top of the file may also have these keys of commands. Each is then the"
    yield "default of every command: " + ", ".join(f"`{name}`" for name in SHARED) + "."
    yield ""
    yield from ("## `[commands.NAME]`", "")
    yield "A command. It has either `argv` or `shell`. A name has up to 64 letters,"
    yield "digits, `.`, `_` and `-`, and begins with a letter or digit."
    yield ""
    yield from _key_table(COMMAND)
    yield from ("## `[commands.NAME.params.NAME]`", "")
    yield "A parameter of a command. `argv` names it as `{NAME}`; for `shell` it is a"
    yield "variable, and its name has a lower-case letter. A name has up to 64 letters,"
    yield "digits and `_`, and begins with a letter or `_`."
    yield ""
    shared = KINDS["boolean"]
    yield from _key_table({**KEYS, **_settings(shared)})
    for name, kind in KINDS.items():
        own = {k: v for k, v in _settings(kind).items() if k not in _settings(shared)}
        if own:
            yield from (f'With `type = "{name}"` also:', "")
            yield from _key_table(own)
    yield from ("## `[principals.NAME]`", "")
    yield 'A principal that a proxy or a client certificate names. `[principals."*"]`'
    yield "is for all others that a proxy names."
    yield ""
    yield from _key_table(PRINCIPAL)
    yield from ("## `[notify.NAME]`", "")
    yield "Somebody who is told of runs. It has either `url` or `argv`. In `url`,"
    yield "`headers`, `body` and `argv`, `{NAME}` stands for a value below, and"
    yield "`{{NAME}}` for `{NAME}` itself; `url` has them behind the host only. `argv`"
    yield "cannot have what clients choose: `failure`, `owner`, `output`, parameters."
    yield "[Be told of runs](../recipes/notifications.md) has examples."
    yield ""
    yield from _key_table(NOTIFICATION)
    yield "| placeholder | stands for |"
    yield "| --- | --- |"
    yield from (f"| `{{{name}}}` | {about} |" for name, about in FACTS.items())
    yield "| `{params.NAME}` | a parameter of the command, unless it is secret |"
    yield ""
    for name, section in SECTIONS.items():
        yield from (f"## `[{name}]`", "", section.about, "")
        yield from _key_table(_settings(section.kind))


def _key_table(keys: Mapping[str, Setting]) -> Iterator[str]:
    yield "| key | values | default | what it does |"
    yield "| --- | --- | --- | --- |"
    for name, each in keys.items():
        default = _default(each)
        text = "" if default is None else f"`{_toml(default)}`"
        cells = (f"`{name}`", each.check.allowed, text, each.about)
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
    yield ""


def _default(key: Setting) -> object:
    """The default as a file would have it; L{None} if there is none to show."""
    match key.default:
        case None | () | "":
            return None
        case Mapping():
            return None
        case Enum(value=value):
            return value
        case frozenset() as actions:
            return [each.value for each in Action if each in actions]
        case (Trigger(), *_) as triggers:
            return [each.what for each in triggers]
        case tuple() as values:
            return list(values)
        case int() as number if key.check is checks.size:
            return _size(number)
        case float() as number if key.check in (checks.seconds, checks.duration):
            return _time(number)
        case float() as number if number == int(number):
            return int(number)
    found: object = key.default
    return found


def _size(number: int) -> str | int:
    return number if number % 1024 else show_size(number)


def _time(number: float) -> str | int:
    return int(number) if number % 60 or not number else show_time(number)


def _toml(value: object) -> str:
    # What JSON writes of these values is also TOML.
    return json.dumps(value, ensure_ascii=False)


# The JSON Schema, of draft 4: Taplo knows no later one.

#: Rules that span keys of a table, as far as JSON Schema can express them.
RULES: Mapping[str, Mapping[str, Any]] = {
    "access": {"dependencies": {"user_header": ["proxies"]}},
    "tls": {
        "dependencies": {
            "certificate": ["key"],
            "key": ["certificate"],
            "client_certificate": ["client_ca"],
        }
    },
}
_NEVER: Mapping[str, Any] = {"not": {}}


def json_schema() -> dict[str, Any]:
    """C{shellstream.schema.json}."""
    sections = {
        name: {
            **_object(_settings(each.kind)),
            "description": each.about,
            **RULES.get(name, {}),
        }
        for name, each in SECTIONS.items()
    }
    principals = {
        **_named(NAME.pattern, _object(PRINCIPAL)),
        "description": "What proxies and client certificates name.",
        "properties": {
            "anonymous": _NEVER,
            ANY_NAME: {"not": {"required": ["certificates"]}},
        },
    }
    notify = {
        **_named(COMMAND_NAME.pattern, _notification()),
        "description": "Who is told of runs.",
    }
    commands = {
        **_named(COMMAND_NAME.pattern, {"$ref": "#/definitions/command"}),
        "description": "What the daemon may run.",
    }
    top = _object({**TOP, **SHARED})
    top["properties"].update(
        sections, principals=principals, notify=notify, commands=commands
    )
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "Configuration of the daemon of shellstream",
        **top,
        "definitions": {
            "command": _command(),
            "parameter": {"oneOf": [_parameter(kind) for kind in KINDS]},
        },
    }


def _object(keys: Mapping[str, Setting]) -> dict[str, Any]:
    properties = {name: _property(each) for name, each in keys.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _property(key: Setting) -> dict[str, Any]:
    default = _default(key)
    found = {**key.check.schema, "description": key.about}
    return found if default is None else {**found, "default": default}


def _named(pattern: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Tables whose names match a pattern."""
    return {
        "type": "object",
        "patternProperties": {f"^(?:{pattern})$": schema},
        "additionalProperties": False,
    }


def _notification() -> dict[str, Any]:
    found = _object(NOTIFICATION)
    found["oneOf"] = [
        {"required": ["url"], "not": _any_of("argv", *CONFINEMENT)},
        {"required": ["argv"], "not": _any_of("url", "method", "headers")},
    ]
    return found


def _any_of(*keys: str) -> dict[str, Any]:
    return {"anyOf": [{"required": [each]} for each in keys]}


def _command() -> dict[str, Any]:
    found = _object(COMMAND)
    found["properties"]["params"] = {
        **_named(PARAMETER_NAME.pattern, {"$ref": "#/definitions/parameter"}),
        "description": "The parameters of the command.",
    }
    secret = {"required": ["secret"], "properties": {"secret": {"enum": [True]}}}
    argv_params = {"additionalProperties": {"not": secret}}
    shell_params = {"patternProperties": {"^[^a-z]*$": _NEVER}}
    found["oneOf"] = [
        {"required": ["argv"], "properties": {"params": argv_params}},
        {"required": ["shell"], "properties": {"params": shell_params}},
    ]
    return found


def _parameter(kind: str) -> dict[str, Any]:
    found = _object({**KEYS, **_settings(KINDS[kind])})
    properties = found["properties"]
    properties["type"] = {**properties["type"], "enum": [kind]}
    properties["default"]["type"] = "string" if kind == "path" else kind
    required = {"required": ["required"], "properties": {"required": {"enum": [True]}}}
    optional = {"required": ["required"], "properties": {"required": {"enum": [False]}}}
    found["required"] = ["type", "roots"] if kind == "path" else ["type"]
    found["anyOf"] = [
        {"required": ["default"], "not": required},
        {"not": {"anyOf": [{"required": ["default"]}, optional]}},
    ]
    if kind == "string":
        secret = {"secret": {"enum": [True]}}
        found["not"] = {"required": ["secret", "choices"], "properties": secret}
    return found
