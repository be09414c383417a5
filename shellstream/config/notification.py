"""Who is told of a run: the tables C{[notify.NAME]} of the configuration."""

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from attrs import field, frozen

from shellstream.model.checks import (
    Check,
    NotAllowed,
    check,
    integers,
    matching,
    seconds,
    string,
    table,
)
from shellstream.model.errors import did_you_mean
from shellstream.model.run_record import RunRecord
from shellstream.model.tables import Table, setting, settings_of
from shellstream.security.authorization import patterns

from .command import Command, Unbuffer, program
from .confinement import Confinement
from .notification_trigger import FAILURE, Trigger, triggers
from .templates import DOTTED, fill, in_source, placeholders

#: The placeholders of a template, and what stands for each, for the reference page.
FACTS: Mapping[str, str] = {
    "summary": "all in one line: `backup failed: exit code 3 after 2 min 5 s`",
    "event": "`started` or `ended`; `test` for a trial",
    "command": "the name of the command",
    "state": "`exited`, `signaled`, `failed`, `cancelled` or `lost`",
    "outcome": "`success` or `failure`; nothing of a run that has begun",
    "exit_code": "the exit code; 128 + n for signal n; 255 for a run without an end of "
    "its own",
    "reason": "why the daemon ended it, such as `timeout`",
    "failure": "why it never started, or is lost",
    "duration": "how long it took, such as `2 min 5 s`",
    "run": "its id",
    "owner": "the principal that started it",
    "link": "its page, if `public_url` is set in `[access]`",
    "output": "the last `lines` of its output",
    "delivery": "the id of the notification, the same at each attempt",
}

#: What clients or the output choose. A program could read it as an option.
_FREE = {"failure", "owner", "output"}


@check(
    "an http:// or https:// address without a password; placeholders only in its path "
    "and query",
    {"type": "string", "pattern": "^https?://[^ ]+$"},
    secret=True,
)
def _url(value: object) -> str | None:
    text = string(value)
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        return None
    plain = text.isascii() and text.isprintable() and " " not in text
    if parts.scheme not in ("http", "https") or not (host and plain) or port == 0:
        return None
    if "@" in parts.netloc:
        raise NotAllowed("no user and password in it; put them into headers")
    if placeholders(parts.netloc, DOTTED):
        raise NotAllowed("placeholders only behind the host")
    return text


#: What the connection itself needs.
_TAKEN = {"connection", "content-length", "host", "transfer-encoding", "upgrade"}


@check(
    "a table of headers, such as {Priority = 'high'}",
    {"type": "object", "additionalProperties": {"type": "string"}},
    secret=True,
)
def _headers(value: object) -> Mapping[str, str]:
    found = {}
    for name, text in table(value).items():
        if re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", name, re.ASCII) is None:
            raise NotAllowed("names of headers, of letters, digits and -")
        if name.lower() in _TAKEN:
            raise NotAllowed(
                f"other headers than {name}, which the daemon sends itself"
            )
        if not isinstance(text, str) or not text.isprintable() or len(text) > 8192:
            raise NotAllowed(f"a string in one line for {name}")
        found[name] = text
    return found


_body = Check(
    string.allowed,
    string.schema,
    lambda value: string(value) if len(string(value)) <= 65536 else None,
)


@frozen(kw_only=True)
class Notification:
    """A table C{[notify.NAME]}: of what it tells, and how."""

    name: str
    on: tuple[Trigger, ...] = setting(
        "The events that it tells of: those that an item fits, and none with `not`.",
        triggers,
        (FAILURE,),
    )
    commands: tuple[str, ...] = setting(
        "Patterns of the commands that it is for; `*` and `?` stand for other "
        "characters.",
        patterns,
        ("*",),
    )
    url: str | None = setting(
        "Where a request is sent. Messages, the log and the audit show its host alone.",
        _url,
        None,
    )
    argv: tuple[str, ...] = setting(
        "A program that is started instead, which reads the text from its standard "
        "input. The keys of a command that confine its processes are for this one, "
        "too.",
        program,
        (),
    )
    method: str = setting(
        "The method of the request.",
        matching("[A-Z]{3,10}", "a method in capitals, such as 'PUT'"),
        "POST",
    )
    headers: Mapping[str, str] = setting(
        "Headers of the request, which may have placeholders and are never shown.",
        _headers,
        {},
    )
    body: str | None = setting(
        "The text, with placeholders. Without it, it is the run as JSON. If a header "
        "`Content-Type` says that it is JSON or a form, values are quoted for that.",
        _body,
        None,
    )
    lines: int = setting(
        "How many of the last lines of the output it has, 16 KiB at most.",
        integers(0, 1000),
        0,
    )
    timeout: float = setting("Seconds that an attempt may take.", seconds, 30.0)
    confine: Confinement = field(factory=Confinement)

    def wants(self, event: str, record: RunRecord) -> bool:
        """Whether it tells of this event of a run."""
        fitting = [each for each in self.on if each.fits(event, record)]
        return (
            bool(fitting)
            and not any(each.excludes for each in fitting)
            and any(fnmatchcase(record.command, each) for each in self.commands)
        )

    @property
    def target(self) -> str:
        """Where it goes, as everybody may know: no part of this is a secret."""
        if self.url is None:
            return self.argv[0]
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def content_type(self) -> str:
        """The C{Content-Type} of the body; empty if the operator gave none."""
        names = {name.lower(): value for name, value in self.headers.items()}
        return names.get("content-type", "")

    def templates(self) -> Iterator[tuple[str, str]]:
        """All texts with placeholders, each with its key."""
        yield "url", self.url or ""
        yield "body", self.body or ""
        for name, text in self.headers.items():
            yield f"headers.{name}", text
        for item in self.argv:
            yield "argv", item

    def as_command(self) -> Command:
        """Its C{argv} as a command; no command of the file can have this name."""
        return Command(
            name=f"notify:{self.name}",
            argv=self.argv,
            stdin=True,
            unbuffer=Unbuffer.OFF,
            confine=self.confine,
        )


