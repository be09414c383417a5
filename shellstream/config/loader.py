"""The configuration: TOML text in, frozen values out, or every mistake at once."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from attrs import evolve, frozen

from shellstream.model import tables
from shellstream.model.errors import did_you_mean
from shellstream.model.events import OnDisconnect
from shellstream.model.limits import Limits, OnFull, Sync, WhenBusy
from shellstream.model.run_record import Retention
from shellstream.model.tables import Mistake, NotAllowed, Table
from shellstream.security.audit import DEFAULT_AUDITING, Auditing
from shellstream.security.audit import read as read_audit
from shellstream.security.principals import EVERYBODY, Access, read_access

from . import http_limits, tls_settings
from .command import Command, placeholders
from .confinement import Confinement
from .http_limits import DEFAULT_HTTP_LIMITS, HttpLimits
from .parameter_tables import parameter
from .tls_settings import TLS
from .unbuffer import Unbuffer

T = TypeVar("T")

_COMMAND_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


class ConfigError(Exception):
    """The configuration holds mistakes; the text has a line for each."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


#: Thirty days, and no more than fits on the card of a Raspberry Pi.
DEFAULT_RETENTION = Retention(age=30 * 86_400.0, runs=100_000, bytes=4 << 30)


@frozen(kw_only=True)
class Config:
    """
    All that the operator decided.

    @ivar default: name of the command that C{/stream} runs, if any.
    @ivar max_running: how many commands may run at once.
    @ivar max_queued: how many may wait for that.
    @ivar drain: seconds that a daemon which stops gives to what runs.
    @ivar access: how people reach the daemon, and are known.
    @ivar keep: how much of ended runs is kept.
    @ivar tls: how TLS is spoken; L{None} if it is not.
    @ivar http: what clients may take.
    @ivar audit: where it is kept who did what.
    """

    commands: Mapping[str, Command]
    default: str | None = None
    max_running: int = 1000
    max_queued: int = 100
    drain: float = 10.0
    keep: Retention = DEFAULT_RETENTION
    access: Access = EVERYBODY
    tls: TLS | None = None
    http: HttpLimits = DEFAULT_HTTP_LIMITS
    audit: Auditing = DEFAULT_AUDITING

    @property
    def secrets(self) -> frozenset[str]:
        """The names of all parameters whose values nobody is to see."""
        commands = self.commands.values()
        params = (each for command in commands for each in command.params.values())
        return frozenset(each.name for each in params if each.secret)


#: What runs without a configuration: the demonstration this project began with.
DEMO = Config(
    default="demo",
    commands={
        "demo": Command(  # noqa: S604  # nosec B604  # a script of our own
            name="demo",
            description="Prints 1, 2 and 3, three seconds apart",
            shell="echo 1; sleep 3; echo 2; sleep 3; echo 3",
            get=True,
        )
    },
)


def parse(text: str) -> Config:
    """
    Read a configuration.

    @param text: TOML 1.0.
    @raise ConfigMistaken: with all that is wrong with it.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError([Mistake("(file)", str(error), "TOML 1.0")]) from None
    mistakes: list[Mistake] = []
    config = _config(Table("", "", document, mistakes))
    if mistakes:
        raise ConfigError(mistakes)
    return config


def _config(table: Table) -> Config:
    common = _common(table, Command(name=""))
    commands = {
        each.name: _command(each, common)
        for each in table.tables("commands", _COMMAND_NAME)
    }
    if table.raw("commands") in (None, {}):
        table.report("commands", "nothing", "at least one table [commands.NAME]")
    default = table.read("default", tables.string, None)
    if default is not None and default not in commands:
        hint = did_you_mean(default, commands)
        names = ", ".join(commands)
        table.report("default", f"{default!r}{hint}", f"a command's name: {names}")
    config = Config(
        commands=commands,
        default=default,
        max_running=table.read("max_running", tables.count, 1000),
        max_queued=table.read("max_queued", tables.count, 100),
        drain=table.read("drain", tables.duration, 10.0),
        keep=_keep(table),
        access=read_access(table),
        tls=_tls(table),
        http=http_limits.read(table.table("http")),
        audit=read_audit(table.table("audit")),
    )
    table.report_unknown()
    return config


def _keep(table: Table) -> Retention:
    found = table.table("keep")
    keep = Retention(
        age=found.read("age", tables.seconds, DEFAULT_RETENTION.age),
        runs=found.read("runs", tables.count, DEFAULT_RETENTION.runs),
        bytes=found.read("bytes", tables.size, DEFAULT_RETENTION.bytes),
    )
    found.report_unknown()
    return keep


def _tls(table: Table) -> TLS | None:
    found = tls_settings.read(table.table("tls"))
    return found if "tls" in table else None  # an empty one means something


def _common(table: Table, default: Command) -> Command:
    """What a table may have that the file has for every command, with its name."""
    return Command(
        name=table.name,
        stdin=table.read("stdin", tables.boolean, default.stdin),
        tty=table.read("tty", tables.boolean, default.tty),
        unbuffer=table.read("unbuffer", tables.one_of(Unbuffer), default.unbuffer),
        limits=_limits(table, default.limits),
        confine=_confine(table, default.confine),
    )


@frozen
class _Inheriting:
    """Takes values out of a table, or from what is every command's."""

    _table: Table
    _default: object

    def __call__(self, name: str, check: Callable[[object], T]) -> T:
        fallback: T = getattr(self._default, name)
        return self._table.read(name, check, fallback)


