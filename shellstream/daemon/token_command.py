"""C{shellstreamd tokens}: makes, lists and revokes tokens."""

import argparse
import json
import os
import stat
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from attrs import frozen

from shellstream.model.checks import NotAllowed
from shellstream.model.errors import ShellstreamError, did_you_mean
from shellstream.model.events import WallClock, rfc3339
from shellstream.model.quantities import parse_time
from shellstream.security.audit import render_line, token_entry
from shellstream.security.authorization import (
    DEFAULT_ACTIONS,
    Action,
    Grant,
    action_names,
    actions,
    grant_document,
    patterns,
)
from shellstream.security.tokens import (
    LAST_TIME,
    Token,
    TokenTable,
    create_token,
    token_name,
)
from shellstream.storage.audit_file import append_line
from shellstream.storage.state_dir import default_state_dir
from shellstream.storage.token_file import TokenFile, account

from .auth_policy import tokens_command

T = TypeVar("T")

_EPILOG = """\
  shellstreamd tokens make pi
  shellstreamd tokens make ci --commands 'build*' --actions run,read --expires 90d
  shellstreamd --state-dir /var/lib/shellstream tokens list
  shellstreamd tokens revoke pi

The tokens belong to the daemons that use the same --state-dir (under systemd that is
/var/lib/NAME), which follow a change within two seconds. Several tokens may have the
same name: to replace one, make the next, and then revoke the first by its ID.
"""

_WHEN = (
    "such as 45m, 12h, 30d or 2w, or a time such as 2027-01-31 or 2027-01-31T12:00:00Z"
)


class TokenUnknown(ShellstreamError):
    """No token has this name or this id."""

    def __init__(self, which: str, tokens: TokenTable, file: TokenFile) -> None:
        known = [*{each.name for each in tokens.values()}, *tokens]
        hint = did_you_mean(which, known)
        super().__init__(
            f"{file.path} has no token {which!r}{hint}; to see the tokens in it, type: "
            f"{tokens_command(file.folder)} list"
        )


def main(
    argv: Sequence[str],
    where: str | None,
    environ: Mapping[str, str],
    clock: WallClock,
    commands: Sequence[str] | None = None,
) -> int:
    """
    Carry out a command line.

    @param where: the state folder; L{None} for the default one of a daemon.
    @param commands: the names in the configuration; L{None} if none was given.
    @return: the exit code: 1 for an error. A command line that makes no sense raises
        L{SystemExit} with 2.
    """
    now = clock()
    arguments = parser(now).parse_args(argv)
    folder = Path(where) if where else default_state_dir(environ)
    if folder is None or where == ":memory:":
        why = "memory keeps no tokens" if where else "this account has no home folder"
        _say(f"{why}; give a --state-dir")
        return 1
    if sys.stdout is None:  # its descriptor is closed: a new token would be lost
        _say("cannot write to standard output: it is closed")
        return 1
    tool = TokenTool(TokenFile(folder.absolute()), account(environ), now, commands)
    try:
        arguments.do(tool, arguments)
        sys.stdout.flush()
    except ShellstreamError as error:
        _say(str(error))
        return 1
    except OSError as error:
        _discard_stdout()
        if not isinstance(error, BrokenPipeError):
            why = os.strerror(error.errno or 0)
            _say(f"cannot write to standard output: {why}")
        return 1
    return 0


def _say(text: str) -> None:
    print(f"shellstream: {text}", file=sys.stderr)


