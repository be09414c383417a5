"""Errors of TOML's syntax, in words that say what to type."""

import re
from collections.abc import Sequence

from shellstream.model.tables import Mistake

#: How tomllib's messages begin, and what they mean to somebody who writes a file. The
#: first that fits counts.
_WORDS: Sequence[tuple[str, str]] = (
    ("Invalid statement", "a line must be KEY = VALUE, [TABLE] or a # comment; {KEYS}"),
    ("Expected '=' after a key", "expected = after the key"),
    ("Expected newline or end", "expected the end of the line after the value"),
    ("Invalid value", 'expected a value, such as "text" (in quotes), 12, true or [1]'),
    ("Invalid initial character", "expected a key; {KEYS}"),
    ("Cannot declare", "this table is declared above already"),
    ("Cannot overwrite", "this key has a value above already"),
    ("Cannot mutate", "this key has a value above already"),
    ("Cannot redefine", "this key has a value above already"),
    ("Duplicate inline", "this key has a value before already"),
    ("Unclosed array", "the list is not closed: expected , or ]"),
    ("Unclosed inline", "the table is not closed: expected , or }"),
    ("Unterminated string", "the string is not closed before the end of the file"),
    ("Illegal character '\\n'", "the string is not closed before the end of the line"),
    (
        "Found invalid character '\\n'",
        "the string is not closed before the end of the line",
    ),
    ("Invalid hex value", r"\ needs another \ before it, or put the text in '...'"),
    ("Unescaped '\\'", r"\ needs another \ before it, or put the text in '...'"),
    ("Expected ']'", "expected ] after the table's name"),
)
_KEYS = "keys with other characters than A-Z, a-z, 0-9, _ and - need quotes"
#: How many characters of a line are shown.
_SHOWN = 72


def syntax_mistake(text: str, error: Exception, file: str = "") -> Mistake:
    """
    Where the syntax of a text is wrong, and how.

    @param error: as L{tomllib.loads} raised it.
    @param file: the name of the file that has it.
    """
    if isinstance(error, RecursionError):
        return Mistake("TOML", "lists or tables are nested too deeply", "", file)
    # tomllib ends its messages with the place: "(at line 1, column 3)".
    message, _, place = str(error).removesuffix(")").rpartition(" (at ")
    if not message:  # a number or a date out of range, which have no place
        return Mistake("TOML", str(error), "", file)
    lines = text.split("\n")
    found = re.fullmatch("line ([0-9]+), column ([0-9]+)", place)
    # Or it is "end of document".
    line, column = (
        map(int, found.groups()) if found else (len(lines), len(lines[-1]) + 1)
    )
    words = next((new for old, new in _WORDS if message.startswith(old)), None)
    if words is None:
        words = message[:1].lower() + message[1:]
    place = f"{file}:{line}:{column}" if file else f"line {line}, column {column}"
    words = words.replace("{KEYS}", _KEYS) + _marked(lines[line - 1], column)
    return Mistake("", words, "", place)


def _marked(line: str, column: int) -> str:
    """The line with the mistake, and a caret below the place."""
    shown = line.rstrip("\r").replace("\t", " ")
    if column > _SHOWN or not shown.isprintable():  # it could steer the terminal
        return ""
    return f"\n    {shown[:_SHOWN]}\n    {' ' * (column - 1)}^"
