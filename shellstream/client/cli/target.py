"""What the words of a command line ask for."""

import re

from shellstream.client.errors import CannotConnect, Refused, Usage
from shellstream.client.urls import http_url
from shellstream.programs import typed

from .subcommands import NAMES


class Target:
    """A URL or a command, or neither for the default command; and parameters."""

    def __init__(self, words: list[str]) -> None:
        """@raise Usage: if the words are not a target and parameters."""
        self.url: str | None = None
        self.name: str | None = None
        rest = words
        if words and _names_target(words[0]):
            first, *rest = words
            if re.search(r"\S\s", first) and "://" not in first:
                raise Usage(
                    f"{first!r} is a command line; only commands that the server names "
                    f"can be run: {typed('shellstream')} commands lists them"
                )
            if _is_url(first):
                self.url = http_url(first)
            else:
                self.name = first
        self.params = [_parameter(word, self.name) for word in rest]


def _parameter(word: str, name: str | None) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        hint = subcommand_hint(name or "")
        how = f"{typed('shellstream')} commands lists the commands and their parameters"
        raise Usage(f"{word!r} is not a parameter; write NAME=VALUE{hint}; {how}")
    return key, value


#: What people type who know docker, and how it is done here.
_KNOWN = {
    "exec": "run",
    "kill": "signal ID KILL",
    "list": "ps",
    "ls": "ps",
    "restart": "stop ID, and then run",
    "status": "show ID",
    "tail": "logs -f ID",
}


def subcommand_hint(name: str) -> str:
    """A hint, as a mistyped subcommand is taken for a command's name; or nothing."""
    from difflib import get_close_matches

    if name in _KNOWN:
        return f" (or did you mean: {typed('shellstream')} {_KNOWN[name]}?)"
    # At the default of 0.6, ls would resemble logs.
    close = get_close_matches(name, NAMES, n=1, cutoff=0.75)
    return f" (or did you mean the subcommand {close[0]!r}?)" if close else ""


def suggest(error: CannotConnect | Refused, name: str | None) -> None:
    """Add to an error that a command's name may be a mistyped subcommand."""
    if name and (isinstance(error, CannotConnect) or error.status == 404):
        error.hint = subcommand_hint(name)


def _is_url(word: str) -> bool:
    return "://" in word or "/" in word or ":" in word


def _names_target(word: str) -> bool:
    # The = of NAME=VALUE comes before any : or / of its value.
    return "=" not in word or _is_url(word.partition("=")[0])
