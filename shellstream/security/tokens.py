"""Tokens: the values, how one is recognised, and how a file holds them."""

import json
import re
import secrets
from collections.abc import Callable, Container, Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest

from attrs import field, frozen

from shellstream.model.checks import NotAllowed, integers, matching, string
from shellstream.model.errors import ShellstreamError
from shellstream.model.tables import Mistake, Table

from .authorization import STRANGER, Grant, Principal, grant_document, is_reserved

#: Tokens by their ids.
TokenTable = Mapping[str, "Token"]

#: The most tokens in a file. To read so many takes some 20 ms.
MAX_TOKENS = 1_000

#: The end of the year 9999, in microseconds since 1970: no date is later.
LAST_TIME = 253_402_300_799_999_999

#: By how many microseconds the clock may have been ahead when a token was made.
CLOCK_SKEW = 86_400 * 1_000_000

#: The version of the file's format. Version 1 had a list of changes, which no longer
#: belongs there, and no revision.
_VERSION = 2

ID = re.compile(r"[0-9a-f]{8}")
_TEXT = re.compile(r"shs_([0-9a-f]{8})_([0-9a-f]{64})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

#: The kind of credential, as L{Principal.credential} begins.
_CREDENTIAL = "token "

#: Compared where no token has the id, so that this takes as long as a wrong secret.
_NO_DIGEST = "0" * 64


class TokensDamaged(ShellstreamError):
    """The text is not a file of tokens."""


class TokensNewer(ShellstreamError):
    """A later version of this program wrote the file."""


@frozen(kw_only=True)
class Token:
    """
    A token without its secret.

    @ivar id: eight hexadecimal digits; they are public.
    @ivar name: the principal's name; several tokens may share it.
    @ivar digest: SHA-256 of the secret. A fast hash is enough for 256 random bits;
        the slow ones are for passwords, which can be guessed.
    @ivar created: in microseconds since 1970.
    @ivar expires: when it stops being valid, in microseconds since 1970; L{None} if it
        stays valid until it is revoked.
    """

    id: str
    name: str
    digest: str = field(repr=False)
    grant: Grant
    created: int
    expires: int | None = None

    def is_valid(self, now: int) -> bool:
        """
        Whether it has not expired.

        A clock that stands before the token was made is wrong, as after a start without
        a battery. Then nobody knows whether the token has expired, so that it is not
        valid.
        """
        if self.expires is None:
            return True
        return self.created - CLOCK_SKEW <= now < self.expires

    @property
    def principal(self) -> Principal:
        """The principal of requests that show this token."""
        return Principal(
            name=self.name,
            grant=self.grant,
            credential=f"{_CREDENTIAL}{self.id}",
            expires=self.expires,
        )


@frozen
class SavedTokens:
    """
    The content of a file of tokens.

    @ivar revision: a random text that every program replaces when it writes the file,
        but a person with an editor does not. So the daemon can tell changes that are in
        the audit already from those that it has to record itself.
    """

    tokens: TokenTable = field(factory=dict)
    revision: str = ""


def token_name(text: str) -> str:
    """
    Check the name of a new token.

    @raise NotAllowed: if it is malformed or reserved. Names that look like an id are
        refused: the token tool takes either.
    """
    if is_reserved(text) or ID.fullmatch(text) or not _NAME.fullmatch(text):
        raise NotAllowed(
            "a name of up to 64 letters, digits and . _ @ - that begins with a letter "
            "or a digit, and is neither 'anonymous', 'stranger' nor eight of the "
            "digits 0 to f"
        )
    return text


def _kept_name(text: str) -> str:
    """
    The name of a token in a file. Earlier versions made some with the name 'stranger':
    a daemon must not stop for these.

    @raise NotAllowed: if it is malformed, or would belong to all without a credential.
    """
    return text if text.casefold() == STRANGER.name else token_name(text)


def create_token(
    name: str,
    grant: Grant,
    created: int,
    expires: int | None = None,
    taken: Container[str] = (),
    random: Callable[[int], str] = secrets.token_hex,
) -> tuple[Token, str]:
    """
    Create a token, and the text that clients show: C{shs_ID_SECRET}.

    @param taken: the ids of other tokens.
    @param random: returns that many random bytes, in hexadecimal digits.
    """
    # The id is for people, and for finding the digest: 32 bits are enough, but two
    # tokens must not share one.
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


def find_token(text: str, tokens: TokenTable, now: int) -> Token | None:
    """
    The valid token with this text, if there is one.

    The time this takes does not depend on how much of the secret is right.
    """
    parts = _TEXT.fullmatch(text)
    if parts is None:
        return None
    # compare_digest() takes the same time wherever the first difference is.
    token = tokens.get(parts[1])
    digest = _NO_DIGEST if token is None else token.digest
    same = compare_digest(digest, _digest(parts[2]))
    return token if same and token is not None and token.is_valid(now) else None


def credential_is_valid(credential: str, tokens: TokenTable, now: int) -> bool:
    """Whether the credential of a principal names a token that is still valid."""
    if not credential.startswith(_CREDENTIAL):
        return False
    token = tokens.get(credential.removeprefix(_CREDENTIAL))
    return token is not None and token.is_valid(now)


def changes(before: TokenTable, after: TokenTable) -> Iterable[tuple[str, Token]]:
    """Each token that was C{made}, C{revoked} or C{changed}."""
    # Revoked ones first: a token that replaces another is made after that has gone.
    for token in before.values():
        if token.id not in after:
            yield "revoked", token
    for token in after.values():
        old = before.get(token.id)
        if old is None:
            yield "made", token
        elif old != token:
            yield "changed", token


def render(saved: SavedTokens) -> str:
    """The text of a file."""
    document = {
        "version": _VERSION,
        "revision": saved.revision,
        "tokens": {
            each.id: {
                "name": each.name,
                "sha256": each.digest,
                **grant_document(each.grant),
                "created": each.created,
                "expires": each.expires,
            }
            for each in saved.tokens.values()
        },
    }
    return json.dumps(document, indent=1) + "\n"


def parse(text: str) -> SavedTokens:
    """
    Read the text of a file.

    It is strict: a key that is missing or unknown may have been meant to restrict a
    token.

    @raise TokensDamaged: if it is anything else.
    @raise TokensNewer: if a later version of this program wrote it.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TokensDamaged(f"it is not JSON ({error})") from None
    if not isinstance(document, dict):
        raise TokensDamaged("it is not a JSON object")
    version = document.get("version")
    if type(version) is int and version > _VERSION:
        raise TokensNewer(f"its version is {version}, this program's is {_VERSION}")
    if version == 1:  # its changes were for the daemon to audit
        document.pop("changes", None)
    mistakes: list[Mistake] = []
    table = Table("", "", document, mistakes)
    _require(table, "version", "tokens")
    table.read("version", integers(1, _VERSION), None)
    check = matching("[0-9a-f]{0,16}", "16 hexadecimal digits")
    revision = table.read("revision", check, "")
    tokens = {each.name: _token(each) for each in table.tables("tokens", ID)}
    table.report_unknown()
    if mistakes:
        more = f" (and {len(mistakes) - 1} more)" if mistakes[1:] else ""
        raise TokensDamaged(f"{mistakes[0]}{more}")
    if len(tokens) > MAX_TOKENS:
        raise TokensDamaged(f"it has {len(tokens)} tokens, more than {MAX_TOKENS}")
    return SavedTokens(tokens, revision)


def _token(table: Table) -> Token:
    _require(table, "name", "sha256", *grant_document(Grant()), "created", "expires")
    digest = matching("[0-9a-f]{64}", "64 hexadecimal digits")
    token = Token(
        id=table.name,
        name=table.read("name", string.then(_kept_name), ""),
        digest=table.read("sha256", digest, ""),
        grant=table.read_settings(Grant),
        created=table.read("created", _time, 0),
        expires=table.read("expires", _time_or_never, None),
    )
    table.report_unknown()
    return token


def _require(table: Table, *names: str) -> None:
    """Report missing keys; then nobody looks at the defaults in their place."""
    for each in names:
        if each not in table:
            table.report(each, "nothing", "a value")


_time = integers(0, LAST_TIME)  # microseconds since 1970


def _time_or_never(value: object) -> int | None:
    return None if value is None else _time(value)


def _digest(secret: str) -> str:
    return sha256(secret.encode("ascii")).hexdigest()
