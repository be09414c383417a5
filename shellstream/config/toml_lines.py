"""The line of each key in a TOML file, which tomllib does not tell."""

import re
import tomllib
from collections.abc import Iterator, Mapping

from shellstream.model.tables import quoted

_BASIC, _LITERAL = r'"(?:\\.|[^"\\\n])*"', r"'[^'\n]*'"
_PART = rf"(?:[A-Za-z0-9_-]+|{_BASIC}|{_LITERAL})"

#: A statement's begin: the name of a table in brackets, or the key of a value.
_STATEMENT = re.compile(
    rf"[ \t]*(?P<open>\[\[?[ \t]*)?(?P<key>{_PART}(?:[ \t]*\.[ \t]*{_PART})*)"
)

#: What a value consists of, as far as it may hide the end of a line.
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    rf"|{_BASIC}|{_LITERAL}|#[^\n]*|[\[\]{{}}]|\n",
    re.DOTALL,
)


def key_lines(text: str) -> Mapping[str, int]:
    """
    The line of each key and table, by its whole dotted key. Inside an inline table keys
    have no line of their own.

    @param text: TOML without mistakes in its syntax.
    """
    lines: dict[str, int] = {}
    table: tuple[str, ...] = ()
    for start, number in _statements(text):
        match = _STATEMENT.match(text, start)
        if match is None:  # an empty line, or a comment
            continue
        key = tuple(map(_plain, re.findall(_PART, match["key"])))
        if match["open"]:
            table, key = key, ()
        path = (*table, *key)
        # The tables around it may have no line of their own.
        for length in range(1, len(path) + 1):
            lines.setdefault(".".join(map(quoted, path[:length])), number)
    return lines


def line_of(key: str, lines: Mapping[str, int]) -> int:
    """
    The line of a key, or of the nearest table around it; 1 if none has a line.

    @param lines: as L{key_lines} returns them.
    """
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return lines.get(key, 1)


def _statements(text: str) -> Iterator[tuple[int, int]]:
    """Where each line begins that does not go on with a value, and its number."""
    yield 0, 1
    number, depth = 1, 0
    for match in _TOKEN.finditer(text):
        found = match[0]
        number += found.count("\n")
        if found in ("[", "{"):
            depth += 1
        elif found in ("]", "}"):
            depth -= 1
        elif found == "\n" and not depth:
            yield match.end(), number


def _plain(part: str) -> str:
    """A part of a key without its quotes."""
    if part[0] == "'":
        return part[1:-1]
    if part[0] != '"':
        return part
    return str(tomllib.loads(f"k = {part}")["k"])