def _limits(table: Table, default: Limits) -> Limits:
    take = _Inheriting(table, default)
    return Limits(
        timeout=take("timeout", tables.seconds),
        idle_timeout=take("idle_timeout", tables.seconds),
        grace=take("grace", tables.seconds),
        on_disconnect=take("on_disconnect", tables.one_of(OnDisconnect)),
        linger=take("linger", tables.duration),
        stall_timeout=take("stall_timeout", tables.seconds),
        retain=take("retain", tables.size),
        on_full=take("on_full", tables.one_of(OnFull)),
        sync=take("sync", tables.one_of(Sync)),
        when_busy=take("when_busy", tables.one_of(WhenBusy)),
    )


def _confine(table: Table, default: Confinement) -> Confinement:
    take = _Inheriting(table, default)
    return Confinement(
        user=take("user", tables.name),
        group=take("group", tables.name),
        umask=take("umask", tables.mask),
        nice=take("nice", tables.niceness),
        memory=take("memory", tables.size),
        cpu_seconds=take("cpu_seconds", tables.count),
        processes=take("processes", tables.count),
        open_files=take("open_files", tables.count),
        file_size=take("file_size", tables.size),
        no_new_privileges=take("no_new_privileges", tables.boolean),
        die_with_daemon=take("die_with_daemon", tables.boolean),
    )


def _command(table: Table, default: Command) -> Command:
    params = {
        each.name: parameter(each) for each in table.tables("params", _PARAMETER_NAME)
    }
    common = _common(table, default)
    command = evolve(  # nosec B604  # a script of the operator's
        common,
        argv=table.read("argv", _argv, ()),
        shell=table.read("shell", _script, None),
        description=table.read("description", tables.string, ""),
        get=table.read("get", tables.boolean, False),
        cwd=table.read("cwd", tables.folder, None),
        env=table.read("env", tables.variables, {}),
        limits=evolve(
            common.limits,
            max_running=table.read("max_running", tables.count, None),
        ),
        params=params,
    )
    if ("argv" in table) == ("shell" in table):
        found = "both argv and shell" if "argv" in table else "nothing to run"
        table.report("argv", found, "either argv (a list) or shell (a script)")
    elif command.argv:
        _check_argv(table, command)
    elif command.shell:
        _check_script(table, command)
    _check_defaults(table, command)
    table.report_unknown()
    return command


def _argv(value: object) -> tuple[str, ...]:
    argv = tables.strings(value)
    if not argv[0] or placeholders(argv[0]):
        raise NotAllowed("a list whose first item names the program, as it stands")
    return argv


def _script(value: object) -> str:
    if not tables.string(value).strip():
        raise NotAllowed("a script for /bin/sh that is not empty")
    return tables.string(value)


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
    for name in sorted(set(command.params) - used):
        allowed = f"a parameter that argv uses as {{{name}}}"
        table.report(f"params.{name}", "a parameter that fills nothing", allowed)


def _check_script(table: Table, command: Command) -> None:
    for name in command.params:
        # POSIX (XBD 8.1) keeps names with lower-case letters for applications;
        # PATH or BASH_ENV in a client's hands would steer the shell itself.
        if name == name.upper():
            allowed = "a name with a lower-case letter: it becomes a variable"
            table.report(f"params.{name}", f"the name {name!r}", allowed)


def _check_defaults(table: Table, command: Command) -> None:
    # What is required will be something; "x" stands for it.
    values = {
        name: "x" if (text := parameter.default) is None else parameter.accept(text)
        for name, parameter in command.params.items()
    }
    for name in command.read_as_options(values):
        if name in command.params:
            allowed = "a default that makes no option, or allow_leading_dash = true"
            table.report(f"params.{name}.default", repr(values[name]), allowed)
