"""
Checks of single values: what a key takes, in words and as JSON Schema.

A check returns the value as the program uses it. The words are for messages and for
the reference page; the schema is for editors.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Generic, TypeVar

from attrs import frozen

from .quantities import SIZE, TIME, parse_size, parse_time

T = TypeVar("T")
U = TypeVar("U")
E = TypeVar("E", bound=Enum)

Schema = Mapping[str, object]


class NotAllowed(Exception):
    """A value does not fit; the text says what does."""


@frozen
class Check(Generic[T]):
    """
    What a key takes.

    @ivar allowed: in words, as they follow "allowed:" in a message.
    @ivar schema: as JSON Schema of draft 4, the newest that the usual editors know
        for TOML. It may allow more than the check does, but never less.
    @ivar secret: whether no message may show a value: it may be a password.
    """

    allowed: str
    schema: Schema
    _convert: Callable[[object], T | None]
    secret: bool = False

    def __call__(self, value: object) -> T:
        """
        The value as the program uses it.

        @raise NotAllowed: if it does not fit.
        """
        found = self._convert(value)
        if found is None:
            raise NotAllowed(self.allowed)
        return found

    def then(self, convert: Callable[[T], U]) -> "Check[U]":
        """The same check, whose result is converted once more."""
        found = lambda value: convert(self(value))  # noqa: E731
        return Check(self.allowed, self.schema, found, self.secret)


def check(
    allowed: str, schema: Schema, *, secret: bool = False
) -> Callable[[Callable[[object], T | None]], Check[T]]:
    """
    Make a function a check. It returns L{None} for what does not fit, or raises
    L{NotAllowed} if it can say more than C{allowed} does.
    """
    return lambda convert: Check(allowed, schema, convert, secret)


@check("true or false", {"type": "boolean"})
def boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


@check("a string without NUL", {"type": "string"})
def string(value: object) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None


#: The longest item of an argv, and C{NAME=value} of an environment, in bytes: 32 pages
#: less the NUL behind it (execve(2), MAX_ARG_STRLEN).
MAX_ARGUMENT = 131_071


@check(f"a string of at most {MAX_ARGUMENT} bytes, without NUL", {"type": "string"})
def argument(value: object) -> str | None:
    text = string(value)
    return text if len(text.encode()) <= MAX_ARGUMENT else None


def matching(pattern: str, allowed: str) -> Check[str]:
    """A check for strings that match a regular expression from end to end."""
    compiled = re.compile(pattern)

    def convert(value: object) -> str | None:
        return value if isinstance(value, str) and compiled.fullmatch(value) else None

    return Check(allowed, {"type": "string", "pattern": f"^(?:{pattern})$"}, convert)


def one_of(kind: type[E]) -> Check[E]:
    """A check for the values of an enumeration."""

    def convert(value: object) -> E | None:
        try:
            return kind(value)
        except ValueError:
            return None

    values = [each.value for each in kind]
    return Check(f"one of {', '.join(map(repr, values))}", {"enum": values}, convert)


def list_of(item: Check[T], allowed: str) -> Check[tuple[T, ...]]:
    """A check for lists that are not empty."""

    def convert(value: object) -> tuple[T, ...] | None:
        if not isinstance(value, list) or not value:
            return None
        try:
            return tuple(map(item, value))
        except NotAllowed:
            return None

    schema = {"type": "array", "items": item.schema, "minItems": 1}
    return Check(allowed, schema, convert)


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < 10**40 else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 10**40 else None  # NaN compares false


integer = Check("an integer of at most 40 digits", {"type": "integer"}, _integer)

number = Check("a number, finite and of at most 40 digits", {"type": "number"}, _number)


def integers(low: int, high: int) -> Check[int]:
    """A check for the integers from one to another, both included."""

    def convert(value: object) -> int | None:
        found = _integer(value)
        return found if found is not None and low <= found <= high else None

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Check(f"an integer from {low} to {high}", schema, convert)


# Above all that is useful, and below 2^31: what it limits may be an int in C.
count = integers(1, 10**9)

niceness = integers(-20, 19)


_MAX_TIME = 10**9


def _seconds(value: object) -> float | None:
    found = parse_time(value) if isinstance(value, str) else _number(value)
    return float(found) if found is not None and 0 <= found <= _MAX_TIME else None


def _time_schema(**least: object) -> Schema:
    number = {"type": "number", "minimum": 0, **least, "maximum": _MAX_TIME}
    return {"anyOf": [number, {"type": "string", "pattern": f"^{TIME}$"}]}


@check(
    "a time above 0, such as 30 (seconds), '10 min' or '30 d'",
    _time_schema(exclusiveMinimum=True),
)
def seconds(value: object) -> float | None:
    return _seconds(value) or None


@check(
    "a time, such as 30 (seconds), '10 min' or '30 d'; 0 for none",
    _time_schema(),
)
def duration(value: object) -> float | None:
    return _seconds(value)


_MAX_SIZE = (1 << 50) - 1


@check(
    "bytes above 0, such as 65536, '64 KiB', '64 MiB' or '2 GiB'",
    {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": _MAX_SIZE},
            {"type": "string", "pattern": f"^{SIZE}$"},
        ]
    },
)
def size(value: object) -> int | None:
    found = parse_size(value) if isinstance(value, str) else _integer(value)
    return found if found is not None and 0 < found <= _MAX_SIZE else None


# Options of other programs are made of a name, so it must not look like several.
name = matching(
    r"[^-\s:,/\x00][^\s:,/\x00]{0,255}",
    "a name that the system knows, such as 'nobody'",
)

# As a number, 22 would not be what it looks like.
mask = matching("[0-7]{1,3}|0[0-7]{3}", "octal digits in quotes, such as '022'").then(
    lambda digits: int(digits, 8)
)

strings = list_of(string, "a list of strings that is not empty")

arguments = list_of(
    argument,
    "a list of strings, such as ['ls', '-la'], that is not empty; Linux takes "
    f"{MAX_ARGUMENT} bytes for each",
)

# PATH_MAX of Linux is 4096, with the NUL.
folder = matching(r"/[^\x00]{0,4094}", "an absolute path, such as '/srv/app'")

folders = list_of(folder, "a list of absolute paths, such as ['/srv/app']")


@check("a table", {"type": "object"})
def table(value: object) -> dict[str, object] | None:
    return value if isinstance(value, dict) else None


@check(
    "a table of strings, by names of letters, digits and _",
    {
        "type": "object",
        "patternProperties": {"^[A-Za-z_][A-Za-z0-9_]*$": string.schema},
        "additionalProperties": False,
    },
)
def variables(value: object) -> Mapping[str, str]:
    found = {}
    for name, text in table(value).items():
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII) is None:
            raise NotAllowed(f"names of letters, digits and _, not {name!r}")
        if not isinstance(text, str) or "\0" in text:
            raise NotAllowed(f"a string for {name}, in quotes, without NUL")
        if len(f"{name}={text}".encode()) > MAX_ARGUMENT:
            raise NotAllowed(f"at most {MAX_ARGUMENT} bytes for {name}, with its name")
        found[name] = text
    return found


# Not {"format": "regex"}: that is ECMAScript's, which knows less than Python's.
@check("a regular expression of Python's re", {"type": "string"})
def pattern(value: object) -> re.Pattern[str]:
    try:
        return re.compile(string(value))
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise NotAllowed(f"a regular expression of Python's re ({error})") from None


def json_integer(value: object) -> int | None:
    """
    The integer that a JSON value is; L{None} if it is none.

    2.0 is the same number as 2 (JSON Schema core, 4.2.3), as far as a float counts
    exactly. To Python true is an integer; to JSON it is not.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) <= 1 << 53:
        return int(value)
    return value if type(value) is int else None
