"""Tests for L{shellstream.security.tokens}.

The values, and how they are written down.
"""

import json
from hmac import compare_digest
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.checks import NotAllowed
from shellstream.security import tokens
from shellstream.security.authorization import EVERYTHING, Grant, Principal
from shellstream.security.tokens import (
    CLOCK_SKEW,
    LAST_TIME,
    MAX_TOKENS,
    SavedTokens,
    TokensDamaged,
    TokensNewer,
    changes,
    create_token,
    credential_is_valid,
    find_token,
    parse,
    render,
    token_name,
)
from tests.support.tokens import NOW, TIMES, TOKENS, table

SAVED = st.builds(
    SavedTokens,
    st.lists(TOKENS, max_size=4).map(lambda found: table(*found)),
    st.text("0123456789abcdef", max_size=16),
)


class FindTests(SynchronousTestCase):
    """A token is recognized only by its exact text."""

    def setUp(self) -> None:
        self.token, self.text = create_token("pi", Grant(), NOW)
        self.other, _ = create_token("pi", Grant(), NOW, taken=[self.token.id])
        self.tokens = table(self.token, self.other)

    def test_made(self) -> None:
        """A new token is found, and has the principal that it was made for."""
        self.assertRegex(self.text, "^shs_[0-9a-f]{8}_[0-9a-f]{64}$")
        self.assertIs(find_token(self.text, self.tokens, NOW), self.token)
        self.assertEqual(
            self.token.principal,
            Principal(name="pi", grant=Grant(), credential=f"token {self.token.id}"),
        )

    def test_secret(self) -> None:
        """The stored token and its C{repr} do not hold the secret."""
        secret = self.text.rpartition("_")[2]
        self.assertNotIn(secret, render(SavedTokens(self.tokens)))
        self.assertNotIn(secret, repr(self.token))
        self.assertNotIn(self.token.digest, repr(self.token))
        self.assertNotEqual(self.token.digest, self.other.digest)

    def test_wrong(self) -> None:
        """The secret of another token, a digest or a similar text is not a token."""
        secret = self.text.rpartition("_")[2]
        for text in (
            f"shs_{self.other.id}_{secret}",
            f"shs_{'0' * 8}_{secret}",
            f"shs_{self.token.id}_{self.token.digest}",
            self.text.upper(),
            self.text + "\n",
            f" {self.text}",
            self.text[:-1],
            self.text + "0",
            self.text * 10_000,
            "",
            "\ud800",
            self.text.replace("shs", "\u017fhs"),
            self.text.replace("0", "\uff10").replace("1", "\u0661"),
        ):
            self.assertIsNone(find_token(text, self.tokens, NOW), text[:90])

    @given(st.text() | st.from_regex("shs_[0-9a-f]{8}_[0-9a-f]{64}"))
    def test_any_text(self, text: str) -> None:
        """No other text is accepted as a token, and none causes an error."""
        self.assertIsNone(find_token(text, self.tokens, NOW))
        self.assertFalse(credential_is_valid(text, self.tokens, NOW))

    @given(TIMES, st.integers(0, LAST_TIME))
    def test_expired(self, expires: int, now: int) -> None:
        """A token is valid until it expires, and not by a clock before it was made."""
        now_tokens = table(evolve(self.token, expires=expires))
        good = self.token.created - CLOCK_SKEW <= now < expires
        self.assertEqual(find_token(self.text, now_tokens, now) is not None, good)
        self.assertEqual(
            credential_is_valid(f"token {self.token.id}", now_tokens, now), good
        )

    def test_clock_before(self) -> None:
        """A clock of before the token was made lets in only what never expires."""
        token = evolve(self.token, expires=NOW + 2 * CLOCK_SKEW, created=NOW)
        for early, good in ((CLOCK_SKEW, True), (CLOCK_SKEW + 1, False), (NOW, False)):
            self.assertIs(token.is_valid(NOW - early), good)
            self.assertTrue(evolve(token, expires=None).is_valid(NOW - early))

    def test_live(self) -> None:
        """A credential is live as long as its token is there."""
        credential = self.token.principal.credential
        self.assertTrue(credential_is_valid(credential, self.tokens, NOW))
        self.assertFalse(credential_is_valid(credential, table(self.other), NOW))
        for text in ("none", "token ", self.token.id, "certificate x"):
            self.assertFalse(credential_is_valid(text, self.tokens, NOW))

    def test_same_work(self) -> None:
        """The time of a refusal does not reveal which part of a token is wrong."""
        asked = list[tuple[int, int]]()

        def compare(one: str, other: str) -> bool:
            asked.append((len(one), len(other)))
            return compare_digest(one, other)

        self.patch(tokens, "compare_digest", compare)
        prefix, token_id, secret = self.text.split("_")
        wrong_id = "0" * 8 if token_id != "0" * 8 else "1" * 8
        for text in (
            self.text,
            f"{prefix}_{wrong_id}_{secret}",
            f"{prefix}_{token_id}_{'0' * 64}",
            f"{prefix}_{token_id}_{secret[:-1]}{'1' if secret[-1] == '0' else '0'}",
        ):
            find_token(text, self.tokens, NOW)
        self.assertEqual(asked, [(64, 64)] * 4)

    def test_id_taken(self) -> None:
        """A new token has an id that no other has."""
        random = iter([self.token.id, self.other.id, "1" * 8, "2" * 64])
        token, _ = create_token(
            "x", Grant(), NOW, taken=self.tokens, random=lambda _: next(random)
        )
        self.assertEqual(token.id, "1" * 8)


