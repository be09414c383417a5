"""What a configuration means, in words for its operator."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path

from attrs import frozen

from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.config.notification_trigger import Trigger
from shellstream.config.tls_settings import TLS_PREFIX
from shellstream.model.limits import WhenBusy
from shellstream.model.quantities import show_size, show_time
from shellstream.security.authorization import Grant, action_names
from shellstream.security.principals import ANY_NAME, PROXIED, UNIX

from .findings import program_of

#: The most characters of a command line.
MOST_SHOWN = 100


@frozen
class Explained:
    """
    What is explained.

    @ivar listen: the descriptions of the endpoints.
    @ivar insecure: whether no authentication is wanted.
    @ivar has_tokens: whether there are tokens in the state folder, or were;
        L{None} if that cannot be told.
    @ivar folder: the state folder; L{None} if there is none.
    """

    config: Config
    listen: Sequence[str]
    insecure: bool = False
    has_tokens: bool | None = False
    folder: Path | None = None

    @property
    def needs_credential(self) -> bool:
        """Whether all clients have to authenticate."""
        return self.needs_without_tokens or (
            bool(self.has_tokens) and not self.insecure
        )

    @property
    def needs_without_tokens(self) -> bool:
        """Whether they have to even if no token was ever made."""
        exposed = any(map(is_exposed, self.listen))
        proxied = all(map(self.is_proxied, self.listen))
        return (exposed or bool(self.config.access.known) or proxied) and (
            not self.insecure
        )

    def is_proxied(self, description: str) -> bool:
        """Whether programs of this machine count as a proxy at an endpoint."""
        kind, _, host = _endpoint(description)
        return description.removeprefix(TLS_PREFIX).startswith(PROXIED) or (
            self.config.access.is_proxy(UNIX if kind == UNIX else host)
        )


def explain(what: Explained) -> Iterator[str]:
    """The lines: a heading for each subject, and lines below it."""
    for heading, section in SECTIONS:
        lines = list(section(what))
        if lines:
            yield f"{heading}:"
            yield from (f"  {line}" for line in lines)


def _listening(what: Explained) -> Iterator[str]:
    for description in what.listen:
        who = "only this machine can connect"
        if is_exposed(description):
            who = "other machines can connect"
        elif what.is_proxied(description) and not what.insecure:
            who += ", and needs a credential, as one of proxies in [access]"
        yield f"{_address(description)}: {who}"
    by_tokens = "" if what.folder is None else f"by the tokens in {what.folder}: "
    if what.insecure:
        yield "no request needs a credential (--insecure)"
    elif what.needs_credential:
        by = "" if what.needs_without_tokens else by_tokens
        yield f"{by}every request needs a credential"
    else:
        yield (
            f"{by_tokens}no credential is needed until the first token is made, except "
            "for what comes through a proxy"
        )
        if what.has_tokens is None:
            yield "(whether there are tokens cannot be told: the state is closed)"


def is_exposed(description: str) -> bool:
    """Whether other machines may reach an endpoint; they may if it is not known."""
    kind, _, host = _endpoint(description)
    try:
        return kind != "unix" and not ip_address(host).is_loopback
    except ValueError:
        return True


def _endpoint(description: str) -> tuple[str, str, str]:
    """The kind of an endpoint, its port or path, and its host, if it says so."""
    plain = description.removeprefix(TLS_PREFIX).removeprefix(PROXIED)
    kind, *parts = re.split(r"(?<!\\):", plain)
    given = dict(part.split("=", 1) for part in parts if "=" in part)
    first = parts[0] if parts and "=" not in parts[0] else given.get("port", "")
    return kind, first, given.get("interface", "").replace("\\", "")


def _address(description: str) -> str:
    kind, port, host = _endpoint(description)
    if kind not in ("tcp", "tcp6") or not host:
        return description
    scheme = "https" if description.startswith(TLS_PREFIX) else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _principals(what: Explained) -> Iterator[str]:
    config, access = what.config, what.config.access
    if not what.needs_credential:
        yield "whoever can connect, without a credential: everything"
    yield "a token: what it was made for (shellstreamd tokens list)"
    for name, known in access.known.items():
        ways = [f"a certificate of {each}" for each in known.certificates]
        if access.user_header is not None:
            ways.append(f"a proxy's {access.user_header}")
        who = "all others that a proxy names" if name == ANY_NAME else name
        by = ", or by ".join(ways) or "nothing: neither certificates nor user_header"
        yield f"{who} (by {by}): {_granted(known.grant, config.commands)}"


def _granted(grant: Grant, commands: Iterable[str]) -> str:
    fitting = [name for name in commands if grant.covers(name)]
    which = "all commands" if grant.commands == ("*",) else _listed(fitting)
    own = ", own runs only" if grant.own else ""
    return f"{', '.join(action_names(grant.actions))}: {which}{own}"


def _commands(what: Explained) -> Iterator[str]:
    config = what.config
    for command in config.commands.values():
        yield f"{command.name}: {_program(command)}"
        notes = list(_notes(config, command))
        if notes:
            yield f"  {'; '.join(notes)}"


def _program(command: Command) -> str:
    if command.shell is not None:
        first = command.shell.strip().splitlines()
        more = " …" if len(first) > 1 else ""
        return _cut(f"a script for /bin/sh: {first[0]}{more}")
    try:
        program = program_of(command)
    except OSError:
        program = command.argv[0]
    return _cut(shlex.join([program, *command.argv[1:]]))


def _notes(config: Config, command: Command) -> Iterator[str]:
    limits, confine = command.limits, command.confine
    if command.name == config.default:
        yield "the default: GET runs it, too"
    elif command.get:
        yield "GET runs it, too"
    if confine.user is not None or confine.group is not None:
        accounts = filter(
            None, (confine.user, confine.group and f"group {confine.group}")
        )
        yield f"as {', '.join(accounts)}"
    if command.cwd is not None:
        yield f"in {command.cwd}"
    if command.tty or command.stdin:
        yield (
            "clients may use it on a terminal"
            if command.tty
            else "clients may send input"
        )
    if limits.timeout is not None:
        yield f"ended after {show_time(limits.timeout)}"
    if limits.max_running is not None:
        then = {
            WhenBusy.QUEUE: "others wait",
            WhenBusy.REJECT: "others are rejected",
            WhenBusy.JOIN: "others join",
            WhenBusy.REPLACE: "a new one ends the others",
        }[limits.when_busy]
        yield f"at most {limits.max_running} at once, {then}"


def _limits(what: Explained) -> Iterator[str]:
    config, keep = what.config, what.config.keep
    most, waiting = config.max_running, config.max_queued
    yield f"at most {most} runs at once, and {waiting} that wait"
    yield (
        f"ended runs are kept for {show_time(keep.age)}, at most {keep.runs} of them "
        f"and {show_size(keep.bytes)} of output"
    )
    yield (
        f"at most {config.http.connections} connections, "
        f"{config.http.per_address} of one address"
    )


def _notifications(what: Explained) -> Iterator[str]:
    for name, each in what.config.notify.items():
        events = ", ".join(map(_event, each.on))
        fitting = [
            command
            for command in what.config.commands
            if any(fnmatchcase(command, pattern) for pattern in each.commands)
        ]
        which = "all commands" if each.commands == ("*",) else _listed(fitting)
        yield f"{name}: {each.target} is told of {which}: {events}"


def _event(trigger: Trigger) -> str:
    what = trigger.what or "each end"
    if trigger.codes:
        ranges = (
            f"{each[0]}-{each[-1]}" if len(each) > 1 else str(each[0])
            for each in trigger.codes
        )
        what = f"exit codes {', '.join(ranges)}"
    longer = f" after more than {show_time(trigger.longer)}" if trigger.longer else ""
    return f"{'not ' if trigger.excludes else ''}{what}{longer}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - 10
    text = ", ".join(names[:10]) or "no command"
    return f"{text} and {more} more" if more > 0 else text


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


#: The subjects, in their order.
SECTIONS = (
    ("Listens on", _listening),
    ("Who may do what", _principals),
    ("Commands, as the daemon's own user unless another is named", _commands),
    ("Limits", _limits),
    ("Notifications", _notifications),
)
