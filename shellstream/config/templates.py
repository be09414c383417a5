"""Templates: texts with placeholders, whose values never change what stands around."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

#: C{{name}} is filled in. C{{{name}}} stands for C{{name}} itself. All other braces
#: stay as they are: awk and JSON are full of them.
PLACEHOLDER = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\}", re.ASCII)

#: The same with names such as C{params.host}, which awk has as well.
DOTTED = re.compile(
    r"\{\{((?:params\.)?[A-Za-z_]\w*)\}\}|\{((?:params\.)?[A-Za-z_]\w*)\}", re.ASCII
)


def placeholders(template: str, pattern: re.Pattern[str] = PLACEHOLDER) -> list[str]:
    """The names that a template is filled with, in order."""
    return [name for _, name in pattern.findall(template) if name]


def fill(
    template: str,
    values: Mapping[str, str],
    pattern: re.Pattern[str] = PLACEHOLDER,
    quote: Callable[[str], str] = str,
) -> str:
    """
    Put values into a template; nothing for a name without a value.

    @param quote: makes of a value what stands for it where the template is used.
    """

    def put(match: re.Match[str]) -> str:
        literal, name = match.groups()
        return f"{{{literal}}}" if literal else quote(values.get(name, ""))

    return pattern.sub(put, template)


def in_source(argv: Sequence[str], pattern: re.Pattern[str] = PLACEHOLDER) -> list[str]:
    """The placeholders in the item that a shell of an argv reads as a script."""
    return placeholders(script_in(argv) or "", pattern)


def script_in(argv: Sequence[str]) -> str | None:
    """The item that a shell of an argv reads as a script; L{None} if none does."""
    if re.fullmatch(r"(.*/)?(a|ba|da|k|mk|z)?sh", argv[0]) is None:
        return None
    for item, following in pairwise(argv[1:]):
        if re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*", item):
            return following
    return None
