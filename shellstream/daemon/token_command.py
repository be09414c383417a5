"""C{twistd shellstream tokens}: makes, lists, expires and revokes them."""

import json
import os
import stat
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

from attrs import evolve, frozen

from shellstream.model.errors import ShellstreamError, did_you_mean
from shellstream.model.events import WallClock, rfc3339
from shellstream.security.authorization import Grant, named, names_of
from shellstream.security.tokens import Kept, Token, make
from shellstream.storage.state_dir import default_state_dir
from shellstream.storage.token_file import TokenFile, account

from .token_arguments import parser


class TokenUnknown(ShellstreamError):
    """No token has this name or this id."""

    def __init__(self, which: str, kept: Kept, where: Path) -> None:
        known = [*{each.name for each in kept.values()}, *kept]
        hint = did_you_mean(which, known)
        super().__init__(
            f"{where} has no token {which!r}{hint}; twistd shellstream tokens list "
            "shows those there are"
        )


def main(
    argv: Sequence[str],
    where: str | None,
    environ: Mapping[str, str],
    clock: WallClock,
) -> int:
    """
    Do what a command line says.

    @param where: the state folder; L{None} for that which a daemon would have.
    @return: the exit code: 1 if it cannot be done, 2 if it makes no sense.
    """
    now = clock()
    given = parser(now).parse_args(argv)
    folder = Path(where) if where else default_state_dir(environ)
    if folder is None or where == ":memory:":
        why = "nothing is kept there" if where else "there is no home for the state"
        sys.stderr.write(f"shellstream: {why}; give a --state-dir\n")
        return 1
    file, who = TokenFile(folder.absolute()), account(environ)
    tool = Tool(file, who, now, sys.stdout, sys.stderr)
    try:
        getattr(tool, given.do)(given)
        sys.stdout.flush()
    except ShellstreamError as error:
        sys.stderr.write(f"shellstream: {error}\n")
        return 1
    except OSError as error:
        _forget(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            why = os.strerror(error.errno or 0)
            sys.stderr.write(f"shellstream: cannot write to standard output: {why}\n")
        return 1
    return 0


def _forget(stream: TextIO) -> None:
    """What could not be written Python would try to write once more at its exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


@frozen
class Tool:
    """What is done to the tokens of one folder, and what is said of it."""

    _file: TokenFile
    _who: str
    _now: int
    _out: TextIO
    _err: TextIO

    def make(self, given: Namespace) -> None:
        """Make one, and show it: alone on standard output, once."""
        made: list[tuple[Token, str]] = []
        grant = Grant(
            commands=tuple(given.commands or ["*"]),
            actions=given.actions,
            own=given.own,
        )

        def one_more(kept: Kept) -> Kept:
            made.append(make(given.name, grant, self._now, given.expires, kept))
            return {**kept, made[0][0].id: made[0][0]}

        self._change(one_more)
        token, text = made[0]
        try:
            self._out.write(f"{text}\n")
            self._out.flush()
        except OSError:
            self._change(partial(_without, [token]))  # nobody has seen it
            raise
        self._say(
            f"token {token.id} of {token.name}, {_until(token)}, "
            f"may {_may(token.grant)}; it is kept, hashed, in {self._file.path}, and "
            "is not shown again"
        )
        if _read_by_others(self._out):
            self._say("others can read the file that it has gone to: chmod 600 FILE")
        self._say(
            "on the other machine put it into a file of mode 600, and type: "
            "shellstream --token-file FILE http://HOST:8000/stream"
        )

    def list(self, given: Namespace) -> None:
        """Show all that is known of them."""
        kept = self._file.read_its_owners().kept.values()
        ordered = sorted(kept, key=lambda each: each.created)
        rows = [_row(each, self._now) for each in ordered]
        if given.json:
            self._out.write(json.dumps(rows, indent=1) + "\n")
        elif not rows:
            self._say(f"{self._file.folder} has no tokens")
        else:
            for line in _columns([_HEAD, *map(_cells, rows)]):
                self._out.write(f"{line}\n")

    def expire(self, given: Namespace) -> None:
        """Have one, or all of a name, be good until then."""
        until = given.until or self._now
        found: list[Token] = []

        def expired(kept: Kept) -> Kept:
            found.extend(self._which(given.which, kept))
            return {**kept, **{each.id: evolve(each, expires=until) for each in found}}

        self._change(expired)
        for each in found:
            is_good = f"good until {rfc3339(until)}" if given.until else "expired"
            self._say(f"token {each.id} of {each.name} is {is_good}")

    def revoke(self, given: Namespace) -> None:
        """Have one, or all of a name, be no more."""
        found: list[Token] = []

        def revoked(kept: Kept) -> Kept:
            found.extend(self._which(given.which, kept))
            return _without(found, kept)

        left = self._change(revoked)
        for each in found:
            self._say(f"token {each.id} of {each.name} is revoked")
        if not left:
            self._say("that was the last one: by a token nobody gets in any more")

    def _change(self, change: Callable[[Kept], Kept]) -> Kept:
        return self._file.change(change, self._who, self._now)

    def _which(self, which: str, kept: Kept) -> Iterable[Token]:
        found = [each for each in kept.values() if which in (each.id, each.name)]
        if not found:
            raise TokenUnknown(which, kept, self._file.path)
        return found

    def _say(self, text: str) -> None:
        self._err.write(f"shellstream: {text}\n")


def _without(tokens: Iterable[Token], kept: Kept) -> Kept:
    ids = {each.id for each in tokens}
    return {key: each for key, each in kept.items() if key not in ids}


def _until(token: Token) -> str:
    if token.expires is None:
        return "good until it is revoked"
    return f"good until {rfc3339(token.expires)}"


def _may(grant: Grant) -> str:
    what = ", ".join(names_of(grant.actions))
    every = grant.commands == ("*",)
    which = "all commands" if every else f"commands {', '.join(grant.commands)}"
    return f"{what}: {which}{', own runs only' if grant.own else ''}"


def _read_by_others(stream: TextIO) -> bool:
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # it is no file
        return False
    return stat.S_ISREG(found.st_mode) and bool(found.st_mode & 0o077)


def _row(token: Token, now: int) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        **named(token.grant),
        "created": rfc3339(token.created),
        "expires": None if token.expires is None else rfc3339(token.expires),
        "expired": not token.good(now),
    }


_HEAD = ("ID", "NAME", "COMMANDS", "ACTIONS", "RUNS", "CREATED", "EXPIRES")


def _cells(row: Mapping[str, object]) -> Sequence[str]:
    expires = "never" if row["expires"] is None else str(row["expires"])[:19] + "Z"
    return (
        str(row["id"]),
        str(row["name"]),
        _commas(row["commands"]),
        _commas(row["actions"]),
        "own" if row["own"] else "all",
        str(row["created"])[:19] + "Z",
        f"{expires} (expired)" if row["expired"] else expires,
    )


def _commas(names: object) -> str:
    assert isinstance(names, list)
    return ",".join(names)


def _columns(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
