"""Tokens as they are written down, with what became of them lately, and by whom."""

import json
import re
from collections.abc import Callable, Collection, Sequence
from typing import Self, TypeVar

from attrs import asdict, evolve, field, frozen

from shellstream.model.errors import ShellstreamError
from shellstream.model.tables import Mistake, NotAllowed, Table, boolean

from .authorization import Grant, named, names_of, read_grant
from .tokens import ID, LAST_TIME, MOST, Kept, Token, changes, token_name

T = TypeVar("T")

#: How many changes wait to be noted; of more the oldest are but counted.
MOST_CHANGES = 1_000

#: The longest text in a change, in characters; the audit shows fewer.
_LONGEST = 300

#: Of the file's format.
_VERSION = 1

_DIGEST = re.compile(r"[0-9a-f]{64}")


class TokensDamaged(ShellstreamError):
    """What should hold tokens does not."""


class TokensNewer(ShellstreamError):
    """The tokens are written as a later version of this program does it."""


@frozen(kw_only=True)
class Change:
    """
    What became of a token.

    @ivar what: C{made}, C{revoked} or C{changed}.
    @ivar who: the account that has done it; empty if nobody knows.
    @ivar time: in microseconds since 1970.
    @ivar token: its id.
    @ivar lost: how many changes before this one were too many to be kept.
    """

    what: str
    who: str
    time: int
    token: str
    name: str
    commands: str
    actions: str
    own: bool
    expires: int | None
    lost: int = 0

    @classmethod
    def of(cls, what: str, token: Token, who: str, time: int) -> Self:
        """What somebody did to this one."""
        return cls(
            what=what,
            who=who[:_LONGEST],
            time=time,
            token=token.id,
            name=token.name,
            commands=", ".join(token.grant.commands)[:_LONGEST],
            actions=", ".join(names_of(token.grant.actions)),
            own=token.grant.own,
            expires=token.expires,
        )


@frozen
class Book:
    """
    The tokens there are, and what became of them that no daemon has noted yet.

    Both are one file, which is replaced as a whole: there is no moment at which a
    token has changed and that is lost.
    """

    kept: Kept = field(factory=dict)
    changes: Sequence[Change] = ()

    def changed(self, kept: Kept, who: str, time: int) -> "Book":
        """Somebody has other tokens there be."""
        new = (Change.of(*each, who, time) for each in changes(self.kept, kept))
        found = [*self.changes, *new]
        lost, left = found[:-MOST_CHANGES], found[-MOST_CHANGES:]
        if lost:
            more = len(lost) + sum(each.lost for each in lost)
            left[0] = evolve(left[0], lost=left[0].lost + more)
        return Book(kept, tuple(left))

    def without(self, noted: Collection[Change]) -> "Book":
        """These changes are noted."""
        return Book(self.kept, tuple(c for c in self.changes if c not in noted))


def render(book: Book) -> str:
    """A book as it is kept: without the secrets."""
    document = {
        "version": _VERSION,
        "tokens": {
            each.id: {
                "name": each.name,
                "sha256": each.digest,
                **named(each.grant),
                "created": each.created,
                "expires": each.expires,
            }
            for each in book.kept.values()
        },
        "changes": [asdict(each) for each in book.changes],
    }
    return json.dumps(document, indent=1) + "\n"


def parse(text: str) -> Book:
    """
    Read what L{render} has written. It is strict: what is left out, or added, may
    have been meant to say that somebody may do less. Only the changes may be missing.

    @raise TokensDamaged: if it is anything else.
    @raise TokensNewer: if a later version has written it.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TokensDamaged(f"it is no JSON ({error})") from None
    if not isinstance(document, dict):
        raise TokensDamaged("it is no JSON object")
    version = document.get("version")
    if type(version) is int and version > _VERSION:
        raise TokensNewer(f"its version is {version}, this program's is {_VERSION}")
    mistakes: list[Mistake] = []
    table = Table("", "", document, mistakes)
    _take(table, "version", _version)
    if "tokens" not in table:
        table.report("tokens", "nothing", "a table")
    kept = {each.name: _token(each) for each in table.tables("tokens", ID)}
    waiting = tuple(map(_change, table.rows("changes")))
    table.report_unknown()
    if mistakes:
        more = f" (and {len(mistakes) - 1} more)" if mistakes[1:] else ""
        raise TokensDamaged(f"{mistakes[0]}{more}")
    if len(kept) > MOST:
        raise TokensDamaged(f"there are {len(kept)} tokens in it, more than {MOST}")
    if len(waiting) > MOST_CHANGES:
        raise TokensDamaged(
            f"there are {len(waiting)} changes in it, more than {MOST_CHANGES}"
        )
    return Book(kept, waiting)


def _token(table: Table) -> Token:
    for each in named(Grant()):
        if each not in table:
            table.report(each, "nothing", "a value")
    token = Token(
        id=table.name,
        name=_take(table, "name", _name),
        digest=_take(table, "sha256", _hexadecimal),
        grant=read_grant(table),
        created=_take(table, "created", _time),
        expires=_take(table, "expires", _time_or_never),
    )
    table.report_unknown()
    return token


def _change(table: Table) -> Change:
    change = Change(
        what=_take(table, "what", _what),
        who=_take(table, "who", _text),
        time=_take(table, "time", _time),
        token=_take(table, "token", _id),
        name=_take(table, "name", _name),
        commands=_take(table, "commands", _text),
        actions=_take(table, "actions", _text),
        own=_take(table, "own", boolean),
        expires=_take(table, "expires", _time_or_never),
        lost=_take(table, "lost", _number),
    )
    table.report_unknown()
    return change


def _take(table: Table, name: str, check: Callable[[object], T]) -> T:
    """A value that has to be there; if it is not, nobody will see what is given."""
    if name not in table:
        table.report(name, "nothing", "a value")
    nothing: T = None  # type: ignore[assignment]
    return table.read(name, check, nothing)


def _version(value: object) -> int:
    if value != _VERSION or type(value) is not int:
        raise NotAllowed(str(_VERSION))
    return value


def _name(value: object) -> str:
    return token_name(value if isinstance(value, str) else "")


def _id(value: object) -> str:
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise NotAllowed("eight hexadecimal digits")
    return value


def _hexadecimal(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise NotAllowed("64 hexadecimal digits")
    return value


def _what(value: object) -> str:
    if value not in ("made", "changed", "revoked"):
        raise NotAllowed("'made', 'changed' or 'revoked'")
    return str(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise NotAllowed(f"a text of up to {_LONGEST} characters")
    return value


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 10**12:
        raise NotAllowed("how many")
    return value


def _time(value: object) -> int:
    if type(value) is not int or not 0 <= value <= LAST_TIME:
        raise NotAllowed("microseconds since 1970")
    return value


def _time_or_never(value: object) -> int | None:
    return None if value is None else _time(value)