class NameTests(SynchronousTestCase):
    """The valid names of tokens."""

    def test_names(self) -> None:
        """A name is one short word, and neither an id nor 'anonymous'."""
        for name in ("pi", "a@example.org", "0", "A-b_c.d", "x" * 64, "deadbeef0"):
            self.assertEqual(token_name(name), name)
        for name in (
            *("", "-x", ".x", "a b", "a\n", "ä", "x" * 65, "a/b", "a:b"),
            *("anonymous", "Anonymous", "deadbeef", "01234567"),
        ):
            self.assertRaises(NotAllowed, token_name, name)


class ChangesTests(SynchronousTestCase):
    """The changes between two sets of tokens."""

    def test_changes(self) -> None:
        """Added, removed and changed tokens are changes."""
        a, b, c = (create_token("x", Grant(), NOW)[0] for _ in range(3))
        later = evolve(b, expires=NOW)
        self.assertEqual(
            list(changes(table(a, b), table(later, c))),
            [("revoked", a), ("changed", later), ("made", c)],
        )
        self.assertEqual(list(changes(table(a), table(a))), [])


class WrittenTests(SynchronousTestCase):
    """Tokens as they are kept."""

    def setUp(self) -> None:
        self.token, _ = create_token("pi", EVERYTHING, NOW)
        self.document: dict[str, Any] = json.loads(
            render(SavedTokens(table(self.token)))
        )

    @given(SAVED)
    def test_round(self, saved: SavedTokens) -> None:
        """Rendered tokens parse to the same tokens."""
        self.assertEqual(parse(render(saved)), saved)

    def test_version_1(self) -> None:
        """A file of the version before has no revision, and a list of changes."""
        document = {**self.document, "version": 1, "changes": [{"what": "made"}]}
        del document["revision"]
        self.assertEqual(
            parse(json.dumps(document)), SavedTokens(table(self.token), "")
        )

    @given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
    def test_any_text(self, text: str) -> None:
        """Any other text is damaged, or newer."""
        self.assertRaises((TokensDamaged, TokensNewer), parse, text)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["version", "tokens", "revision", "0" * 8])
                    | st.text(),
                    inner,
                    max_size=4,
                )
            ),
        )
    )
    def test_any_document(self, document: object) -> None:
        """Any other JSON is damaged, or newer."""
        try:
            found = parse(json.dumps(document))
        except (TokensDamaged, TokensNewer):
            return
        self.assertEqual(found.tokens, {})

    def damaged(self, without: str = "", **more: object) -> str:
        """Return the error for a token whose row lacks or has this."""
        document = json.loads(json.dumps(self.document))
        row = {**document["tokens"][self.token.id], **more}
        row.pop(without, None)
        document["tokens"][self.token.id] = row
        return str(self.assertRaises(TokensDamaged, parse, json.dumps(document)))

    def test_nothing_left_out(self) -> None:
        """A token that lacks anything is not taken for one that may do more."""
        for name in self.document["tokens"][self.token.id]:
            said = self.damaged(without=name)
            self.assertIn(f"tokens.{self.token.id}.{name}: found nothing", said)

    def test_nothing_added(self) -> None:
        """An unknown key is refused, since it could be a restriction."""
        said = self.damaged(only="mondays")
        self.assertIn("only: found an unknown key", said)

    def test_nothing_odd(self) -> None:
        """Each value has the right type, or the error says what fits."""
        for name, value in (
            *(("name", each) for each in (1, None, "", "anonymous")),
            *(("sha256", each) for each in (None, "", "A" * 64, "0" * 65)),
            *(("created", each) for each in (None, -1, True, 1.0, LAST_TIME + 1)),
            *(("expires", each) for each in (0.5, -1, "never", LAST_TIME + 1)),
            *(("commands", each) for each in ("*", [], [1])),
            *(("actions", each) for each in ([], ["fly"], "run")),
            ("own", 0),
        ):
            said = self.damaged("", **{name: value})
            self.assertIn(f".{name}: found ", said)
            self.assertIn("; allowed: ", said)

    def test_no_table(self) -> None:
        """A file without a table of tokens, or with other keys, is damaged."""
        row = self.document["tokens"][self.token.id]
        for document, why in (
            ({"version": 1}, "tokens: found nothing"),
            ({"version": 1, "tokens": []}, "tokens: found []"),
            ({"version": 1, "tokens": {"x": row}}, "the name 'x'"),
            ({"version": 1, "tokens": {}, "x": 1}, "x: found an unknown key"),
            (
                {"version": 2, "tokens": {}, "changes": []},
                "changes: found an unknown key",
            ),
            ({"version": 2, "tokens": {}, "revision": "x"}, "revision: found"),
            ({"tokens": {}}, "version: found nothing"),
            ({"version": 0, "tokens": {}}, "version: found 0"),
            ({"version": True, "tokens": {}}, "version: found true"),
            ([], "not a JSON object"),
        ):
            error = self.assertRaises(TokensDamaged, parse, json.dumps(document))
            self.assertIn(why, str(error))
        self.assertRaises(TokensDamaged, parse, "[" * 100_000)

    def test_newer(self) -> None:
        """A file of a later version is reported as newer, whatever else it holds."""
        error = self.assertRaises(TokensNewer, parse, '{"version": 3, "any": 1}')
        self.assertIn("version is 3", str(error))

    def test_too_many(self) -> None:
        """The number of tokens is limited."""
        many = {
            f"{n:08x}": evolve(self.token, id=f"{n:08x}") for n in range(MAX_TOKENS + 1)
        }
        error = self.assertRaises(TokensDamaged, parse, render(SavedTokens(many)))
        self.assertIn(f"more than {MAX_TOKENS}", str(error))
