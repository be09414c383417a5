"""A command as the operator declared it, and how a request makes an argv of it."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import Enum

from attrs import field, frozen

from shellstream.model import checks
from shellstream.model.checks import NotAllowed, boolean, check, one_of, string
from shellstream.model.errors import (
    MAX_SHOWN,
    UNKNOWN_NAME,
    CannotStart,
    ParametersRefused,
    RefusedParameter,
    did_you_mean,
)
from shellstream.model.limits import Limits
from shellstream.model.run_input import Tty
from shellstream.model.tables import setting

from .confinement import Confinement
from .parameters import InvalidValue, Parameter, Ranged, String
from .templates import PLACEHOLDER, fill, placeholders

#: Shown in place of a secret.
MASK = "***"

#: Not $SHELL: a script must mean the same wherever the daemon is started.
SHELL = "/bin/sh"


class Unbuffer(Enum):
    """
    How programs are kept from holding their output back.

    L{shellstream.process.unbuffering} puts it into force.
    """

    AUTO = "auto"
    PTY = "pty"
    OFF = "off"


@check(checks.arguments.allowed, checks.arguments.schema)
def program(value: object) -> tuple[str, ...]:
    argv = checks.arguments(value)
    if not argv[0] or placeholders(argv[0]):
        raise NotAllowed("a list whose first item names the program, as it stands")
    return argv


@check(
    "a script for /bin/sh that is not empty",
    {"type": "string", "pattern": r"\S"},
)
def _script(value: object) -> str | None:
    script = checks.string(value)
    if len(script.encode()) > checks.MAX_ARGUMENT:
        allowed = f"at most {checks.MAX_ARGUMENT} bytes; put a longer one in a file"
        raise NotAllowed(allowed)
    return script if script.strip() else None


@frozen
class Invocation:
    """
    What is executed: exactly this argv, with these variables added to the environment.

    @ivar params: the values of all parameters; L{MASK} for those that are secret.
    @ivar secrets: the values of the secret parameters.
    @ivar stdin: whether clients may send input.
    @ivar tty: the terminal for input and output, if it has one.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    params: Mapping[str, str]
    stdin: bool = False
    tty: Tty | None = None
    secrets: Mapping[str, str] = field(factory=dict, repr=False)


