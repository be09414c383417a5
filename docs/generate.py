"""
Writes the pages that say what the code says: run C{python docs/generate.py}.

C{docs/reference/command-line.md}, C{daemon.md}, C{http-api.md}, C{metrics.md} and
C{configuration.md} beside it, the JSON Schema of the configuration, and the manual
pages in C{deploy/man}. With C{--check} it writes nothing, and exits with 1 if a page is
not what it would write.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from generate_configuration import page as configuration_page
from generate_configuration import pages as configuration_pages
from generate_manuals import manual

from shellstream.client.cli.exit_codes import CODES
from shellstream.client.cli.options import CONNECTING, ENVIRONMENT, SHOWING, Option
from shellstream.client.cli.subcommands import DESCRIPTION, SUBCOMMANDS, Subcommand
from shellstream.config.loader import DEMO
from shellstream.daemon.token_command import parser as token_parser
from shellstream.tap import NotifyOptions, Options
from shellstream.web.monitoring.table import METRICS, PREFIX
from shellstream.web.openapi.document import document

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"

_NOTE = "<!-- Made by docs/generate.py: change the code, then run it. -->"
_ENDPOINTS = "https://docs.twisted.org/en/stable/core/howto/endpoints.html"
_SUMMARY, _, _EXAMPLES = DESCRIPTION.partition("\n\n")


def main() -> int:
    """Write all pages, or check them."""
    check = sys.argv[1:] == ["--check"]
    stale = []
    for path, text in pages():
        if check and (not path.exists() or path.read_text("utf-8") != text):
            stale.append(path)
        elif not check:
            path.write_text(text, "utf-8")
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not current: run python docs/generate.py")
    return 1 if stale else 0


def pages() -> Iterator[tuple[Path, str]]:
    """Each page, and its text."""
    for name, lines in manuals():
        yield ROOT / "deploy" / "man" / name, "\n".join(lines) + "\n"
    for name, make in (
        ("command-line.md", command_line),
        ("daemon.md", daemon),
        ("http-api.md", http_api),
        ("metrics.md", metrics),
    ):
        yield REFERENCE / name, "\n".join((_NOTE, "", *make())) + "\n"
    yield from configuration_pages()


# The client's command line, as Markdown.


def command_line() -> Iterator[str]:
    """C{shellstream}, the client."""
    yield from ("# Command line of `shellstream`, the client", "")
    yield from (f"{_SUMMARY}", "")
    yield from ("<!-- test: skip generated -->", "```sh")
    yield "shellstream [OPTIONS] [NAME | URL] [NAME=VALUE ...]"
    yield from ("shellstream SUBCOMMAND [OPTIONS] ...", "```", "")
    yield from ("For example:", "", "<!-- test: skip generated -->", "```sh")
    yield from (each.strip() for each in _EXAMPLES.rstrip().splitlines())
    yield from ("```", "", "## Subcommands", "")
    for name, subcommand in SUBCOMMANDS.items():
        own = _own(subcommand.options)
        words = " ".join(_word(each) for each in own if each.is_positional)
        yield from (f"### `{f'{name} {words}'.strip()}`", "")
        yield from (_sentence(subcommand.help) + _also(subcommand), "")
        yield from _details(subcommand)
        yield from _option_table([each for each in own if not each.is_positional])
        shared = [
            title
            for title, options in (("show output", SHOWING), ("connect", CONNECTING))
            if {each.names for each in options}
            <= {each.names for each in subcommand.options}
        ]
        if shared:
            link = " and ".join(
                f"[options that {each}](#options-that-{each.replace(' ', '-')})"
                for each in shared
            )
            yield from (f"It also has the {link}.", "")
    yield from ("## Options that show output", "")
    yield from _option_table(SHOWING)
    yield from ("## Options that connect", "")
    yield from _option_table(CONNECTING)
    yield from ("## Environment", "")
    variables = ((f"`{name}`", what) for name, what in ENVIRONMENT.items())
    yield from _rows(("variable", "is"), variables)
    yield from ("## Files", "")
    folder = "$XDG_CONFIG_HOME/shellstream"
    yield from _rows(
        ("file", "has"),
        (
            (f"`{folder}/client.toml`", "servers by name, written by the user"),
            (
                f"`{folder}/servers.toml`",
                "servers and their tokens, written by `shellstream login`; only the "
                "user can read it",
            ),
        ),
    )
    yield from ("## Exit codes", "")
    yield "The client exits with the code of the command, 0 to 255, and with 128 + n if"
    yield "signal n ended the command. Where there is no code of the command, it is:"
    yield ""
    yield from _rows(("code", "means"), ((str(k), v) for k, v in CODES.items()))


def _also(subcommand: Subcommand) -> str:
    """The other names of a subcommand, as a sentence."""
    names = " or ".join(f"`{each}`" for each in subcommand.aliases)
    return f" It may be called {names}, too." if names else ""


def _details(subcommand: Subcommand) -> Iterator[str]:
    """Further help: sentences as they are, lines of a shell as a block."""
    text = subcommand.details.rstrip()
    if text.startswith("  "):
        lines, _, rest = text.partition("\n\n")
        yield from ("<!-- test: skip generated -->", "```sh")
        yield from (each.strip() for each in lines.splitlines())
        yield from ("```", "")
        text = rest
    if text:
        yield from (text, "")


def _own(options: Sequence[Option]) -> list[Option]:
    """The options that a subcommand does not share with all others."""
    return [each for each in options if each not in (*SHOWING, *CONNECTING)]


def _option_table(options: Sequence[Option]) -> Iterator[str]:
    if options:
        rows = ((f"`{_names(each)}`", _help(each)) for each in options)
        yield from _rows(("option", "does"), rows)


def _names(option: Option) -> str:
    value = f" {_value(option)}" if option.takes_value else ""
    return f"{', '.join(option.names)}{value}"


def _word(option: Option) -> str:
    value, many = _value(option), option.keywords.get("nargs")
    if many is None or value.startswith("["):
        return value
    if many == "+":
        return f"{value} ..."
    return f"[{value}{' ...' if many == '*' else ''}]"


def _value(option: Option) -> str:
    """What stands for the value of an option, or for a word."""
    choices = option.keywords.get("choices")
    return str(option.keywords.get("metavar") or ("|".join(choices) if choices else ""))


def _help(option: Option) -> str:
    text = str(option.keywords["help"])
    if "%(default)" in text:
        text %= {"default": option.keywords["default"]}
    return text


# The daemon's command line.


def daemon() -> Iterator[str]:
    """C{shellstreamd}, the daemon."""
    yield from ("# Command line of `shellstreamd`, the daemon", "")
    yield from ("<!-- test: skip generated -->", "```sh")
    yield "shellstreamd [OPTIONS]"
    yield "shellstreamd [--state-dir DIR] tokens ...  # the tokens of its clients"
    yield "shellstreamd [--config FILE] notify NAME   # a trial of [notify.NAME]"
    yield from ("```", "", "## Options", "")
    rows = [
        (_flag(long, short, f" {long.upper()}"), text)
        for long, short, _, text, *_ in Options.optParameters
    ]
    rows += [(_flag(long, short), text) for long, short, text in Options.optFlags]
    listen = " ".join((Options.opt_listen.__doc__ or "").split())
    rows.append((_flag("listen", "l", " ENDPOINT"), listen))
    yield from _rows(("option", "does"), sorted(rows))
    yield f"An endpoint is a [Twisted endpoint]({_ENDPOINTS}),"
    yield "such as `unix:/run/shellstream.sock:mode=600` or"
    yield "`systemd:domain=INET:index=0`. Without `--port`, `--interface` and"
    yield "`--listen` it takes over the sockets that systemd hands over, if any."
    yield ""
    yield "The daemon stays in the foreground. `twistd -n shellstream [OPTIONS]` runs"
    yield "the same service; `twistd`, Twisted's own program, is in the folder in which"
    yield "`shellstreamd` really stands. Its options, which `twistd --help` lists, come"
    yield "before the word `shellstream`. Without `-n` it goes into the background."
    yield from ("", "## Files", "")
    yield from _rows(
        ("file", "is"),
        (
            (
                "`/etc/shellstream/shellstream.toml`",
                "the configuration, if `--config` names none and the user has none: "
                "[Configuration](configuration.md)",
            ),
            ("`/etc/shellstream/commands.d/*.toml`", "more commands"),
            (
                "`/var/lib/shellstream`",
                "the state of the system's service: runs, output, tokens, audit",
            ),
        ),
    )
    yield from ("## Signals", "")
    yield from _rows(
        ("signal", "does"),
        (
            ("`HUP`", "reads the configuration again: all of it, or none of it"),
            ("`TERM`", "stops the daemon; runs have their `drain` and `grace` to end"),
            ("`INT`", "ends the runs at once, and stops; a second one kills them"),
        ),
    )
    yield from ("## Tokens", "")
    tokens = token_parser(0)
    yield from (f"{tokens.description}", "")
    for name, each in _subparsers(tokens).items():
        actions = [action for action in each._actions if action.dest != "help"]
        words = [str(a.metavar) for a in actions if not a.option_strings]
        yield from (f"### `tokens {' '.join((name, *words))}`", "")
        yield from (_sentence(each.description or ""), "")
        rows = [(f"`{_argument(action)}`", action.help or "") for action in actions]
        yield from _rows(("argument", "is"), rows)
    yield "It exits with 0; with 1 if it cannot do that, and with 2 if it was asked for"
    yield "something that makes no sense."
    yield from ("", "## A trial of a notification", "")
    yield f"`notify NAME`. {NotifyOptions.longdesc}"
    yield "It exits with 0 if the notification was delivered, with 1 if not. The text"
    yield "says that it is a trial; `{exit_code}` is 1, so a monitor raises an alarm."


def _flag(long: str, short: str | None, value: str = "") -> str:
    return f"`{f'-{short}, ' if short else ''}--{long}{value}`"


def _subparsers(
    parser: argparse.ArgumentParser,
) -> "dict[str, argparse.ArgumentParser]":
    # argparse tells what it holds by no public name.
    found = (
        action.choices
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(next(found))


def _argument(action: argparse.Action) -> str:
    names = "|".join(action.option_strings)
    value = "" if action.nargs == 0 else str(action.metavar)
    return f"{names} {value}".strip()


# The metrics.


def metrics() -> Iterator[str]:
    """All that C{/metrics} shows."""
    yield from ("# Health and metrics", "")
    yield "`/livez` answers as long as the daemon does. `/readyz`, and `/healthz` which"
    yield "is the same, is 503 while the daemon can start no run: its disk fails or is"
    yield "full, it stops, or its event loop answers late. None of them needs a"
    yield "credential, and none tells a reason; `/readyz?verbose` tells it to a caller"
    yield "with the action `metrics`."
    yield ""
    yield "`/metrics` is for Prometheus. Its library is an extra of the daemon, which"
    yield "the first scrape loads:"
    yield from ("", "<!-- test: skip generated -->", "```sh")
    yield "python3 -m pip --python ~/shellstream install prometheus_client   # pip"
    yield "pipx inject shellstream-http prometheus_client                    # pipx"
    yield "uv tool install --with prometheus_client shellstream-http         # uv"
    yield from ("```", "")
    yield "The daemon need not be restarted. Without it the answer is 501, and says"
    yield "what to type."
    yield ""
    yield "Where the daemon requires credentials, a scrape needs a token with the"
    yield "action `metrics`, which a token has only if you name it; it sees the names"
    yield "of all commands:"
    yield from ("", "<!-- test: skip generated -->", "```sh")
    yield "umask 077"
    yield "shellstreamd tokens make prometheus --actions metrics > shellstream.token"
    yield from ("```", "", "<!-- test: skip generated -->", "```yaml")
    yield "scrape_configs:"
    yield "  - job_name: shellstream"
    yield "    authorization: { credentials_file: /etc/prometheus/shellstream.token }"
    yield '    static_configs: [{ targets: ["127.0.0.1:8000"] }]'
    yield "rule_files: [/etc/prometheus/prometheus-alerts.yml]"
    yield from ("```", "")
    yield "[`deploy/prometheus-alerts.yml`](../../deploy/prometheus-alerts.yml) has"
    yield "alert rules, and"
    yield "[`deploy/grafana-dashboard.json`](../../deploy/grafana-dashboard.json) is a"
    yield "dashboard to import. To be told of single runs, use"
    yield "[notifications](../recipes/notifications.md)."
    yield ""
    yield "The numbers begin at 0 when the daemon starts. Labels have few values: the"
    yield "commands of the configuration, states, statuses; no ids and no parameters."
    yield "There are also `process_…` metrics of the daemon itself: memory, CPU time,"
    yield "open files."
    yield ""
    rows = (
        (f"`{PREFIX}{name}`", each.kind, ", ".join(each.labels), each.about)
        for name, each in METRICS.items()
    )
    yield from _rows(("metric", "kind", "labels", "is"), rows)


# The HTTP API.


def http_api() -> Iterator[str]:
    """All paths, as C{/openapi.json} describes them to programs."""
    api: Mapping[str, Any] = document(DEMO, False, "session")
    components = api["components"]
    yield from ("# HTTP API", "")
    yield "These are all paths that a daemon answers. `GET /openapi.json` describes"
    yield "them to programs (OpenAPI 3.1), with the commands of that daemon."
    yield "[Output over HTTP](output.md) explains formats, offsets and the end of an"
    yield "answer, [Runs](runs.md) the states of a run. `HEAD` is allowed wherever"
    yield "`GET` is. `/stream` is `/stream/NAME` for the default command. `GET` runs"
    yield "the default command, and commands with `get = true`. What has an `ETag`"
    yield "takes `If-None-Match` (304) and `If-Match` (412). Every address in an answer"
    yield "is relative to the address of the request, so that a proxy may serve the"
    yield "daemon below a prefix."
    yield from ("", "## Paths", "")
    for path, operations in sorted(api["paths"].items()):
        for method, operation in operations.items():
            if method != "head" and path != "/stream":
                name = f"{method} {path}".replace(f"/{DEMO.default}", "/NAME")
                yield from _operation(name, operation, components)
    yield from ("## Errors", "")
    yield "An error is `application/problem+json` (RFC 9457). Its `detail` says what to"
    yield "do. Any path may answer with one of these:"
    yield ""
    responses = components["responses"]
    rows = (
        (code, each["description"])
        for code, each in responses.items()
        if int(code) >= 400
    )
    yield from _rows(("status", "means"), sorted(rows))
    yield from ("## Headers", "")
    headers = components["headers"].items()
    yield from _rows(
        ("header", "is"), ((f"`{name}`", each["description"]) for name, each in headers)
    )


def _operation(
    name: str, operation: Mapping[str, Any], components: Mapping[str, Any]
) -> Iterator[str]:
    method, path = name.split()
    summary = operation["summary"].replace(f"Run {DEMO.default}", "Run NAME")
    yield from (f"### `{method.upper()} {path}`", "", _sentence(summary), "")
    given = [_resolved(each, components) for each in operation.get("parameters", ())]
    rows = [
        (f"`{each['name']}`", each["in"], _sort(each["schema"]), each["description"])
        for each in given
        if each["in"] != "path" and each["name"] not in ("If-Match", "If-None-Match")
    ]
    if rows:
        yield from _rows(("parameter", "in", "values", "is"), rows)
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]
        yield from (f"Body: {', '.join(f'`{each}`' for each in content)}.", "")
        schemas = [each.get("schema", {}) for each in content.values()]
        fields = _resolved(schemas[0], components).get("properties", {})
        if fields:
            table = ((f"`{key}`", _sort(each)) for key, each in fields.items())
            yield from _rows(("field", "values"), table)
    good = {
        code: each["description"]
        for code, each in operation["responses"].items()
        if int(code) < 400 and code != "304"  # the page says it once for all
    }
    yield from _rows(("status", "answer"), good.items())


def _resolved(value: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    """What a reference refers to."""
    if "$ref" not in value:
        return value
    kind, name = value["$ref"].rsplit("/", 2)[1:]
    return components[kind][name]


def _sort(schema: Mapping[str, Any]) -> str:
    """What a value may be, in a word or two."""
    if "enum" in schema:
        few = len(schema["enum"]) < 9  # not all signals there are
        return ", ".join(f"`{each}`" for each in schema["enum"]) if few else "a name"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(filter(None, map(_sort, schema["anyOf"]))))
    kind = str(schema.get("format", schema.get("type", "")))
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = "" if low is None else f" from {low:g}" if high is None else ""
    if low is not None and high is not None and high < 2**32:
        bounds = f" from {low:g} to {high:g}"
    default = (
        f", default `{json.dumps(schema['default'])}`" if "default" in schema else ""
    )
    return f"{kind}{bounds}{default}"


# Markdown.


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table."""
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        cells = (" ".join(each.split()).replace("|", r"\|") for each in row)
        yield f"| {' | '.join(cells)} |"
    yield ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


# The manual pages.


def manuals() -> Iterator[tuple[str, Iterator[str]]]:
    """The name of each file, and its lines."""
    daemon_page, settings_page = "shellstreamd(8)", "shellstream.toml(5)"
    yield (
        "shellstream.1",
        manual(
            "shellstream",
            1,
            "run commands on one machine, watch them live on another",
            ("## Description", "", *command_line()),
            ("curl(1)", daemon_page),
        ),
    )
    yield (
        "shellstream.toml.5",
        manual(
            "shellstream.toml",
            5,
            "configuration of the daemon of shellstream",
            ("## Description", "", *configuration_page()),
            (daemon_page,),
        ),
    )
    yield (
        "shellstreamd.8",
        manual(
            "shellstreamd",
            8,
            "run named commands and stream their output over HTTP",
            ("## Synopsis", "", *daemon()),
            ("shellstream(1)", settings_page, "systemd.socket(5)"),
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
