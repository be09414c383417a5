"""The configuration: TOML text in, frozen values out, or every mistake at once."""

import re
import tomllib
from collections.abc import Iterable, Mapping

from attrs import evolve, field, frozen

from shellstream.model.checks import count, duration, string
from shellstream.model.errors import CommandUnknown, NoDefaultCommand, did_you_mean
from shellstream.model.limits import Limits
from shellstream.model.run_record import Retention
from shellstream.model.tables import Mistake, Table, quoted, section, setting
from shellstream.security.audit import AuditSettings
from shellstream.security.principals import (
    AccessSettings,
    check_access,
    read_principals,
)

from .command import Command
from .confinement import Confinement
from .http_limits import DEFAULT_HTTP_LIMITS, HttpLimits, check_http
from .notification import Notification, read_notifications
from .parameter_tables import read_parameter
from .templates import in_source, placeholders
from .tls_settings import TLS, check_tls
from .toml_lines import key_lines, line_of
from .toml_syntax import syntax_mistake

#: Names are parts of URLs.
COMMAND_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
#: Names are placeholders, and variables of a script.
PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


#: A quarter of the usual limit of the stack, 8 MiB (execve(2)), less some for the
#: variables that each run has.
MAX_ARGUMENTS = (2 << 20) - (128 << 10)