def _discard_stdout() -> None:
    """Drop what could not be written: Python would write it again when it exits."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


@frozen
class TokenTool:
    """Carries out the subcommands on the tokens of one folder."""

    _file: TokenFile
    _account: str
    _now: int
    _commands: Sequence[str] | None

    def make(self, arguments: Namespace) -> None:
        """Make a token, and show its text once, alone on standard output."""
        grant = Grant(
            commands=tuple(arguments.commands or ["*"]),
            actions=arguments.actions,
            own=arguments.own,
        )
        taken = self._file.read_as_owner()
        token, text = create_token(
            arguments.name, grant, self._now, arguments.expires, taken
        )
        # The token is saved before it is shown: one that is shown must be valid.
        self._change(lambda tokens: {**tokens, token.id: token})
        try:
            print(text, flush=True)
        except OSError:
            self._change(partial(_without, [token]))  # nobody can ever use it
            raise
        _say(
            f"token {token.id} of {token.name}, {_validity(token)}, "
            f"may {_permissions(token.grant)}; {self._file.path} has only its hash, so "
            "it cannot be shown again"
        )
        for warning in self._unmatched(grant):
            _say(warning)
        if _stdout_is_readable_by_others():
            _say("other users can read the file with the token: chmod 600 FILE")
        if grant.actions == {Action.METRICS}:
            _say(
                "save it in a file that only Prometheus can read, and name that in "
                "scrape_configs: authorization: { credentials_file: FILE }"
            )
        else:
            _say(
                "on the other machine save it in a file that only you can read, and "
                "type: shellstream --token-file FILE http://HOST:8000/stream, with the "
                "host and port of the daemon"
            )

    def _unmatched(self, grant: Grant) -> Iterable[str]:
        """A warning for each pattern that matches no command of the configuration."""
        for pattern in grant.commands:
            if self._commands is None:
                if pattern != "*":
                    yield (
                        f"whether a command is called {pattern!r} was not checked: for "
                        "that, type --config FILE before tokens"
                    )
            elif not any(map(Grant(commands=(pattern,)).covers, self._commands)):
                hint = did_you_mean(pattern, self._commands)
                yield f"warning: no command of the configuration is {pattern!r}{hint}"

    def list(self, arguments: Namespace) -> None:
        """Show the tokens, without their secrets."""
        tokens = self._file.read_as_owner().values()
        ordered = sorted(tokens, key=lambda each: each.created)
        if arguments.json:
            rows = [_document(each, self._now) for each in ordered]
            print(json.dumps(rows, indent=1))
        elif not ordered:
            _say(f"{self._file.folder} has no tokens")
        else:
            cells = (_cells(each, self._now) for each in ordered)
            for line in _columns([_HEAD, *cells]):
                print(line)

    def revoke(self, arguments: Namespace) -> None:
        """Revoke the token with an id, or all tokens with a name."""
        found: list[Token] = []

        def remove(tokens: TokenTable) -> TokenTable:
            which = arguments.which
            found.extend(
                each for each in tokens.values() if which in (each.id, each.name)
            )
            if not found:
                raise TokenUnknown(which, tokens, self._file)
            return _without(found, tokens)

        left = self._change(remove)
        for each in found:
            _say(f"token {each.id} of {each.name} is revoked")
        if not left:
            _say("that was the last token; clients without one stay locked out")

    def _change(self, change: Callable[[TokenTable], TokenTable]) -> TokenTable:
        return self._file.change(change, self._record)

    def _record(self, what: str, token: Token) -> None:
        entry = token_entry(what, token, self._account)
        append_line(self._file.folder, render_line(entry, self._now))


def _without(removed: Iterable[Token], tokens: TokenTable) -> TokenTable:
    ids = {each.id for each in removed}
    return {key: each for key, each in tokens.items() if key not in ids}


def _validity(token: Token) -> str:
    if token.expires is None:
        return "valid until it is revoked"
    return f"valid until {rfc3339(token.expires)}"


def _permissions(grant: Grant) -> str:
    if grant.actions == {Action.METRICS}:  # of all commands, whatever it names
        return "read /metrics"
    what = ", ".join(action_names(grant.actions))
    every = grant.commands == ("*",)
    which = "all commands" if every else f"commands {', '.join(grant.commands)}"
    return f"{what}: {which}{', own runs only' if grant.own else ''}"


def _stdout_is_readable_by_others() -> bool:
    try:
        found = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):  # it is not a file
        return False
    return stat.S_ISREG(found.st_mode) and bool(found.st_mode & 0o077)


def _document(token: Token, now: int) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        **grant_document(token.grant),
        "created": rfc3339(token.created),
        "expires": None if token.expires is None else rfc3339(token.expires),
        "expired": not token.is_valid(now),
    }


_HEAD = ("ID", "NAME", "COMMANDS", "ACTIONS", "RUNS", "CREATED", "EXPIRES")


def _cells(token: Token, now: int) -> Sequence[str]:
    expires = "never" if token.expires is None else _to_seconds(token.expires)
    return (
        token.id,
        token.name,
        ",".join(token.grant.commands),
        ",".join(action_names(token.grant.actions)),
        "own" if token.grant.own else "all",
        _to_seconds(token.created),
        expires if token.is_valid(now) else f"{expires} (expired)",
    )


def _to_seconds(time: int) -> str:
    return f"{rfc3339(time)[:19]}Z"


def _columns(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def parser(now: int) -> ArgumentParser:
    """
    The parser of the command line; C{do} of its result is a method of L{TokenTool}.

    @param now: the time, in microseconds since 1970.
    """
    parser = ArgumentParser(
        prog="shellstreamd [--state-dir DIR] tokens",
        description="Makes, lists and revokes the tokens by which clients log in.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="{make,list,revoke}", required=True)

    def command(name: str, about: str, do: Callable[..., None]) -> ArgumentParser:
        found = commands.add_parser(
            name, help=about, description=about, allow_abbrev=False
        )
        found.set_defaults(do=do)
        return found

    a_time = _type(partial(_moment, now=now))
    making = command(
        "make", "make a token, and show it once, on standard output", TokenTool.make
    )
    making.add_argument(
        "name", metavar="NAME", type=_type(token_name), help="who or what will use it"
    )
    making.add_argument(
        "--commands",
        metavar="PATTERN",
        action="append",
        type=_type(lambda text: patterns([text])[0]),
        help="the commands it is for, such as 'build*'; may be given several times "
        "(default: all)",
    )
    making.add_argument(
        "--actions",
        metavar="ACTION,...",
        type=_type(_actions),
        default=DEFAULT_ACTIONS,
        help=f"what it allows: some of {', '.join(action_names(Action))} "
        f"(default: {','.join(action_names(DEFAULT_ACTIONS))})",
    )
    making.add_argument(
        "--own", action="store_true", help="only runs that it has started"
    )
    making.add_argument(
        "--expires", metavar="WHEN", type=a_time, help=f"{_WHEN} (default: never)"
    )
    listing = command("list", "show all tokens, without their secrets", TokenTool.list)
    listing.add_argument("--json", action="store_true", help="for programs")
    revoking = command(
        "revoke", "revoke one token, or all tokens with a name", TokenTool.revoke
    )
    revoking.add_argument("which", metavar="NAME|ID", help="as tokens list shows it")
    return parser


def _type(check: Callable[[str], T]) -> Callable[[str], T]:
    """A check of ours as argparse needs it, to show the reason."""

    def checked(text: str) -> T:
        try:
            return check(text)
        except NotAllowed as allowed:
            raise ArgumentTypeError(f"{text!r}; take {allowed}") from None

    return checked


def _actions(text: str) -> frozenset[Action]:
    names = [each.strip() for each in text.split(",")]
    known = action_names(Action)
    hints = [did_you_mean(each, known) for each in names if each not in known]
    try:
        return actions(names)
    except NotAllowed:
        hint = next(filter(None, hints), "")
        raise NotAllowed(f"some of {','.join(known)}{hint}") from None


def _moment(text: str, now: int) -> int:
    """Read a time later than now, in microseconds since 1970."""
    if (seconds := parse_time(text)) is not None:
        found = now + int(seconds * 1_000_000)
    else:
        try:
            date = datetime.fromisoformat(text)
        except ValueError:
            raise NotAllowed(_WHEN) from None
        # In UTC: readers of the list may be in another time zone than this machine.
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        since = date - datetime(1970, 1, 1, tzinfo=UTC)
        found = since // timedelta(microseconds=1)
    if not now < found <= LAST_TIME:
        raise NotAllowed("a time that is still to come")  # or nobody could use it
    return found
