"""A command as the operator declared it, and how it becomes an argv."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress

from attrs import field, frozen

from shellstream.model.errors import (
    CannotStart,
    ParametersRefused,
    RefusedParameter,
    did_you_mean,
)
from shellstream.model.limits import Limits
from shellstream.model.run_input import Tty

from .confinement import Confinement
from .parameters import Integer, InvalidValue, Number, Parameter, String
from .unbuffer import Unbuffer

#: What is shown in place of a secret.
MASK = "***"

#: C{{name}} is filled in; C{{{name}}} stands for itself; other braces do too.
_PLACEHOLDER = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\}", re.ASCII)

SHELL = "/bin/sh"


@frozen
class Invocation:
    """
    What is executed: exactly these items, and these variables on top.

    @ivar params: every parameter with the value that it came to have; secret ones
        with L{MASK}.
    @ivar secrets: the values of those.
    @ivar stdin: whether something will be put into its standard input.
    @ivar tty: the terminal for all that it reads and writes, if it has one.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    params: Mapping[str, str]
    stdin: bool = False
    tty: Tty | None = None
    secrets: Mapping[str, str] = field(factory=dict, repr=False)


@frozen(kw_only=True)
class Command:
    """
    A named command: an argv, or a script that the operator wrote.

    @ivar get: whether C{GET /stream/NAME} may run it.
    @ivar stdin: whether clients may send it input.
    @ivar tty: whether they may sit down at a terminal with it.
    @ivar cwd: working directory; L{None}: the daemon's.
    @ivar confine: what it has that the daemon has not.
    """

    name: str
    argv: tuple[str, ...] = ()
    shell: str | None = None
    description: str = ""
    get: bool = False
    stdin: bool = False
    tty: bool = False
    cwd: str | None = None
    env: Mapping[str, str] = {}
    unbuffer: Unbuffer = Unbuffer.AUTO
    limits: Limits = field(factory=Limits)
    confine: Confinement = field(factory=Confinement)
    params: Mapping[str, Parameter] = {}

    def invoke(
        self,
        given: Iterable[tuple[str, object]],
        stdin: bool = False,
        tty: Tty | None = None,
    ) -> Invocation:
        """
        Fill this command with what a client sent.

        No value ever adds or removes an argv item, and none is ever part of a
        shell's source: a script gets them as environment variables.

        @param given: pairs, in the order sent, so that repeats can be seen.
        @param stdin: whether it is to have input; on a terminal it has, anyway.
        @raise ParametersRefused: naming every parameter that does not fit.
        """
        values, refusals = self._accept(given)
        if tty is not None and not self.tty:
            refusals.append(_not_for(self, "tty"))
        elif tty is None and stdin and not self.stdin:
            refusals.append(_not_for(self, "stdin"))
        stdin = stdin or tty is not None
        for name in filter(values.__contains__, self.read_as_options(values)):
            led = values[name].startswith("-")
            detail = "must not begin with '-'" if led else "must not be empty here"
            refusals.append(RefusedParameter(name, detail))
        if refusals:
            raise ParametersRefused(refusals)
        params = self.masked(values.items())
        secrets = {n: text for n, text in values.items() if self.params[n].secret}
        if self.shell is not None:
            argv: tuple[str, ...] = (SHELL, "-c", self.shell, self.name)
            return Invocation(argv, values, params, stdin, tty, secrets)
        argv = tuple(_fill(each, values) for each in self.argv)
        return Invocation(argv, {}, params, stdin, tty, secrets)

    def masked(self, given: Iterable[tuple[str, object]]) -> dict[str, str]:
        """
        What may be shown of parameters, as they were sent or as they came to be:
        of those that are undeclared, which may be a secret that is misspelt, nothing.
        """
        return {
            name: MASK if self.params[name].secret else str(value)
            for name, value in given
            if name in self.params and isinstance(value, str | int | float)
        }

    def _accept(
        self, given: Iterable[tuple[str, object]]
    ) -> tuple[dict[str, str], list[RefusedParameter]]:
        refusals: dict[str, str] = {}
        values: dict[str, str] = {}
        seen: set[str] = set()
        for name, value in given:
            parameter = self.params.get(name)
            if parameter is None:
                hint = did_you_mean(name, self.params) if len(name) < 80 else ""
                refusals[name[:80]] = f"is no parameter of {self.name!r}{hint}"
            elif name in seen:
                refusals[name] = "is given more than once"
            elif parameter.secret and value == "" and parameter.default is not None:
                continue  # as a form sends it, which cannot show the default
            else:
                try:
                    values[name] = parameter.accept(value)
                except InvalidValue as unfit:
                    refusals[name] = str(unfit)
            seen.add(name)
        for name, parameter in self.params.items():
            if name in seen:
                continue
            if parameter.default is None:
                refusals[name] = "is required"
                continue
            try:  # a path's may lead elsewhere by now
                values[name] = parameter.accept(parameter.default)
            except InvalidValue as unfit:
                refusals[name] = f"is left out, and its default {unfit}"
        return values, [
            RefusedParameter(name, detail) for name, detail in refusals.items()
        ]

    def recheck_paths(self, invocation: Invocation) -> None:
        """
        See that values still are what they were when they were taken.

        @raise CannotStart: if one, a path, has come to lead elsewhere.
        """
        values = {**invocation.params, **invocation.secrets}
        for name, value in values.items():
            with suppress(InvalidValue):
                if self.params[name].accept(value) == value:
                    continue
            why = f"the path in {name!r} has come to lead elsewhere; send it again"
            raise CannotStart(self.name, why)

    def read_as_options(self, values: Mapping[str, str]) -> list[str]:
        """
        The parameters by whose values an item begins with C{-} that would not.

        A script may use its variables as items, so there every one counts.
        """
        if self.shell is not None:
            leaders: Iterable[str | None] = (
                name for name, value in values.items() if value.startswith("-")
            )
        else:
            leaders = (_leader(template, values) for template in self.argv)
        return [
            name
            for name in dict.fromkeys(leaders)
            if name is not None
            and not (
                values.get(name) and _dash_is_meant(self.params[name], values[name])
            )
        ]


def _not_for(command: Command, wish: str) -> RefusedParameter:
    why = f"is not for {command.name!r}; whoever runs the daemon can allow it, with"
    return RefusedParameter(wish, f"{why} {wish} = true")


def placeholders(template: str) -> list[str]:
    """The names that an argv item is filled with, in order."""
    return [name for _, name in _PLACEHOLDER.findall(template) if name]


def _fill(template: str, values: Mapping[str, str]) -> str:
    def put(match: re.Match[str]) -> str:
        literal, name = match.groups()
        return f"{{{literal}}}" if literal else values.get(name, "")

    return _PLACEHOLDER.sub(put, template)


def _leader(template: str, values: Mapping[str, str]) -> str | None:
    """The parameter that makes an item begin with a dash, if one does."""
    if template.startswith("-") or not _fill(template, values).startswith("-"):
        return None
    position = 0
    for match in _PLACEHOLDER.finditer(template):
        if match.start() != position:
            break
        if values.get(match[2], "").startswith("-"):
            return match[2]
        position = match.end()
    return placeholders(template)[0]  # it is empty, and bares a dash behind it


def _dash_is_meant(parameter: Parameter, value: str) -> bool:
    """Whether the operator has said that this value may begin with a dash."""
    match parameter:
        case Integer(min=low) | Number(min=low) if low is not None and low < 0:
            return True
        case String(choices=choices) if choices is not None:
            return value in choices
    return parameter.allow_leading_dash
