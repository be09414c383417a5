"""Tokens: the values, and how one is recognised."""

import re
import secrets
from collections.abc import Callable, Container, Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest

from attrs import field, frozen

from shellstream.model.tables import NotAllowed

from .authorization import Grant, Principal

#: The tokens there are, by their ids.
Kept = Mapping[str, "Token"]

#: How many there may be: while a daemon reads those of a changed file, nothing else
#: happens in it. With so many it takes some 20 ms.
MOST = 1_000

#: The end of the year 9999, in microseconds since 1970: no date is later.
LAST_TIME = 253_402_300_799_999_999

#: What its id looks like.
ID = re.compile(r"[0-9a-f]{8}")

_TEXT = re.compile(r"shs_([0-9a-f]{8})_([0-9a-f]{64})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

#: What names in front of a credential say that it is a token.
_CREDENTIAL = "token "

#: The digest of no secret: it takes as long to be compared as one of some.
_NOBODY = "0" * 64


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
    reserved = text.casefold() == "anonymous" or ID.fullmatch(text)
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


def _digest(secret: str) -> str:
    return sha256(secret.encode("ascii")).hexdigest()
