"""The words of a command line that make a request."""

from shellstream.client.errors import Usage
from shellstream.client.urls import http_url

from .options import SUBCOMMANDS


class Target:
    """What the words of a command line ask for: a URL or a command, and parameters."""

    def __init__(self, words: list[str]) -> None:
        """@raise Usage: if they make no request."""
        self.url: str | None = None
        self.name: str | None = None
        rest = words
        if words and _is_target(words[0]):
            first, *rest = words
            if _is_url(first):
                self.url = http_url(first)
            else:
                self.name = first
        self.params = [_parameter(word, self.name) for word in rest]


def _parameter(word: str, name: str | None) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        hint = meant(name or "")
        raise Usage(f"{word!r} is no parameter; write NAME=VALUE{hint}")
    return key, value


def meant(name: str) -> str:
    """A hint for who mistyped a subcommand: it is taken for a command's name."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(SUBCOMMANDS), n=1)
    return f" (or did you mean the subcommand {close[0]!r}?)" if close else ""


def _is_url(word: str) -> bool:
    return "://" in word or "/" in word or ":" in word


def _is_target(word: str) -> bool:
    return "=" not in word or _is_url(word.partition("=")[0])
