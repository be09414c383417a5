"""
The types of a parameter: what each accepts, and the text that a command gets.

A value comes from a client, as text (query, form, command line) or as a JSON value.
Each type checks all of it and returns the text that the command gets.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from os.path import isabs, join, realpath
from typing import Any, ClassVar

from attrs import field, frozen

from shellstream.model import checks
from shellstream.model.checks import MAX_ARGUMENT, boolean, folders, integers, string
from shellstream.model.tables import setting

#: The longest string where a parameter has no C{max_length}, in characters. It is
#: also PATH_MAX of Linux.
MAX_LENGTH = 4096

#: The most choices that a message lists.
MAX_LISTED = 20

# Python converts long digit strings in quadratic time; 40 digits hold every integer of
# 128 bits. Neither pattern takes what int() and float() take beside digits: spaces,
# underscores, digits of other scripts, "nan" and "inf".
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")

#: What JSON calls a value of Python.
_JSON = {bool: "true or false", int: "a number", float: "a number", type(None): "null"}


class InvalidValue(ValueError):
    """The parameter does not accept a value; the text says what it accepts."""


@frozen(kw_only=True)
class Parameter(ABC):
    """
    One declared parameter of a command.

    @cvar kind: its C{type} in the configuration.
    @ivar default: the text that the command gets when a client sends no value;
        L{None}: the client must send one.
    """

    kind: ClassVar[str]

    name: str
    description: str = setting("One line for clients.", string, "")
    default: str | None = None
    allow_leading_dash: bool = setting(
        "Whether a value may begin with `-`, where a program could read it as an "
        "option.",
        boolean,
        False,
    )
    secret: bool = setting(
        "Whether values and the default are hidden from everybody; only for `shell`.",
        boolean,
        False,
    )

    @abstractmethod
    def accept(self, value: object) -> str:
        """
        The text that the command gets for a client's value.

        @raise InvalidValue: if this type does not accept it.
        """

    def schema(self) -> dict[str, object]:
        """What this parameter accepts, as JSON Schema (draft 2020-12)."""
        found: dict[str, object] = dict(self._schema())
        if self.description:
            found["description"] = self.description
        if self.secret:
            found["writeOnly"] = True
        elif self.default is not None:
            # The texts of numbers and booleans are JSON, too.
            text = found["type"] == "string"
            found["default"] = self.default if text else json.loads(self.default)
        return found

    def values(self) -> str:
        """What this parameter accepts, in words: C{integer from 1 to 5}."""
        found = self._schema()
        if "enum" in found:
            return f"one of: {_listed(found['enum'])}"
        words = {"minimum": "from", "maximum": "to", "pattern": "that matches"}
        limits = [f"{word} {found[key]}" for key, word in words.items() if key in found]
        return " ".join([self.kind, *limits])

    @abstractmethod
    def _schema(self) -> Mapping[str, Any]:
        """What this type accepts, without what all types have."""


def _listed(choices: Sequence[object]) -> str:
    """The first choices, and how many there are beside them."""
    listed, more = choices[:MAX_LISTED], len(choices) - MAX_LISTED
    texts = [*map(str, listed), *([f"and {more} more"] if more > 0 else [])]
    return ", ".join(texts)


def _text(value: object) -> str:
    if not isinstance(value, str):
        found = _JSON.get(type(value), "a list or object")
        raise InvalidValue(f"takes a string, not {found}")
    if "\0" in value:
        raise InvalidValue("must not contain a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can bring half of a surrogate pair
        raise InvalidValue("is not valid Unicode text: a lone surrogate") from None
    return value


def _optional(pairs: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in pairs.items() if value is not None}


@frozen(kw_only=True)
class String(Parameter):
    """Text, by C{pattern} (matched in full), C{choices} and C{max_length}."""

    kind = "string"

    pattern: re.Pattern[str] | None = setting(
        "A regular expression that a value must match from end to end. One that could "
        "take long on some value is a mistake.",
        checks.pattern,
        None,
    )
    choices: tuple[str, ...] | None = setting(
        "The only values that are accepted.", checks.strings, None
    )
    max_length: int = setting(
        "The most characters of a value.",
        integers(1, MAX_ARGUMENT),
        MAX_LENGTH,
    )

    def accept(self, value: object) -> str:
        text = _text(value)
        if len(text) > self.max_length:
            raise InvalidValue(f"is longer than {self.max_length} characters")
        if self.choices is not None and text not in self.choices:
            raise InvalidValue(f"must be one of: {_listed(self.choices)}")
        if self.pattern is not None and self.pattern.fullmatch(text) is None:
            raise InvalidValue(f"must match {self.pattern.pattern} from end to end")
        return text

    def _schema(self) -> Mapping[str, object]:
        return {
            "type": "string",
            "maxLength": self.max_length,
            **_optional(
                {
                    "enum": self.choices,
                    "pattern": self.pattern and f"^(?:{self.pattern.pattern})$",
                }
            ),
        }


@frozen(kw_only=True)
class Ranged(Parameter):
    """A number between two others, both included."""

    min: float | None = None
    max: float | None = None

    def _in_range(self, value: float, text: str) -> str:
        if self.min is not None and value < self.min:
            raise InvalidValue(f"must be at least {self.min}")
        if self.max is not None and value > self.max:
            raise InvalidValue(f"must be at most {self.max}")
        return text

    def _schema(self) -> Mapping[str, object]:
        bounds = {"minimum": self.min, "maximum": self.max}
        return {"type": self.kind, **_optional(bounds)}


@frozen(kw_only=True)
class Integer(Ranged):
    """A whole number, passed on in plain decimal digits."""

    kind = "integer"

    min: int | None = setting("The lowest value.", checks.integer, None)
    max: int | None = setting("The highest value.", checks.integer, None)

    def accept(self, value: object) -> str:
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        value = checks.json_integer(value)
        if value is None:
            raise InvalidValue("takes an integer, such as 4")
        if abs(value) >= 10**40:
            raise InvalidValue("has more than 40 digits")
        return self._in_range(value, str(value))


@frozen(kw_only=True)
class Number(Ranged):
    """A finite decimal number, passed on in the shortest form that reads back."""

    kind = "number"

    min: float | None = setting("The lowest value.", checks.number, None)
    max: float | None = setting("The highest value.", checks.number, None)

    def accept(self, value: object) -> str:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidValue("takes a number, such as 0.5")
        if not abs(value) < 10**40:  # NaN compares false
            raise InvalidValue("must be finite and of less than 40 digits")
        text = repr(float(value)).removesuffix(".0")
        return self._in_range(value, text)


@frozen(kw_only=True)
class Boolean(Parameter):
    """Yes or no, passed on as C{true} or C{false}."""

    kind = "boolean"

    def accept(self, value: object) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if value in ("true", "false"):
            return str(value)
        raise InvalidValue("takes true or false")

    def _schema(self) -> Mapping[str, object]:
        return {"type": "boolean"}


@frozen(kw_only=True)
class Path(Parameter):
    """
    A file or folder inside one of C{roots}, passed on with symlinks resolved.

    A relative value starts at the first root. It need not exist.

    @ivar resolve: like L{os.path.realpath}; it gets absolute paths only.
    """

    kind = "path"

    roots: tuple[str, ...] = setting(
        "The folders that a value must be inside; required.", folders, ()
    )
    resolve: Callable[[str], str] = field(default=realpath, eq=False, repr=False)

    def accept(self, value: object) -> str:
        text = _text(value)
        if not text:
            raise InvalidValue("must not be empty")
        if len(text) > MAX_LENGTH:
            raise InvalidValue(f"is longer than {MAX_LENGTH} characters")
        found = self.resolve(text if isabs(text) else join(*self.roots[:1], text))
        if len(found) > MAX_LENGTH:
            raise InvalidValue(f"leads to a path of more than {MAX_LENGTH} characters")
        if self.resolve(found) != found:
            # realpath() resolves nothing behind a link that leads back to itself.
            raise InvalidValue("leads through symbolic links in a circle")
        for root in map(self.resolve, self.roots):
            if found == root or found.startswith(join(root, "")):
                return found
        raise InvalidValue("is outside the folders that this parameter allows")

    def _schema(self) -> Mapping[str, object]:
        return {"type": "string", "format": "path", "maxLength": MAX_LENGTH}


KINDS: Mapping[str, type[Parameter]] = {
    each.kind: each for each in (String, Integer, Number, Boolean, Path)
}