def read_notifications(
    top: Table, commands: Mapping[str, Command], common: Confinement
) -> dict[str, Notification]:
    """
    The tables C{[notify.NAME]}.

    @param common: has the values of absent keys that confine a process.
    """
    name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
    return {
        each.name: _read(each, commands, common) for each in top.tables("notify", name)
    }


def _read(
    inside: Table, commands: Mapping[str, Command], common: Confinement
) -> Notification:
    confine = inside.read_settings(Confinement, common)
    found = inside.read_settings(Notification, name=inside.name, confine=confine)
    if ("url" in inside) == ("argv" in inside):
        both = "both url and argv" if "url" in inside else "neither url nor argv"
        inside.report("url", both, "either url or argv (a program)")
    other = ("method", "headers") if "argv" in inside else settings_of(Confinement)
    for key in other:
        if key in inside and ("url" in inside) != ("argv" in inside):
            wanted = "url" if "argv" in inside else "argv"
            inside.report(key, "this key", f"it only beside {wanted}")
    if found.on and all(each.excludes for each in found.on):
        allowed = "an event that it tells of beside it, such as 'failure'"
        inside.report("on", "only what is left out", allowed)
    covered = [
        each
        for each in commands.values()
        if any(fnmatchcase(each.name, pattern) for pattern in found.commands)
    ]
    if commands and not covered:
        hint = did_you_mean(found.commands[0], commands)
        inside.report("commands", f"no command{hint}", "patterns that fit a command")
    for key, text in found.templates():
        _check_names(inside, key, text, found, covered)
    if found.argv:
        for name in in_source(found.argv, DOTTED):
            allowed = "the body, which the program reads from its standard input"
            inside.report("argv", f"{{{name}}} in the source of a script", allowed)
    if found.body is not None and "json" in found.content_type.lower():
        filled = fill(found.body, {"exit_code": "0"}, DOTTED)
        try:
            json.loads(filled)
        except ValueError:
            allowed = (
                'JSON with placeholders in its strings, such as {"text": "{state}"}'
            )
            inside.report("body", "no JSON", allowed)
    inside.report_unknown()
    return found


def _check_names(
    inside: Table, key: str, text: str, found: Notification, covered: list[Command]
) -> None:
    """Report placeholders for which there is no value."""
    params = {
        name: each for command in covered for name, each in command.params.items()
    }
    for name in dict.fromkeys(placeholders(text, DOTTED)):
        shown, (kind, _, param) = f"the placeholder {{{name}}}", name.partition(".")
        if kind == "params":
            if param not in params:
                hint = did_you_mean(param, params)
                allowed = "parameters of its commands"
                inside.report(key, f"{shown}{hint}", allowed)
            elif params[param].secret:
                inside.report(key, shown, "parameters that are not secret")
        elif name not in FACTS:
            hint = did_you_mean(name, FACTS)
            allowed = f"{', '.join(FACTS)} and params.NAME; {{{{{name}}}}} stands for "
            inside.report(key, f"{shown}{hint}", f"{allowed}literal braces")
        if key == "argv" and (kind == "params" or name in _FREE):
            allowed = (
                "it in body: a program could take what a client chose for an option"
            )
            inside.report(key, shown, allowed)
        if name == "output" and not found.lines:
            inside.report(
                "lines", "nothing", f"how many lines {{{name}}} has, such as 20"
            )
