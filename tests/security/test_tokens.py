"""Tests for L{shellstream.security.tokens}.

The values, and how they are written down.
"""

from hmac import compare_digest

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.tables import NotAllowed
from shellstream.security import tokens
from shellstream.security.authorization import Grant, Principal
from shellstream.security.token_journal import Book, render
from shellstream.security.tokens import (
    LAST_TIME,
    changes,
    find,
    live,
    make,
    token_name,
)
from tests.support.tokens import NOW, TIMES, kept


class FindTests(SynchronousTestCase):
    """A token is recognised by its text, and by nothing else."""

    def setUp(self) -> None:
        self.token, self.text = make("pi", Grant(), NOW)
        self.other, _ = make("pi", Grant(), NOW, taken=[self.token.id])
        self.kept = kept(self.token, self.other)

    def test_made(self) -> None:
        """What was made is found, and speaks for whom it was made."""
        self.assertRegex(self.text, "^shs_[0-9a-f]{8}_[0-9a-f]{64}$")
        self.assertIs(find(self.text, self.kept, NOW), self.token)
        self.assertEqual(
            self.token.principal,
            Principal(name="pi", grant=Grant(), credential=f"token {self.token.id}"),
        )

    def test_secret(self) -> None:
        """What is kept does not hold the secret, nor does what is logged of it."""
        secret = self.text.rpartition("_")[2]
        self.assertNotIn(secret, render(Book(self.kept)))
        self.assertNotIn(secret, repr(self.token))
        self.assertNotIn(self.token.digest, repr(self.token))
        self.assertNotEqual(self.token.digest, self.other.digest)

    def test_wrong(self) -> None:
        """Another's secret, a digest and what is not quite the text are nobody's."""
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
            self.assertIsNone(find(text, self.kept, NOW), text[:90])

    @given(st.text() | st.from_regex("shs_[0-9a-f]{8}_[0-9a-f]{64}"))
    def test_any_text(self, text: str) -> None:
        """No text whatever is taken for a token, nor makes this fail."""
        self.assertIsNone(find(text, self.kept, NOW))
        self.assertFalse(live(text, self.kept, NOW))

    @given(TIMES, st.integers(0, LAST_TIME))
    def test_expired(self, expires: int, now: int) -> None:
        """It is good until it expires, and not from then on."""
        now_kept = kept(evolve(self.token, expires=expires))
        good = now < expires
        self.assertEqual(find(self.text, now_kept, now) is not None, good)
        self.assertEqual(live(f"token {self.token.id}", now_kept, now), good)

    def test_live(self) -> None:
        """A credential is live as long as its token is there."""
        credential = self.token.principal.credential
        self.assertTrue(live(credential, self.kept, NOW))
        self.assertFalse(live(credential, kept(self.other), NOW))
        for text in ("none", "token ", self.token.id, "certificate x"):
            self.assertFalse(live(text, self.kept, NOW))

    def test_same_work(self) -> None:
        """What is wrong with a token does not show by how long it takes to say so."""
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
            find(text, self.kept, NOW)
        self.assertEqual(asked, [(64, 64)] * 4)

    def test_id_taken(self) -> None:
        """A new token has an id that no other has."""
        random = iter([self.token.id, self.other.id, "1" * 8, "2" * 64])
        token, _ = make(
            "x", Grant(), NOW, taken=self.kept, random=lambda _: next(random)
        )
        self.assertEqual(token.id, "1" * 8)


class NameTests(SynchronousTestCase):
    """Whose a token may be."""

    def test_names(self) -> None:
        """A name can be told from an id, and from nobody's; it is one short word."""
        for name in ("pi", "a@example.org", "0", "A-b_c.d", "x" * 64, "deadbeef0"):
            self.assertEqual(token_name(name), name)
        for name in (
            *("", "-x", ".x", "a b", "a\n", "ä", "x" * 65, "a/b", "a:b"),
            *("anonymous", "Anonymous", "deadbeef", "01234567"),
        ):
            self.assertRaises(NotAllowed, token_name, name)


class ChangesTests(SynchronousTestCase):
    """What became of tokens."""

    def test_changes(self) -> None:
        """Those that came, went, or are not what they were."""
        a, b, c = (make("x", Grant(), NOW)[0] for _ in range(3))
        later = evolve(b, expires=NOW)
        self.assertEqual(
            list(changes(kept(a, b), kept(later, c))),
            [("revoked", a), ("changed", later), ("made", c)],
        )
        self.assertEqual(list(changes(kept(a), kept(a))), [])
