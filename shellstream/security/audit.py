"""
Who did what, from where, and how it ended: the values, and a line of each.

L{shellstream.security.audit_log} writes them down.
"""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from attrs import define, field, frozen

from shellstream.model.checks import integers, matching, size
from shellstream.model.events import rfc3339
from shellstream.model.tables import setting

from .authorization import Caller, names_of
from .tokens import Token

#: The longest text in a line, in characters, and that of all parameters' values.
MAX_TEXT, MAX_PARAMS = 256, 4096

#: For how many refusals in a minute there is a line each: of one address, in all.
REFUSALS, ALL_REFUSALS = 60, 1000


@frozen(kw_only=True)
class Auditing:
    """Where the audit is kept."""

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


#: Unless the configuration says otherwise.
DEFAULT_AUDITING = Auditing()


class AuditAction(Enum):
    """What is noted; C{GAP} says that lines are missing, and how many."""

    START = "start"
    END = "end"
    REFUSED = "refused"
    SIGNAL = "signal"
    CANCEL = "cancel"
    DELETE = "delete"
    INPUT = "input"
    LOGIN = "login"
    TOKEN_MADE = "token-made"  # noqa: S105  # nosec B105  # not one
    TOKEN_CHANGED = "token-changed"  # noqa: S105  # nosec B105  # not one
    TOKEN_REVOKED = "token-revoked"  # noqa: S105  # nosec B105  # not one
    GAP = "gap"


@frozen(kw_only=True)
class Entry:
    """
    One thing that somebody did, or that became of it.

    @ivar params: the parameters of a command, secret ones masked.
    @ivar facts: what else there is to say.
    """

    what: AuditAction
    who: str = ""
    credential: str = ""
    address: str = ""
    command: str = ""
    run: str = ""
    params: Mapping[str, str] = {}
    facts: Mapping[str, str | int | None] = {}

    @classmethod
    def of(cls, what: AuditAction, by: Caller, **rest: Any) -> "Entry":
        """What a caller did."""
        return cls(
            what=what,
            who=by.principal.name,
            credential=by.principal.credential,
            address=by.address,
            **rest,
        )


def token_entry(what: str, token: Token, account: str = "") -> Entry:
    """
    A token is C{made}, C{changed} or C{revoked}.

    @param account: the account of this machine that did it; empty if it is unknown.
    """
    return Entry(
        what=AuditAction(f"token-{what}"),
        who=account,
        credential="account" if account else "",
        facts={
            "token": token.id,
            "name": token.name,
            "commands": ", ".join(token.grant.commands),
            "actions": ", ".join(names_of(token.grant.actions)),
            "own": "true" if token.grant.own else None,
            "expires": None if token.expires is None else rfc3339(token.expires),
        },
    )


def line(entry: Entry, time: int) -> str:
    """
    An entry as JSON, without the end of the line: printable ASCII, whatever it holds,
    so that nobody can forge a line with it, or steer a terminal.

    @param time: microseconds since 1970.
    """
    document: dict[str, object] = {
        "time": rfc3339(time),
        "what": entry.what.value,
        "who": entry.who,
        "credential": entry.credential,
        "from": entry.address,
        "command": entry.command,
        "run": entry.run,
        "params": dict(_params(entry.params)),
        **entry.facts,
    }
    said = {
        name: _cut(value) if isinstance(value, str) else value
        for name, value in document.items()
        if value not in ("", {}, None)
    }
    return json.dumps(said, separators=(",", ":")).replace("\x7f", "\\u007f")


def _params(params: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    longest = min(MAX_TEXT, MAX_PARAMS // max(1, len(params)))
    for name, value in params.items():
        yield name, _cut(value, longest)


def _cut(text: str, longest: int = MAX_TEXT) -> str:
    return text if len(text) <= longest else f"{text[:longest]}\u2026"


@define
class RefusalLimiter:
    """Those of one minute: who floods us has some lines, and then a number."""

    _lines: dict[str, int] = field(factory=dict, init=False)
    _more: dict[str, int] = field(factory=dict, init=False)
    _all: int = field(default=0, init=False)

    def admit(self, address: str) -> bool:
        """Whether one more from there has a line of its own."""
        lines = self._lines.get(address, 0)
        if lines < REFUSALS and self._all < ALL_REFUSALS:
            self._lines[address] = lines + 1
            self._all += 1
            return True
        known = address if lines else ""  # or there were a number for each stranger
        self._more[known] = self._more.get(known, 0) + 1
        return False

    def close(self) -> Iterator[Entry]:
        """How many more there were, an entry for each address."""
        for address, times in self._more.items():
            yield Entry(
                what=AuditAction.REFUSED, address=address, facts={"times": times}
            )