class ConfigError(Exception):
    """The configuration has mistakes; the text has a line for each."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


@frozen(kw_only=True)
class Config:
    """All that the operator decided."""

    commands: Mapping[str, Command]
    notify: Mapping[str, Notification] = {}
    default: str | None = setting("The command that `/stream` runs.", string, None)
    max_running: int = setting(
        "How many runs of all commands may run at once.", count, 1000
    )
    max_queued: int = setting(
        "How many runs may wait until they can start. One principal may have three "
        "quarters of these places, or fewer if others have many.",
        count,
        100,
    )
    drain: float = setting(
        "Time that a stopping daemon gives its runs to end; 0 for none.",
        duration,
        10.0,
    )
    keep: Retention = section(
        "How much of ended runs is kept. When a limit is exceeded, the oldest are "
        "deleted first: all that are too old, or else those of the principal that has "
        "the most.",
        Retention,
        Retention(),
    )
    audit: AuditSettings = section(
        "The audit: who did what.", AuditSettings, AuditSettings()
    )
    access: AccessSettings = section(
        "How clients reach the daemon.", AccessSettings, AccessSettings(), check_access
    )
    http: HttpLimits = section(
        "What clients may use.", HttpLimits, DEFAULT_HTTP_LIMITS, check_http
    )
    tls: TLS | None = section(
        "HTTPS. The table may be empty: then the daemon makes a certificate, for "
        "`--pin`.",
        TLS,
        None,
        check_tls,
    )

    def command(self, name: str | None) -> Command:
        """
        The command of this name; the default one for L{None}.

        @raise CommandUnknown: if no command has this name.
        @raise NoDefaultCommand: if no command is the default.
        """
        name = self.default if name is None else name
        if name is None:
            raise NoDefaultCommand
        if name not in self.commands:
            raise CommandUnknown(name, self.commands)
        return self.commands[name]

    def runs_by_get(self, command: Command) -> bool:
        """
        Whether C{GET} runs a command: one with C{get}, or the default one, which the
        operator chose for those who only open an address.
        """
        return command.get or command.name == self.default

    @property
    def programs(self) -> list[Command]:
        """All that may be started: the commands, and the programs of notifications."""
        told = (each.as_command() for each in self.notify.values() if each.argv)
        return [*self.commands.values(), *told]

    @property
    def secrets(self) -> frozenset[str]:
        """The names of all parameters whose values must stay hidden."""
        commands = self.commands.values()
        params = (each for command in commands for each in command.params.values())
        return frozenset(each.name for each in params if each.secret)


#: In place of a state folder: keep all state in memory.
IN_MEMORY = ":memory:"

#: In place of a file: L{DEMO}, whatever files there are.
BUILT_IN = ":demo:"

#: The configuration of a daemon that is given no file.
DEMO = Config(
    default="count",
    commands={
        "count": Command(  # noqa: S604  # nosec B604  # a script of our own
            name="count",
            description="Prints 1, 2 and 3, three seconds apart",
            shell="echo 1; sleep 3; echo 2; sleep 3; echo 3",
            get=True,
        )
    },
)


@frozen(eq=False)
class Source:
    """
    A file of the configuration.

    @ivar name: its path, for messages.
    """

    text: str
    name: str = ""
    _mistakes: list[Mistake] = field(factory=list, init=False)

    def read(self) -> Table:
        """
        Its top table, whose mistakes are kept for L{mistakes}.

        @raise ConfigError: if its syntax is wrong.
        """
        try:
            document = tomllib.loads(self.text)
        except (ValueError, RecursionError) as error:
            mistake = syntax_mistake(self.text, error, self.name)
            raise ConfigError([mistake]) from None
        return Table("", "", document, self._mistakes)

    def mistakes(self) -> list[Mistake]:
        """All that were found in it; those of a file with a name have their lines."""
        if not (self.name and self._mistakes):
            return self._mistakes
        lines = key_lines(self.text)
        found = [(line_of(each.key, lines), each) for each in self._mistakes]
        found.sort(key=lambda each: each[0])
        return [evolve(each, place=f"{self.name}:{line}") for line, each in found]

    def place_of(self, key: str) -> str:
        """The place of a key, for messages."""
        return f"{self.name}:{line_of(key, key_lines(self.text))}"

    def has(self, key: str) -> bool:
        """Whether a key, or the table around it such as C{[commands.NAME]}, is here."""
        lines = key_lines(self.text)
        while "." in key and key not in lines:
            key = key.rpartition(".")[0]
        return key in lines and (key != "commands")


def parse(text: str, name: str = "", added: Iterable[Source] = ()) -> Config:
    """
    Read a configuration.

    @param text: TOML 1.0.
    @param name: the path of its file, for messages.
    @param added: files that hold commands, and nothing else. Their commands have the
        defaults of this one.
    @raise ConfigError: with all of its mistakes.
    """
    sources = [Source(text, name), *added]
    tables: dict[Source, Table] = {}
    mistakes: list[Mistake] = []
    for source in sources:
        try:
            tables[source] = source.read()
        except ConfigError as error:
            mistakes += error.mistakes
    # Without all files nobody knows whether what they say fits together.
    if not mistakes:
        config = _read_config(tables)
        mistakes = [each for source in sources for each in source.mistakes()]
    if mistakes:
        raise ConfigError(mistakes)
    return config


def _read_config(tables: Mapping[Source, Table]) -> Config:
    main, *added = tables.values()
    # The top of the file is read like one more command: what it has becomes the
    # fallback of all others.
    common = _read_command_settings(main, Command(name=""), shared_only=True)
    declared = _command_tables(tables)
    commands = {each.name: _read_command(each, common) for each in declared}
    # Not the commands that could be read: if all are wrong, that is reported already.
    if all(each.raw("commands") in (None, {}) for each in tables.values()):
        main.report("commands", "nothing", "at least one table [commands.NAME]")
    for table in added:
        table.report_others("commands", "only tables [commands.NAME] in this folder")
    config = main.read_settings(Config, commands=commands)
    if config.default is not None and config.default not in commands:
        hint = did_you_mean(config.default, commands)
        names = ", ".join(commands)
        found = f"{config.default!r}{hint}"
        main.report("default", found, f"a command's name: {names}")
    for each in declared:
        if each.name == config.default and each.raw("get") is False:
            why = "true, or nothing: GET runs the default command"
            each.report("get", "false", why)
    access = evolve(config.access, known=read_principals(main))
    notify = read_notifications(main, commands, common.confine)
    main.report_unknown()
    return evolve(config, access=access, notify=notify)


def _command_tables(tables: Mapping[Source, Table]) -> list[Table]:
    """The tables of all commands, each name once."""
    found: dict[str, Table] = {}
    places: dict[str, Source] = {}
    for source, table in tables.items():
        for each in table.tables("commands", COMMAND_NAME):
            if each.name in found:
                key = f"commands.{quoted(each.name)}"
                first = places[each.name].place_of(key)
                table.report(key, "a name that is taken", f"another; {first} has it")
            else:
                found[each.name], places[each.name] = each, source
    return list(found.values())


def _read_command_settings(
    table: Table, fallback: Command, *, shared_only: bool = False, **others: object
) -> Command:
    return table.read_settings(
        Command,
        fallback,
        shared_only=shared_only,
        name=table.name,
        limits=table.read_settings(Limits, fallback.limits, shared_only=shared_only),
        confine=table.read_settings(
            Confinement, fallback.confine, shared_only=shared_only
        ),
        **others,
    )


def _read_command(table: Table, common: Command) -> Command:
    """
    What a table C{[commands.NAME]} declares.

    @param common: has the values of the keys that are absent.
    """
    params = {
        each.name: read_parameter(each)
        for each in table.tables("params", PARAMETER_NAME)
    }
    command = _read_command_settings(table, common, params=params)
    # If argv or shell is wrong itself, it is empty now, and no rule applies to it.
    if ("argv" in table) == ("shell" in table):
        found = "both argv and shell" if "argv" in table else "nothing to run"
        table.report("argv", found, "either argv (a list) or shell (a script)")
    elif command.argv:
        _check_argv(table, command)
    elif command.shell:
        _check_script(table, command)
    _check_defaults(table, command)
    _check_size(table, command)
    table.report_unknown()
    return command


def _check_argv(table: Table, command: Command) -> None:
    used = {name for item in command.argv for name in placeholders(item)}
    for name in sorted(used - set(command.params)):
        hint = did_you_mean(name, command.params)
        allowed = f"declared parameters; {{{{{name}}}}} stands for literal braces"
        table.report("argv", f"the placeholder {{{name}}}{hint}", allowed)
    for name in sorted(used & set(command.params)):
        if command.params[name].secret:
            allowed = "shell, which has it as a variable: ps shows argv to everybody"
            table.report(f"params.{name}.secret", "true, with argv", allowed)
    for name in in_source(command.argv):
        allowed = (
            f'the key shell in place of argv, with "${name}" in the script: here a '
            "client could add commands of its own"
        )
        table.report("argv", f"{{{name}}} in the source of a script", allowed)
    for name in sorted(set(command.params) - used):
        allowed = f"a parameter that argv uses as {{{name}}}"
        table.report(f"params.{name}", "a parameter that is not used", allowed)


def _check_size(table: Table, command: Command) -> None:
    texts = [*command.argv, *(f"{k}={v}" for k, v in command.env.items())]
    # Each item costs a pointer, too.
    total = sum(len(each.encode()) + 9 for each in texts)
    if total > MAX_ARGUMENTS:
        key = "argv" if command.argv else "env"
        allowed = f"{MAX_ARGUMENTS} bytes, which is what Linux takes for argv and env"
        table.report(key, f"{total} bytes in all", allowed)


def _check_script(table: Table, command: Command) -> None:
    for name in command.params:
        # POSIX (XBD 8.1) reserves names with lower-case letters for applications. A
        # client that could set PATH or BASH_ENV would steer the shell itself.
        if name == name.upper():
            allowed = "a name with a lower-case letter: it becomes a variable"
            table.report(f"params.{name}", f"the name {name!r}", allowed)
        script = command.shell or ""
        if f"{{{name}}}" in script and re.search(rf"\${{?{name}\b", script) is None:
            allowed = f'"${name}": in a script parameters are variables'
            table.report("shell", f"{{{name}}}", allowed)


def _check_defaults(table: Table, command: Command) -> None:
    # A required parameter has no value yet; "x" stands for it.
    values = {
        name: "x" if (text := parameter.default) is None else parameter.accept(text)
        for name, parameter in command.params.items()
    }
    for name in command.read_as_options(values):
        if name in command.params:
            allowed = (
                "a default that is not read as an option, or allow_leading_dash = true"
            )
            table.report(f"params.{name}.default", repr(values[name]), allowed)
