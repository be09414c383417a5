"""
Reading TOML tables key by key, so that every mistake is found in one pass.

A schema library stops at the first layer of mistakes. Here what is right goes
on to the rules that span keys, while what is wrong is noted.
"""

import re
from collections.abc import Callable, Iterator
from enum import Enum
from reprlib import Repr
from typing import TypeVar

from attrs import define, field, frozen

from .errors import did_you_mean

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


@frozen
class Mistake:
    """One thing in the file that cannot be taken, where, and what could be."""

    key: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.key}: found {self.found}; allowed: {self.allowed}"


class NotAllowed(Exception):
    """A value does not fit; the text says what does."""


@define
class Table:
    """
    One table of the file, whose keys are taken out one by one.

    A value that does not fit is noted, and its default goes on in its place.

    @ivar name: its own key.
    @ivar key: the whole dotted key; empty for the file itself.
    """

    name: str
    key: str
    _values: dict[str, object]
    _mistakes: list[Mistake]
    _known: list[str] = field(factory=list, init=False)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def raw(self, name: str) -> object:
        """What the file has at C{name}, unchecked; L{None} if nothing."""
        return self._values.get(name)

    def read(self, name: str, check: Callable[[object], T], default: T) -> T:
        """The value at C{name} as C{check} gives it; C{default} if absent or wrong."""
        self._known.append(name)
        if name not in self._values:
            return default
        try:
            return check(self._values[name])
        except NotAllowed as allowed:
            self.report(name, shown(self._values[name]), str(allowed))
            return default

    def tables(self, name: str, pattern: re.Pattern[str]) -> Iterator["Table"]:
        """The tables inside C{name}, whose keys must match C{pattern}."""
        nothing: dict[str, object] = {}
        for key, value in self.read(name, table, nothing).items():
            path = f"{name}.{_quoted(key)}"
            if pattern.fullmatch(key) is None:
                self.report(path, f"the name {key!r}", f"names like {pattern.pattern}")
            elif not isinstance(value, dict):
                self.report(path, shown(value), "a table")
            else:
                yield Table(key, self._path(path), value, self._mistakes)

    def rows(self, name: str) -> Iterator["Table"]:
        """The tables of the list at C{name}; none if there is none."""
        nothing: list[dict[str, object]] = []
        for index, values in enumerate(self.read(name, rows, nothing)):
            path = f"{name}[{index}]"
            yield Table(path, self._path(path), values, self._mistakes)

    def table(self, name: str) -> "Table":
        """The table at C{name}; an empty one if there is none."""
        nothing: dict[str, object] = {}
        values = self.read(name, table, nothing)
        return Table(name, self._path(name), values, self._mistakes)

    def report(self, name: str, found: str, allowed: str) -> None:
        """Note a mistake at a key of this table."""
        self._mistakes.append(Mistake(self._path(name), found, allowed))

    def report_unknown(self) -> None:
        """Note every key that nobody took."""
        for name in self._values:
            if name not in self._known:
                hint = did_you_mean(name, self._known)
                keys = "the keys " + ", ".join(sorted(set(self._known)))
                self.report(_quoted(name), f"an unknown key{hint}", keys)

    def _path(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name


def _quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"'


_repr = Repr()  # unlike repr(), it stops at some depth
_repr.maxstring = 80


def shown(value: object) -> str:
    """A value as a mistake shows it: short, and with TOML's own words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = _repr.repr(value)
    except ValueError:  # more digits than Python writes out
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise NotAllowed("true or false")
    return value


def string(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise NotAllowed("a string without NUL")
    return value


def integer(value: object) -> int:
    match value:
        case int() if not isinstance(value, bool) and abs(value) < 10**40:
            return value
    raise NotAllowed("an integer of at most 40 digits")


def count(value: object) -> int:
    match value:
        case int() if not isinstance(value, bool) and 1 <= value <= 10**9:
            return value
    raise NotAllowed("an integer from 1 to 1000000000")


def number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotAllowed("a number")
    if not abs(value) < 10**40:  # NaN compares false
        raise NotAllowed("a finite number of at most 40 digits")
    return value


def seconds(value: object) -> float:
    try:
        found = number(value)
    except NotAllowed:
        found = 0
    if not 0 < found <= 10**9:
        raise NotAllowed("seconds above 0, such as 30 or 0.5")
    return float(found)


def duration(value: object) -> float:
    try:
        return 0.0 if number(value) == 0 else seconds(value)
    except NotAllowed:
        raise NotAllowed("seconds, such as 30 or 0.5; 0 for none") from None


_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def size(value: object) -> int:
    short = isinstance(value, int) and abs(value) < 1 << 50
    text = str(value) if short else value
    if isinstance(text, str) and not isinstance(value, bool):
        match = re.fullmatch(r"([0-9]{1,15}) ?([KMGT]iB)?", text, re.ASCII)
        if match is not None and 0 < int(match[1]) * _UNITS[match[2] or ""] < 1 << 50:
            return int(match[1]) * _UNITS[match[2] or ""]
    raise NotAllowed("bytes above 0, such as 65536, '64 KiB', '64 MiB' or '2 GiB'")


def name(value: object) -> str:
    # Options of tools are made of it, so it must not look like several.
    text = value if isinstance(value, str) else ""
    if re.fullmatch(r"[^-\s:,/\0][^\s:,/\0]{0,255}", text) is None:
        raise NotAllowed("a name that the system knows, such as 'nobody'")
    return text


def mask(value: object) -> int:
    # As a number, 22 would not be what it looks like.
    text = value if isinstance(value, str) else ""
    if re.fullmatch(r"[0-7]{1,3}|0[0-7]{3}", text, re.ASCII) is None:
        raise NotAllowed("octal digits in quotes, such as '022'")
    return int(text, 8)


def niceness(value: object) -> int:
    match value:
        case int() if not isinstance(value, bool) and -20 <= value <= 19:
            return value
    raise NotAllowed("an integer from -20 to 19")


def one_of(kind: type[E]) -> Callable[[object], E]:
    """A check for the values of an enumeration."""

    def check(value: object) -> E:
        try:
            return kind(value)
        except ValueError:
            names = ", ".join(repr(each.value) for each in kind)
            raise NotAllowed(f"one of {names}") from None

    return check


def strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise NotAllowed("a list of strings that is not empty")
    try:
        return tuple(map(string, value))
    except NotAllowed:
        raise NotAllowed("a list of strings without NUL") from None


def folder(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise NotAllowed("an absolute path, such as '/srv/app'")
    return value


def folders(value: object) -> tuple[str, ...]:
    try:
        return tuple(map(folder, strings(value)))
    except NotAllowed:
        raise NotAllowed("a list of absolute paths, such as ['/srv/app']") from None


def table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise NotAllowed("a table")
    return value


def rows(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise NotAllowed("a list of tables")
    return value


def variables(value: object) -> dict[str, str]:
    found = {}
    for name, text in table(value).items():
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII) is None:
            raise NotAllowed(f"names of letters, digits and _, not {name!r}")
        if not isinstance(text, str) or "\0" in text:
            raise NotAllowed(f"a string for {name}, in quotes, without NUL")
        found[name] = text
    return found


def pattern(value: object) -> re.Pattern[str]:
    try:
        return re.compile(string(value))
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise NotAllowed(f"a regular expression of Python's re ({error})") from None
