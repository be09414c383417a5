"""Makes text of servers and files safe to print: it cannot control a terminal."""

import json
import sys


def printable(text: str) -> str:
    """Text as one line; characters that a terminal does not just print are escaped."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def encode(text: str) -> bytes:
    """
    Text for a person, in the encoding of the locale; characters that it lacks are
    escaped. Programs get UTF-8 wherever they run.
    """
    return text.encode(sys.getfilesystemencoding(), "backslashreplace")


def printable_json(
    document: object,
    *,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
) -> str:
    """The same for JSON, which still parses as the same document."""
    text = json.dumps(
        document, ensure_ascii=False, indent=indent, separators=separators
    )
    if text.isprintable():
        return text
    # Line ends in strings are escaped already; those left are the indentation's.
    return "".join(
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1]
        for each in text
    )
