"""
The entries of the audit: which principal did what, from where, and how it ended.

L{security.audit_log} decides which are written, L{storage.audit_file} where.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from attrs import define, field, frozen

from shellstream.model.checks import integers, matching, size
from shellstream.model.events import rfc3339
from shellstream.model.tables import setting

from .authorization import Caller, action_names
from .login_throttle import client_network
from .tokens import Token

#: The most characters of one text in a line, and of the values of all parameters.
MAX_TEXT_LENGTH, MAX_PARAMS = 256, 4096

#: The most refusals in a minute that have a line each: of one client, and of all.
#: Otherwise a flood of requests would rotate everything else out of the file.
MAX_REFUSALS_EACH, MAX_REFUSALS = 60, 1000


@frozen(kw_only=True)
class AuditSettings:
    """The table C{[audit]} of the configuration."""

    file: str | None = setting(
        "The audit file; without it, `audit.jsonl` in the state folder.",
        matching(
            r"/[^\x00]*[^/\x00]",
            "a file's absolute path, such as '/var/log/shellstream.jsonl'",
        ),
        None,
    )
    max_size: int = setting(
        "The size at which the file becomes `audit.jsonl.1`, and a new one begins.",
        size,
        16 << 20,
    )
    keep: int = setting("How many of the earlier files are kept.", integers(1, 1000), 5)

    @property
    def total(self) -> int:
        """The size of all files together, in bytes."""
        return self.max_size * (self.keep + 1)


_encode = json.JSONEncoder(separators=(",", ":")).encode
#: The same for a text, without what an encoder does before and after it.
_quoted = json.encoder.encode_basestring_ascii

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AuditAction(Enum):
    """The kind of an entry; C{GAP} counts the lines of a principal that are missing."""

    START = "start"
    JOIN = "join"
    END = "end"
    REFUSED = "refused"
    SIGNAL = "signal"
    CANCEL = "cancel"
    DELETE = "delete"
    INPUT = "input"
    NOTIFIED = "notified"
    NOTIFY_FAILED = "notify-failed"
    LOGIN = "login"
    TOKEN_MADE = "token-made"  # noqa: S105  # nosec B105  # not one
    TOKEN_CHANGED = "token-changed"  # noqa: S105  # nosec B105  # not one
    TOKEN_REVOKED = "token-revoked"  # noqa: S105  # nosec B105  # not one
    GAP = "gap"


@frozen(kw_only=True)
class AuditEntry:
    """
    One entry; texts that do not apply are empty.

    @ivar principal: the name of the principal, or of an account of this machine.
    @ivar credential: the kind of credential, and the id of a token.
    @ivar address: the client's.
    @ivar params: the parameters of a command, secret ones masked.
    @ivar facts: further members of the line.
    """

    action: AuditAction
    principal: str = ""
    credential: str = ""
    address: str = ""
    command: str = ""
    run: str = ""
    params: Mapping[str, str] = {}
    facts: Mapping[str, str | int | None] = {}

    @classmethod
    def by_caller(
        cls, action: AuditAction, caller: Caller, **rest: Any
    ) -> "AuditEntry":
        """An entry for what a caller did."""
        return cls(
            action=action,
            principal=caller.principal.name,
            credential=caller.principal.credential,
            address=caller.address,
            **rest,
        )


def token_entry(what: str, token: Token, account: str = "") -> AuditEntry:
    """
    An entry for a token that was C{made}, C{changed} or C{revoked}.

    @param account: the account of this machine that did it; empty if it is unknown.
    """
    return AuditEntry(
        action=AuditAction(f"token-{what}"),
        principal=account,
        credential="account" if account else "",
        facts={
            "token": token.id,
            "name": token.name,
            "commands": ", ".join(token.grant.commands),
            "actions": ", ".join(action_names(token.grant.actions)),
            "own": "true" if token.grant.own else None,
            "expires": None if token.expires is None else rfc3339(token.expires),
        },
    )


def render_line(entry: AuditEntry, time: int) -> str:
    """
    The line of an entry, in JSON and without its end.

    It is printable ASCII whatever clients send: so they can neither forge a line nor
    control the terminal that shows it.

    @param time: microseconds since 1970.
    """
    params = dict(_params(entry.params)) if entry.params else None
    members = (
        ("what", entry.action.value),
        ("who", entry.principal),
        ("credential", entry.credential),
        ("from", entry.address),
        ("command", entry.command),
        ("run", entry.run),
        ("params", params),
        *entry.facts.items(),
    )
    line = f'{{"time":"{rfc3339(time)}"'
    for name, value in members:
        if value not in ("", None):
            text = _quoted(_cut(value)) if isinstance(value, str) else _encode(value)
            line += f',"{name}":{text}'
    # json escapes all of ASCII's controls but DEL.
    return f"{line}}}".replace("\x7f", "\\u007f")


def audited_ends(lines: Iterable[bytes]) -> tuple[int, set[str]]:
    """
    When the first of these lines was written, in microseconds since 1970, and the ids
    of the runs whose ends are among them. Without a line, a time that never comes.
    """
    first, runs = sys.maxsize, set[str]()
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):  # not a line of ours
            entry = json.loads(line)
            if first == sys.maxsize:
                time = datetime.fromisoformat(entry["time"])
                first = (time - _EPOCH) // timedelta(microseconds=1)
            if entry["what"] == AuditAction.END.value:
                runs.add(entry["run"])
    return first, runs


def _params(params: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    # A request may have 64 KiB of parameters, and each of them may be short.
    longest = min(MAX_TEXT_LENGTH, MAX_PARAMS // max(1, len(params)))
    for name, value in params.items():
        yield name, _cut(value, longest)


def _cut(text: str, longest: int = MAX_TEXT_LENGTH) -> str:
    return text if len(text) <= longest else f"{text[:longest]}\u2026"


@define
class RefusalLimiter:
    """Decides which refusals of one minute have a line, and counts the others."""

    _lines: Counter[str] = field(factory=Counter, init=False)
    _more: Counter[str] = field(factory=Counter, init=False)
    _all: int = field(default=0, init=False)

    def admit(self, address: str) -> bool:
        """Count one refusal; returns whether it has a line."""
        client = client_network(address)
        lines = self._lines[client]
        if lines < MAX_REFUSALS_EACH and self._all < MAX_REFUSALS:
            self._lines[client] += 1
            self._all += 1
            return True
        # Clients that have no line yet share one number: there may be very many.
        self._more[client if lines else ""] += 1
        return False

    def summaries(self) -> Iterator[AuditEntry]:
        """An entry for each client, with the number of its refusals without a line."""
        for address, times in self._more.items():
            yield AuditEntry(
                action=AuditAction.REFUSED, address=address, facts={"times": times}
            )
