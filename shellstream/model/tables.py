"""
Reading TOML tables key by key, so that every mistake is found in one pass.

A schema library stops at the first layer of mistakes: on a file with twelve, pydantic
finds seven, cattrs three and msgspec one. Here a wrong value is reported, and its
default takes its place, so that the rules that span keys are still checked.

A key is declared once, as metadata of the field that keeps its value: L{setting} for
a value, L{section} for a table. The reader below uses it, and so do the reference
page and the JSON Schema for editors.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from reprlib import Repr
from typing import Any, TypeVar

from attrs import define, field, fields, frozen

from . import checks
from .checks import Check, NotAllowed
from .errors import did_you_mean

T = TypeVar("T")
D = TypeVar("D")

#: In place of a value that may be a password.
_HIDDEN = "another value"

#: The key of a field's metadata.
_SETTING = "setting"


@frozen
class Mistake:
    """
    One thing in the file that is not allowed: where, and what is allowed.

    @ivar allowed: empty where C{found} says it.
    @ivar place: the file and the line, once they are known.
    """

    key: str
    found: str
    allowed: str
    place: str = ""

    def __str__(self) -> str:
        text = self.found
        if self.allowed:
            text = f"found {self.found}; allowed: {self.allowed}"
        return ": ".join(filter(None, (self.place, self.key, text)))


@define
class Table:
    """
    One table of the file, whose keys are read one by one.

    A value that does not fit is reported, and its default takes its place.

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
        """The unchecked value at C{name}; L{None} if it is absent."""
        return self._values.get(name)

    def read(self, name: str, check: Callable[[object], T], default: D) -> T | D:
        """The value at C{name} as C{check} gives it; C{default} if absent or wrong."""
        self._known.append(name)
        if name not in self._values:
            return default
        try:
            return check(self._values[name])
        except NotAllowed as allowed:
            secret = isinstance(check, Check) and check.secret
            found = _HIDDEN if secret else abbreviated(self._values[name])
            self.report(name, found, str(allowed))
            return default

    def read_settings(
        self,
        kind: type[T],
        fallback: T | None = None,
        *,
        shared_only: bool = False,
        **others: object,
    ) -> T:
        """
        An instance of an attrs class, whose settings are keys of this table.

        @param fallback: has the values of keys that are absent; without it these have
            their defaults.
        @param shared_only: read only the settings that are L{Setting.shared}.
        @param others: the fields of the class that are no settings.
        """
        values = {
            name: each.read(
                self,
                name,
                each.default if fallback is None else getattr(fallback, name),
            )
            for name, each in settings_of(kind).items()
            if each.shared or not shared_only
        }
        return kind(**values, **others)

    def tables(self, name: str, pattern: re.Pattern[str]) -> Iterator["Table"]:
        """The tables inside C{name}, whose keys must match C{pattern}."""
        nothing: dict[str, object] = {}
        for key, value in self.read(name, checks.table, nothing).items():
            path = f"{name}.{quoted(key)}"
            if pattern.fullmatch(key) is None:
                self.report(path, f"the name {key!r}", f"names like {pattern.pattern}")
            elif not isinstance(value, dict):
                self.report(path, abbreviated(value), "a table")
            else:
                yield Table(key, self._path(path), value, self._mistakes)

    def table(self, name: str) -> "Table":
        """The table at C{name}; an absent table is empty."""
        nothing: dict[str, object] = {}
        values = self.read(name, checks.table, nothing)
        return Table(name, self._path(name), values, self._mistakes)

    def report(self, name: str, found: str, allowed: str) -> None:
        """Add a mistake at a key of this table."""
        self._mistakes.append(Mistake(self._path(name), found, allowed))

    def report_others(self, name: str, allowed: str) -> None:
        """Report every key but one."""
        for other in self._values:
            if other != name:
                self.report(quoted(other), "a key of another file", allowed)

    def report_unknown(self) -> None:
        """Report every key that was not read."""
        for name in self._values:
            if name not in self._known:
                hint = did_you_mean(name, self._known)
                keys = "the keys " + ", ".join(sorted(set(self._known)))
                if any(each.allowed == keys for each in self._mistakes):
                    keys = ""  # they are long, and stand above
                self.report(quoted(name), f"an unknown key{hint}", keys)

    def _path(self, name: str) -> str:
        return f"{self.key}.{name}" if self.key else name


@frozen
class Setting:
    """
    A key with a value.

    @ivar about: one line on what it does.
    @ivar shared: of a command's key: whether the top of the file may have it too, as
        the default of all commands.
    """

    check: Check[Any]
    about: str
    default: Any
    shared: bool = True

    def read(self, table: Table, name: str, default: Any) -> Any:
        """The value in a table."""
        return table.read(name, self.check, default)


@frozen
class Section:
    """
    A key with a table, whose keys are the settings of an attrs class.

    @ivar about: one line on what it holds.
    @ivar rule: reports mistakes that span keys.
    """

    kind: type[Any]
    about: str
    default: Any
    rule: Callable[[Table, Any], None] | None
    shared = False

    def read(self, table: Table, name: str, default: Any) -> Any:
        """An instance of the class; the default if the table is absent."""
        inside = table.table(name)
        found = inside.read_settings(self.kind)
        if self.rule is not None:
            self.rule(inside, found)
        inside.report_unknown()
        return found if name in table else default


def setting(about: str, check: Check[T], default: D, *, shared: bool = True) -> T | D:
    """A field of an attrs class whose value is a key of the file: see L{Setting}."""
    metadata = {_SETTING: Setting(check, about, default, shared)}
    # attrs declares that a field has the type of its value, and so do we.
    found: Any = field(default=default, metadata=metadata)
    return found  # type: ignore[no-any-return]


def section(
    about: str,
    kind: type[T],
    default: D,
    rule: Callable[[Table, T], None] | None = None,
) -> T | D:
    """A field of an attrs class that is a table of the file: see L{Section}."""
    metadata = {_SETTING: Section(kind, about, default, rule)}
    found: Any = field(default=default, metadata=metadata)
    return found  # type: ignore[no-any-return]


def settings_of(kind: type[Any]) -> Mapping[str, Setting | Section]:
    """The keys that an attrs class declares, by name, in their order."""
    return {
        each.name: each.metadata[_SETTING]
        for each in fields(kind)
        if _SETTING in each.metadata
    }


def quoted(key: str) -> str:
    """A key as TOML writes it: in quotes, unless it has only letters, digits, _, -."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"'


_repr = Repr()  # unlike repr(), it stops at some depth
_repr.maxstring = 80


def abbreviated(value: object) -> str:
    """A value as a message shows it: at most 60 characters, with TOML's words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = _repr.repr(value)
    except ValueError:  # more digits than Python writes out
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
