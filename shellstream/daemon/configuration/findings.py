"""
What in a configuration is not as the operator meant it, most likely.

All of it is allowed, and depends on this system: a program may be installed later.
"""

import grp
import os
import pwd
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from attrs import frozen

from shellstream.config.command import SHELL, Command
from shellstream.config.loader import Config
from shellstream.config.templates import DOTTED, placeholders, script_in
from shellstream.model.reserved_words import SUBCOMMANDS
from shellstream.model.tables import quoted
from shellstream.process.environment import inherited
from shellstream.process.executable import find_loader, locate

#: How long before its end a certificate is reported.
SOON = timedelta(days=21)

#: Items that mean something to a shell alone.
_OPERATORS = frozenset({"|", "||", "&&", "&", ";", "<", ">", ">>", "2>", "2>&1", "&>"})

#: What a shell would replace, at the begin of an item or behind C{=}.
_HOME = re.compile(r"(?:.*=)?~(?:/.*)?", re.DOTALL)
# C{${NAME}} is a placeholder of ours; awk has variables of two letters.
_VARIABLE = re.compile(r"(?:.*=)?(\$[A-Z_][A-Z0-9_]{2,})(?:/.*)?", re.DOTALL)

#: Programs whose own arguments have a lone C{;}.
_FIND = re.compile(r"(.*/)?(find|fd|fdfind|tmux)")


@frozen
class Finding:
    """
    One of them.

    @ivar key: the key in the file, with all tables around it.
    @ivar prevents_start: whether the daemon would not start.
    """

    key: str
    text: str
    prevents_start: bool = False


def find_all(config: Config, now: datetime) -> list[Finding]:
    """All findings, commands first."""
    found = [
        Finding(
            f"commands.{quoted(command.name)}{key and '.'}{key}", text, key in _FATAL
        )
        for command in config.commands.values()
        for key, text in _of_command(command)
    ]
    return [*found, *_of_notifications(config), *_of_tls(config, now)]


def _of_notifications(config: Config) -> Iterator[Finding]:
    for to in config.notify.values():
        table = f"notify.{quoted(to.name)}"
        if to.argv:
            for key, text in _of_program(to.as_command()):
                yield Finding(f"{table}.{key}", text)
        if config.access.public_url is None:
            for key, text in to.templates():
                if "link" in placeholders(text, DOTTED):
                    nothing = "{link} stands for nothing: set public_url in [access]"
                    yield Finding(f"{table}.{key}", nothing)


#: Keys of a command without whose meaning the daemon does not start.
_FATAL = ("user", "group")


def program_of(command: Command) -> str:
    """
    The file of a command's program, as far as it is known before it is started.

    @raise OSError: if it does not exist, or cannot be executed.
    """
    name = SHELL if command.shell is not None else command.argv[0]
    path = {**inherited(os.environ), **command.env}.get("PATH")
    return locate(name, path, command.cwd)


def _of_command(command: Command) -> Iterator[tuple[str, str]]:
    if command.name in SUBCOMMANDS:
        yield (
            "",
            (
                f"a client takes {command.name!r} for a subcommand of its own; there, "
                f"type: shellstream run {command.name}"
            ),
        )
    yield from _of_accounts(command)
    if command.cwd is not None and not os.path.isdir(command.cwd):
        yield "cwd", f"there is no folder {command.cwd}"
    else:
        yield from _of_program(command)
    yield from _of_items(command)


def _of_accounts(command: Command) -> Iterator[tuple[str, str]]:
    known: tuple[tuple[str, str | None, Callable[[str], object]], ...] = (
        ("user", command.confine.user, pwd.getpwnam),
        ("group", command.confine.group, grp.getgrnam),
    )
    for key, name, look_up in known:
        try:
            if name is not None:
                look_up(name)
        except KeyError:
            yield key, f"there is no {key} {name!r} here"


def _of_program(command: Command) -> Iterator[tuple[str, str]]:
    key = "argv" if command.shell is None else "shell"
    name = SHELL if command.shell is not None else command.argv[0]
    try:
        find_loader(program_of(command))
    except OSError as error:
        if command.confine.user is not None and isinstance(error, PermissionError):
            return  # that user may
        hint = ""
        if len(command.argv) == 1 and re.search(r"\s", name):
            hint = "; each argument is an item of its own, as in ['ls', '-l']"
        yield key, f"{name}: {error.strerror}{hint}"


def _of_items(command: Command) -> Iterator[tuple[str, str]]:
    script = script_in(command.argv) if command.argv else None
    advice = "no shell reads argv; use the key shell for a script"
    for item in command.argv:
        variable = _VARIABLE.fullmatch(item)
        if item is script:
            continue
        if item in _OPERATORS and not (
            item == ";" and _FIND.fullmatch(command.argv[0])
        ):
            yield "argv", f"{item!r} is passed on as it stands: {advice}"
        elif _HOME.fullmatch(item):
            yield "argv", f"the ~ in {item!r} is passed on as it stands: {advice}"
        elif variable is not None:
            yield "argv", f"{variable[1]} is passed on as it stands: {advice}"


def _of_tls(config: Config, now: datetime) -> Iterator[Finding]:
    tls = config.tls
    if tls is None:
        return
    # With 14 MB of libraries, which most checks do not need.
    from shellstream.storage.tls_files import (
        TLSFileUnusable,
        read_authorities,
        read_certified_key,
    )

    chains = []
    try:
        if tls.certificate is not None and tls.key is not None:
            certified = read_certified_key(tls.certificate, tls.key)
            chains.append(("certificate", tls.certificate, certified.chain[:1]))
    except TLSFileUnusable as error:
        yield Finding("tls.certificate", str(error), prevents_start=True)
    try:
        if tls.client_ca is not None:
            found = read_authorities(tls.client_ca)
            chains.append(("client_ca", tls.client_ca, found))
    except TLSFileUnusable as error:
        yield Finding("tls.client_ca", str(error), prevents_start=True)
    for key, path, chain in chains:
        for each in chain:
            until = each.not_valid_after_utc
            if until <= now:
                yield Finding(f"tls.{key}", f"{path} has expired on {until.date()}")
            elif until <= now + SOON:
                yield Finding(f"tls.{key}", f"{path} expires on {until.date()}")
            elif each.not_valid_before_utc > now:
                since = each.not_valid_before_utc.date()
                yield Finding(f"tls.{key}", f"{path} is valid from {since} on only")
