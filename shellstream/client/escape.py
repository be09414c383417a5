"""What strangers say, as it is shown: no word of theirs steers a terminal."""

import json


def printable(text: str) -> str:
    """One line for a person: what a terminal does not just print is spelled out."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def printable_json(
    document: object,
    *,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
) -> str:
    """JSON that is just printed, too, and reads back as the same."""
    text = json.dumps(
        document, ensure_ascii=False, indent=indent, separators=separators
    )
    if text.isprintable():
        return text
    # Line ends in strings are escaped already.
    return "".join(
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1]
        for each in text
    )
