"""C{twistd shellstream tokens}: makes, lists and revokes tokens."""

import json
import os
import stat
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

from attrs import frozen

from shellstream.model.errors import ShellstreamError, did_you_mean
from shellstream.model.events import WallClock, rfc3339
from shellstream.security.audit import render_line, token_entry
from shellstream.security.authorization import Grant, action_names, grant_document
from shellstream.security.tokens import Token, TokenTable, create_token
from shellstream.storage.audit_file import append_line
from shellstream.storage.state_dir import default_state_dir
from shellstream.storage.token_file import TokenFile, account

from .auth_policy import tokens_command
from .token_arguments import parser


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
) -> int:
    """
    Carry out a command line.

    @param where: the state folder; L{None} for the default one of a daemon.
    @return: the exit code: 1 for an error. A command line that makes no sense raises
        L{SystemExit} with 2.
    """
    now = clock()
    arguments = parser(now).parse_args(argv)
    folder = Path(where) if where else default_state_dir(environ)
    if folder is None or where == ":memory:":
        why = "memory keeps no tokens" if where else "this account has no home folder"
        sys.stderr.write(f"shellstream: {why}; give a --state-dir\n")
        return 1
    file, name = TokenFile(folder.absolute()), account(environ)
    # argparse has checked the subcommand, which is a method of the tool.
    tool = TokenTool(file, name, now, sys.stdout, sys.stderr)
    try:
        getattr(tool, arguments.do)(arguments)
        sys.stdout.flush()
    except ShellstreamError as error:
        sys.stderr.write(f"shellstream: {error}\n")
        return 1
    except OSError as error:
        _discard(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            why = os.strerror(error.errno or 0)
            sys.stderr.write(f"shellstream: cannot write to standard output: {why}\n")
        return 1
    return 0


def _discard(stream: TextIO) -> None:
    """Drop what could not be written: Python would write it again when it exits."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


@frozen
class TokenTool:
    """Carries out the subcommands on the tokens of one folder."""

    _file: TokenFile
    _account: str
    _now: int
    _out: TextIO
    _err: TextIO

    def make(self, arguments: Namespace) -> None:
        """Make a token, and show its text once, alone on standard output."""
        made: list[tuple[Token, str]] = []
        grant = Grant(
            commands=tuple(arguments.commands or ["*"]),
            actions=arguments.actions,
            own=arguments.own,
        )

        def add(tokens: TokenTable) -> TokenTable:
            token, text = create_token(
                arguments.name, grant, self._now, arguments.expires, tokens
            )
            made.append((token, text))
            return {**tokens, token.id: token}

        # The token is saved before it is shown: one that is shown must be valid.
        self._change(add)
        token, text = made[0]
        try:
            self._out.write(f"{text}\n")
            self._out.flush()
        except OSError:
            self._change(partial(_without, [token]))  # nobody can ever use it
            raise
        self._say(
            f"token {token.id} of {token.name}, {_validity(token)}, "
            f"may {_permissions(token.grant)}; {self._file.path} has only its hash, so "
            "it cannot be shown again"
        )
        if _is_readable_by_others(self._out):
            self._say("other users can read the file with the token: chmod 600 FILE")
        self._say(
            "on the other machine save it in a file that only you can read, and type: "
            "shellstream --token-file FILE http://HOST:8000/stream"
        )

    def list(self, arguments: Namespace) -> None:
        """Show the tokens, without their secrets."""
        tokens = self._file.read_as_owner().values()
        ordered = sorted(tokens, key=lambda each: each.created)
        if arguments.json:
            rows = [_document(each, self._now) for each in ordered]
            self._out.write(json.dumps(rows, indent=1) + "\n")
        elif not ordered:
            self._say(f"{self._file.folder} has no tokens")
        else:
            cells = (_cells(each, self._now) for each in ordered)
            for line in _columns([_HEAD, *cells]):
                self._out.write(f"{line}\n")

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
            self._say(f"token {each.id} of {each.name} is revoked")
        if not left:
            self._say("that was the last token; clients without one stay locked out")

    def _change(self, change: Callable[[TokenTable], TokenTable]) -> TokenTable:
        return self._file.change(change, self._record)

    def _record(self, what: str, token: Token) -> None:
        entry = token_entry(what, token, self._account)
        append_line(self._file.folder, render_line(entry, self._now))

    def _say(self, text: str) -> None:
        self._err.write(f"shellstream: {text}\n")


def _without(removed: Iterable[Token], tokens: TokenTable) -> TokenTable:
    ids = {each.id for each in removed}
    return {key: each for key, each in tokens.items() if key not in ids}


def _validity(token: Token) -> str:
    if token.expires is None:
        return "valid until it is revoked"
    return f"valid until {rfc3339(token.expires)}"


def _permissions(grant: Grant) -> str:
    what = ", ".join(action_names(grant.actions))
    every = grant.commands == ("*",)
    which = "all commands" if every else f"commands {', '.join(grant.commands)}"
    return f"{what}: {which}{', own runs only' if grant.own else ''}"


def _is_readable_by_others(stream: TextIO) -> bool:
    try:
        found = os.fstat(stream.fileno())
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