@frozen(kw_only=True)
class Command:
    """A named command: an argv, or a script that the operator wrote."""

    name: str
    argv: tuple[str, ...] = setting(
        "The program and its arguments, executed without a shell. `{name}` stands for "
        "the value of a parameter.",
        program,
        (),
        shared=False,
    )
    shell: str | None = setting(
        "A script for `/bin/sh`, instead of `argv`. Parameters are its variables.",
        _script,
        None,
        shared=False,
    )
    description: str = setting("One line for clients.", string, "", shared=False)
    heading: str = setting(
        "The heading below which the page for browsers lists it.",
        string,
        "",
        shared=False,
    )
    confirm: str = setting(
        "A question that the page for browsers asks before it starts the command.",
        string,
        "",
        shared=False,
    )
    get: bool = setting(
        "Whether `GET /stream/NAME` may run it, not only POST; it always runs the "
        "default command.",
        boolean,
        False,
        shared=False,
    )
    stdin: bool = setting("Whether clients may send it input.", boolean, False)
    tty: bool = setting(
        "Whether clients may use it on a terminal. What they type reaches the program.",
        boolean,
        False,
    )
    cwd: str | None = setting(
        "The working directory; without it, the daemon's own.",
        checks.folder,
        None,
        shared=False,
    )
    env: Mapping[str, str] = setting(
        "Variables beside `PATH`, `HOME`, `USER`, `LANG`, `TZ` and a few more.",
        checks.variables,
        {},
        shared=False,
    )
    unbuffer: Unbuffer = setting(
        "How programs are kept from holding output back: `auto` by variables and "
        "`stdbuf`, `pty` by a terminal, or `off`.",
        one_of(Unbuffer),
        Unbuffer.AUTO,
    )
    color: bool = setting(
        "Whether programs are told to write colors: `FORCE_COLOR`, `CLICOLOR_FORCE` "
        "and a `TERM` that has them.",
        boolean,
        False,
    )
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
        Fill this command with the values that a client sent.

        A value never adds or removes an argv item. It is never part of a script's
        source: a script gets it as an environment variable.

        @param given: pairs in the order sent, so that repeats are found.
        @param stdin: whether the client will send input; on a terminal it always may.
        @raise ParametersRefused: names every parameter that does not fit.
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
            # The name becomes $0, with which the shell begins its messages.
            argv: tuple[str, ...] = (SHELL, "-c", self.shell, self.name)
            return Invocation(argv, values, params, stdin, tty, secrets)
        argv = tuple(fill(each, values) for each in self.argv)
        return Invocation(argv, {}, params, stdin, tty, secrets)

    @property
    def required(self) -> list[str]:
        """The names of the parameters without a default."""
        return [each.name for each in self.params.values() if each.default is None]

    def parameter_schema(self) -> dict[str, object]:
        """The parameters, as JSON Schema (draft 2020-12)."""
        params = self.params.values()
        return {
            "type": "object",
            "properties": {each.name: each.schema() for each in params},
            "required": self.required,
            "additionalProperties": False,
        }

    def masked(self, given: Iterable[tuple[str, object]]) -> dict[str, str]:
        """
        Parameters as they may be shown. Undeclared ones are left out: one of them may
        be a secret whose name is misspelt.
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
        unknown: set[str] = set()
        values: dict[str, str] = {}
        seen: set[str] = set()
        hinted = False
        for name, value in given:
            parameter = self.params.get(name)
            if parameter is None:
                # One hint, for the first: it costs more than all else here.
                hint = "" if hinted else did_you_mean(name, self.params)
                hinted = True
                why = f"is not a parameter of {self.name!r}{hint}"
                refusals[name[:MAX_SHOWN]] = why
                unknown.add(name[:MAX_SHOWN])
            elif name in seen:
                refusals[name] = "is given more than once"
            elif parameter.secret and value == "" and parameter.default is not None:
                continue  # a form sends this, since it cannot show the default
            else:
                try:
                    values[name] = parameter.accept(value)
                except InvalidValue as invalid:
                    refusals[name] = str(invalid)
            seen.add(name)
        for name, parameter in self.params.items():
            if name in seen:
                continue
            if parameter.default is None:
                refusals[name] = f"is required ({parameter.values()})"
                continue
            try:  # by now the default of a path may lead elsewhere
                values[name] = parameter.accept(parameter.default)
            except InvalidValue as invalid:
                refusals[name] = f"is left out, and its default {invalid}"
        return values, [
            RefusedParameter(name, detail, UNKNOWN_NAME if name in unknown else "")
            for name, detail in refusals.items()
        ]

    def recheck_paths(self, invocation: Invocation) -> None:
        """
        Check the values again, just before the start.

        A run may have waited for hours. Meanwhile somebody may have replaced a folder
        of a path by a symbolic link out of the roots.

        @raise CannotStart: if a path now leads elsewhere.
        """
        values = {**invocation.params, **invocation.secrets}
        for name, value in values.items():
            with suppress(InvalidValue):
                if self.params[name].accept(value) == value:
                    continue
            why = f"the path in {name!r} now leads elsewhere; send it again"
            raise CannotStart(self.name, why)

    def read_as_options(self, values: Mapping[str, str]) -> list[str]:
        """
        The parameters whose values a program would read as options, since they make
        an item begin with C{-}.

        A script may use any variable as an item, so there all of them count.
        """
        if self.shell is not None:
            leaders: Iterable[str | None] = (
                name for name, value in values.items() if value.startswith("-")
            )
        else:
            leaders = (_leader(template, values) for template in self.argv)
        return [
            name
            for name in dict.fromkeys(leaders)  # each once, in order
            if name is not None
            and not (
                values.get(name) and _dash_is_meant(self.params[name], values[name])
            )
        ]


def _not_for(command: Command, wish: str) -> RefusedParameter:
    why = f"is not allowed for {command.name!r}; the operator can allow it with"
    return RefusedParameter(wish, f"{why} {wish} = true")


def _leader(template: str, values: Mapping[str, str]) -> str | None:
    """The parameter that makes an item begin with a dash, if there is one."""
    if template.startswith("-") or not fill(template, values).startswith("-"):
        return None  # then it is the operator's dash, or there is none
    position = 0
    for match in PLACEHOLDER.finditer(template):
        if match.start() != position:
            break
        if values.get(match[2], "").startswith("-"):
            return match[2]
        position = match.end()
    return placeholders(template)[0]  # it is empty, and a dash follows it


def _dash_is_meant(parameter: Parameter, value: str) -> bool:
    """Whether the operator has said that this value may begin with a dash."""
    match parameter:
        case Ranged(min=low) if low is not None and low < 0:
            return True
        case String(choices=choices) if choices is not None:
            return value in choices
    return parameter.allow_leading_dash
