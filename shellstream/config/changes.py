"""What differs between two configurations, for the log."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

import attrs
from attrs import frozen

from shellstream.model.checks import mask
from shellstream.model.tables import Section, settings_of

from .loader import Config

#: The tables whose fields have other names, by these. They are at the top of a file.
_TOP_TABLES = {"known": "principals"}

#: The most names in a line.
MOST_NAMES = 20


@frozen
class Changes:
    """
    What a second configuration changes.

    @ivar added: names of commands, and so on.
    @ivar changed: with the keys that differ, each.
    @ivar settings: keys that differ, outside of commands.
    """

    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    changed: Sequence[str] = ()
    settings: Sequence[str] = ()

    def lines(self) -> list[str]:
        """Them in words; without any change one line, too."""
        named = (
            ("commands added", self.added),
            ("commands removed", self.removed),
            ("commands changed", self.changed),
            ("settings changed", self.settings),
        )
        lines = [f"{what}: {_listed(names)}" for what, names in named if names]
        return lines or ["nothing has changed"]


def compare(before: Config, after: Config) -> Changes:
    """
    What differs. Values are shown only if they are numbers, words of ours, true or
    false: others may be secret.
    """
    old, new = before.commands, after.commands
    changed = (
        f"{name} ({', '.join(_differences(old[name], new[name]))})"
        for name in new
        if name in old and old[name] != new[name]
    )
    rest = attrs.evolve(before, commands=after.commands)
    return Changes(
        [name for name in new if name not in old],
        [name for name in old if name not in new],
        list(changed),
        list(_differences(rest, after)),
    )


def with_equal_commands(before: Config, after: Config) -> Config:
    """
    The second configuration, with the very commands of the first one where they are
    equal: who has one of these finds it unchanged.
    """
    old = before.commands
    commands = {
        name: old[name] if old.get(name) == command else command
        for name, command in after.commands.items()
    }
    return attrs.evolve(after, commands=commands)


def _differences(before: Any, after: Any, prefix: str = "") -> Iterator[str]:
    """The keys in which two instances of a class differ."""
    keys = settings_of(type(after))
    for each in attrs.fields(type(after)):
        old, new = getattr(before, each.name), getattr(after, each.name)
        if old == new:
            continue
        key = f"{prefix}{each.name}"
        if isinstance(old, Mapping) and each.name not in keys:
            table = _TOP_TABLES.get(each.name, key)
            yield from _named_differences(old, new, table)
        elif attrs.has(type(old)) and type(old) is type(new):
            is_table = isinstance(keys.get(each.name), Section)
            yield from _differences(old, new, f"{key}." if is_table else prefix)
        elif _is_public(old) and _is_public(new):
            as_octal = getattr(keys.get(each.name), "check", None) is mask
            shown = (
                f"{value:03o}" if as_octal else _shown(value) for value in (old, new)
            )
            yield f"{key} {' -> '.join(shown)}"
        else:
            yield key


def _named_differences(
    before: Mapping[str, Any], after: Mapping[str, Any], table: str
) -> Iterator[str]:
    for name in (*before, *(name for name in after if name not in before)):
        if name not in after:
            yield f"{table}.{name} removed"
        elif name not in before:
            yield f"{table}.{name} added"
        elif before[name] != after[name]:
            yield f"{table}.{name}"


def _is_public(value: object) -> bool:
    return isinstance(value, bool | int | float | Enum)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value.value if isinstance(value, Enum) else value)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    shown = ", ".join(names[:MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown
