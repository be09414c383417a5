"""Tokens: the values, how they are written down, and how one is recognised."""

import json
import re
import secrets
from collections.abc import Callable, Container, Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import TypeVar

from attrs import field, frozen

from .access import Grant, Principal, named, read_grant
from .errors import ShellstreamError
from .toml import Mistake, NotAllowed, Table

T = TypeVar("T")

#: The tokens there are, by their ids.
Kept = Mapping[str, "Token"]

#: How many there may be: while a daemon reads those of a changed file, nothing else
#: happens in it. With so many it takes some 20 ms.
MOST = 1_000

#: The end of the year 9999, in microseconds since 1970: no date is later.
LAST_TIME = 253_402_300_799_999_999

#: Of the file's format.
_VERSION = 1

_ID = re.compile(r"[0-9a-f]{8}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TEXT = re.compile(r"shs_([0-9a-f]{8})_([0-9a-f]{64})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

#: What names in front of a credential say that it is a token.
_CREDENTIAL = "token "

#: The digest of no secret: it takes as long to be compared as one of some.
_NOBODY = "0" * 64


class TokensDamaged(ShellstreamError):
    """What should hold tokens does not."""


class TokensNewer(ShellstreamError):
    """The tokens are written as a later version of this program does it."""


@frozen(kw_only=True)
class Token:
    """
    What is known of a token: all but its secret.

    @ivar id: eight hexadecimal digits, which are no secret.
    @ivar name: the principal's; several tokens may have the same.
    @ivar digest: SHA-256 of the secret. Nobody guesses 256 random bits, however
        fast they can try: what is slow by design is for passwords.
    @ivar created: in microseconds since 1970.
    @ivar expires: when it is no longer good; L{None} for never.
    """

    id: str
    name: str
    digest: str = field(repr=False)
    grant: Grant
    created: int
    expires: int | None = None

    def good(self, now: int) -> bool:
        """Whether it is not expired."""
        return self.expires is None or now < self.expires

    @property
    def principal(self) -> Principal:
        """Whom it speaks for."""
        return Principal(
            name=self.name,
            grant=self.grant,
            credential=f"{_CREDENTIAL}{self.id}",
            expires=self.expires,
        )


def token_name(text: str) -> str:
    """
    A name that a token may have.

    @raise NotAllowed: if it may not. What looks like an id is no name, or nobody
        could tell which is meant.
    """
    reserved = text.casefold() == "anonymous" or _ID.fullmatch(text)
    if reserved or not _NAME.fullmatch(text):
        raise NotAllowed(
            "a name of up to 64 letters, digits and . _ @ - that begins with a letter "
            "or a digit, and is neither 'anonymous' nor eight of the digits 0 to f"
        )
    return text


def make(
    name: str,
    grant: Grant,
    created: int,
    expires: int | None = None,
    taken: Container[str] = (),
    random: Callable[[int], str] = secrets.token_hex,
) -> tuple[Token, str]:
    """
    A new token, and the text that is it: C{shs_ID_SECRET}.

    @param taken: the ids that others have.
    @param random: gives so many random bytes, in hexadecimal digits.
    """
    found = random(4)
    while found in taken:
        found = random(4)
    secret = random(32)
    token = Token(
        id=found,
        name=name,
        digest=_digest(secret),
        grant=grant,
        created=created,
        expires=expires,
    )
    return token, f"shs_{found}_{secret}"


def find(text: str, kept: Kept, now: int) -> Token | None:
    """
    The token that a text is, if it is one that is good.

    How long that takes does not depend on how much of a secret is right.
    """
    parts = _TEXT.fullmatch(text)
    if parts is None:
        return None
    token = kept.get(parts[1])
    digest = _NOBODY if token is None else token.digest
    same = compare_digest(digest, _digest(parts[2]))
    return token if same and token is not None and token.good(now) else None


def live(credential: str, kept: Kept, now: int) -> bool:
    """Whether a principal's credential is a token that is still good."""
    if not credential.startswith(_CREDENTIAL):
        return False
    token = kept.get(credential.removeprefix(_CREDENTIAL))
    return token is not None and token.good(now)


def render(kept: Kept) -> str:
    """Tokens as they are kept: without their secrets."""
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
            for each in kept.values()
        },
    }
    return json.dumps(document, indent=1) + "\n"


def parse(text: str) -> Kept:
    """
    Read what L{render} has written. It is strict: what is left out, or added, may
    have been meant to say that somebody may do less.

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
        table.wrong("tokens", "nothing", "a table")
    kept = {each.name: _token(each) for each in table.tables("tokens", _ID)}
    table.close()
    if mistakes:
        more = f" (and {len(mistakes) - 1} more)" if mistakes[1:] else ""
        raise TokensDamaged(f"{mistakes[0]}{more}")
    if len(kept) > MOST:
        raise TokensDamaged(f"there are {len(kept)} tokens in it, more than {MOST}")
    return kept


def changes(before: Kept, after: Kept) -> Iterable[tuple[str, Token]]:
    """What became of which token: C{made}, C{revoked} or C{changed}."""
    for token in before.values():
        if token.id not in after:
            yield "revoked", token
    for token in after.values():
        old = before.get(token.id)
        if old is None:
            yield "made", token
        elif old != token:
            yield "changed", token


def _token(table: Table) -> Token:
    for each in named(Grant()):
        if each not in table:
            table.wrong(each, "nothing", "a value")
    token = Token(
        id=table.name,
        name=_take(table, "name", _name),
        digest=_take(table, "sha256", _hexadecimal),
        grant=read_grant(table),
        created=_take(table, "created", _time),
        expires=_take(table, "expires", _time_or_never),
    )
    table.close()
    return token


def _take(table: Table, name: str, check: Callable[[object], T]) -> T:
    """A value that has to be there; if it is not, nobody will see what is given."""
    if name not in table:
        table.wrong(name, "nothing", "a value")
    nothing: T = None  # type: ignore[assignment]
    return table.take(name, check, nothing)


def _version(value: object) -> int:
    if value != _VERSION or type(value) is not int:
        raise NotAllowed(str(_VERSION))
    return value


def _name(value: object) -> str:
    return token_name(value if isinstance(value, str) else "")


def _hexadecimal(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise NotAllowed("64 hexadecimal digits")
    return value


def _time(value: object) -> int:
    if type(value) is not int or not 0 <= value <= LAST_TIME:
        raise NotAllowed("microseconds since 1970")
    return value


def _time_or_never(value: object) -> int | None:
    return None if value is None else _time(value)


def _digest(secret: str) -> str:
    return sha256(secret.encode("ascii")).hexdigest()
