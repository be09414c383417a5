"""Tests for L{shellstream.security.token_journal}: how tokens are written down."""

import json
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.authorization import EVERYTHING, Grant
from shellstream.security.token_journal import (
    MOST_CHANGES,
    Book,
    Change,
    TokensDamaged,
    TokensNewer,
    parse,
    render,
)
from shellstream.security.tokens import LAST_TIME, MOST, Kept, make
from tests.support.tokens import NOW, TIMES, TOKENS, kept

CHANGES = st.builds(
    Change.of,
    st.sampled_from(["made", "changed", "revoked"]),
    TOKENS,
    st.text(max_size=400),
    TIMES,
)
BOOKS = st.builds(
    Book,
    st.lists(TOKENS, max_size=4).map(lambda found: kept(*found)),
    st.lists(CHANGES, max_size=4).map(tuple),
)
CHANGE = Change.of("made", make("pi", Grant(), NOW)[0], "me", NOW)


class WrittenTests(SynchronousTestCase):
    """Tokens as they are kept."""

    def setUp(self) -> None:
        self.token, _ = make("pi", EVERYTHING, NOW)
        self.document: dict[str, Any] = json.loads(render(Book(kept(self.token))))

    @given(BOOKS)
    def test_round(self, book: Book) -> None:
        """What was written is read as the same."""
        self.assertEqual(parse(render(book)), book)

    @given(BOOKS)
    def test_before_changes(self, book: Book) -> None:
        """A file that knows of no changes has none."""
        document = json.loads(render(book))
        del document["changes"]
        self.assertEqual(parse(json.dumps(document)), Book(book.kept))

    @given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
    def test_any_text(self, text: str) -> None:
        """Any other text is damaged, or newer, and nothing else happens."""
        self.assertRaises((TokensDamaged, TokensNewer), parse, text)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["version", "tokens", "changes", "0" * 8])
                    | st.text(),
                    inner,
                    max_size=4,
                )
            ),
        )
    )
    def test_any_document(self, document: object) -> None:
        """Nor does anything else happen for any JSON."""
        try:
            found = parse(json.dumps(document))
        except (TokensDamaged, TokensNewer):
            return
        self.assertEqual(found, Book())

    def damaged(self, without: str = "", **more: object) -> str:
        """What is said of a token whose row lacks something, or has something else."""
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
        """What is unknown may have been meant to say that it may do less."""
        said = self.damaged(only="mondays")
        self.assertIn("only: found an unknown key", said)

    def test_nothing_odd(self) -> None:
        """Each value is of its kind, or told with what could be."""
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
        """Nor is a file right that has no tokens, or some by other names."""
        row = self.document["tokens"][self.token.id]
        for document, why in (
            ({"version": 1}, "tokens: found nothing"),
            ({"version": 1, "tokens": []}, "tokens: found []"),
            ({"version": 1, "tokens": {"x": row}}, "the name 'x'"),
            ({"version": 1, "tokens": {}, "x": 1}, "x: found an unknown key"),
            ({"tokens": {}}, "version: found nothing"),
            ({"version": 0, "tokens": {}}, "version: found 0"),
            ({"version": True, "tokens": {}}, "version: found true"),
            ([], "no JSON object"),
        ):
            error = self.assertRaises(TokensDamaged, parse, json.dumps(document))
            self.assertIn(why, str(error))
        self.assertRaises(TokensDamaged, parse, "[" * 100_000)

    def test_newer(self) -> None:
        """What a later version has written is called so, whatever is in it."""
        error = self.assertRaises(TokensNewer, parse, '{"version": 2, "any": 1}')
        self.assertIn("version is 2", str(error))

    def test_too_many(self) -> None:
        """There is a bound."""
        many = {f"{n:08x}": evolve(self.token, id=f"{n:08x}") for n in range(MOST + 1)}
        error = self.assertRaises(TokensDamaged, parse, render(Book(many)))
        self.assertIn(f"more than {MOST}", str(error))

    def test_changes_odd(self) -> None:
        """A change that lacks anything, has more, or has it wrong is no change."""
        row = json.loads(render(Book({}, [CHANGE])))["changes"][0]
        value: object
        for name, value in (
            *(("what", each) for each in (None, "mad", 1)),
            *(("who", each) for each in (None, "x" * 301)),
            *(("time", each) for each in (None, -1, LAST_TIME + 1)),
            *(("token", each) for each in (1, "x", "0" * 9)),
            *(("name", "a b"), ("commands", []), ("actions", 1), ("own", 0)),
            *(("expires", "soon"), ("lost", -1), ("lost", True), ("more", 1)),
        ):
            said = self.changes_damaged([{**row, name: value}])
            self.assertIn(f"changes[0].{name}: found ", said)
        for name in row:
            less = {key: row[key] for key in row if key != name}
            said = self.changes_damaged([less])
            self.assertIn(f"changes[0].{name}: found nothing", said)
        for rows in (None, 1, [1]):
            self.assertIn("allowed: a list of tables", self.changes_damaged(rows))
        said = self.changes_damaged([row] * (MOST_CHANGES + 1))
        self.assertIn(f"more than {MOST_CHANGES}", said)

    def changes_damaged(self, rows: object) -> str:
        text = json.dumps({**self.document, "changes": rows})
        return str(self.assertRaises(TokensDamaged, parse, text))


class ChangedTests(SynchronousTestCase):
    """What became of tokens stands beside them until it is noted."""

    @given(st.lists(st.lists(TOKENS, max_size=3).map(lambda each: kept(*each))))
    def test_all(self, states: list[Kept]) -> None:
        """Whoever knows all changes knows which tokens there are."""
        book, there = Book(), set[str]()
        for time, state in enumerate(states):
            book = book.changed(state, "me", time)
        for each in book.changes:
            self.assertEqual(each.who, "me")
            self.assertEqual(each.token in there, each.what != "made")
            (there.discard if each.what == "revoked" else there.add)(each.token)
        self.assertEqual(there, set(book.kept))
        self.assertEqual(book.without(book.changes), Book(book.kept))
        self.assertEqual(book.without(book.changes[:1]).changes, book.changes[1:])

    def test_bounded(self) -> None:
        """Of too many the oldest are counted; none is as long as somebody likes."""
        token, _ = make("pi", Grant(commands=("x" * 128,) * 9), NOW)
        book = Book()
        for time in range(MOST_CHANGES + 3):
            book = book.changed({} if book.kept else kept(token), "y" * 999, time)
        first, *rest = book.changes
        self.assertEqual((len(rest) + 1, first.time, first.lost), (MOST_CHANGES, 3, 3))
        self.assertEqual({each.lost for each in rest}, {0})
        self.assertEqual((len(first.who), len(first.commands)), (300, 300))
        self.assertEqual(parse(render(book)), book)
