"""Tests for L{shellstream.config.toml_syntax}: syntax errors in words."""

import tomllib

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.toml_syntax import _WORDS, syntax_mistake

#: A text for each of our words: where it is wrong, and some of the words.
WRONG = (
    ("hello", (1, 6), "expected = after the key"),
    ("hello world", (1, 7), "expected = after the key"),
    ("\u00e4 = 1", (1, 1), "need quotes"),
    ("a.\u00e4 = 1", (1, 3), "need quotes"),
    ("a = 1 2", (1, 7), "the end of the line"),
    ("a = \n", (1, 5), "expected a value"),
    ("a = hello", (1, 5), "(in quotes)"),
    ("[a]\n[a]", (2, 3), "this table is declared above"),
    ("a = 1\na = 2\n", (2, 6), "this key has a value above"),
    ("a = 1\na.b = 2\n", (2, 8), "above already"),
    ("a = {b = 1}\na.b = 2\n", (2, 8), "above already"),
    ("a = {b = 1, b = 2}", (1, 18), "this key has a value before"),
    ("a = [1, 2", (1, 10), "the list is not closed"),
    ("a = {b = 1\n}", (1, 11), "the table is not closed"),
    ("a = 'x\nb = 'y'", (1, 7), "before the end of the line"),
    ('a = "x\nb = "y"', (1, 7), "before the end of the line"),
    ('a = """x', (1, 9), "before the end of the file"),
    (r'a = "C:\Users"', (1, 10), "needs another"),
    (r'a = "C:\data"', (1, 10), "needs another"),
    ("[x\ny]", (1, 3), "expected ]"),
    ("[[x]", (1, 4), "end of an array declaration"),
    ("a = 0x\n", (1, 6), "the end of the line"),
)


class SyntaxTests(SynchronousTestCase):
    """A mistake has a line, a column, words that help, and the line itself."""

    def mistake(self, text: str) -> tuple[str, str]:
        error = self.assertRaises(tomllib.TOMLDecodeError, tomllib.loads, text)
        found = syntax_mistake(text, error)
        return found.place, found.found

    def test_words(self) -> None:
        """Each kind of error has its place, and its own words."""
        for text, (line, column), words in WRONG:
            with self.subTest(text=text):
                place, found = self.mistake(text)
                said, shown, caret = found.split("\n")
                self.assertIn(words, said)
                self.assertEqual(place, f"line {line}, column {column}")
                self.assertEqual(shown, "    " + text.split("\n")[line - 1])
                self.assertEqual(caret.index("^"), 4 + column - 1)

    def test_known(self) -> None:
        """Nearly all of our words are for messages that tomllib has today."""
        said: set[str] = set()
        for text, *_ in WRONG:
            error = self.assertRaises(tomllib.TOMLDecodeError, tomllib.loads, text)
            said.update(old for old, _ in _WORDS if str(error).startswith(old))
        self.assertGreaterEqual(len(said), len(_WORDS) - 2)

    def test_long_or_odd(self) -> None:
        """A line that is long, or could steer the terminal, is left out."""
        for text in (f"a = '{'x' * 80}' b", "a = '\x1b[31m'"):
            self.assertNotIn("\n", self.mistake(text)[1])
        self.assertIn("\n    a = \n", self.mistake("a\t= \r\n")[1])

    def test_no_place(self) -> None:
        """What has no place is told in the words there are."""
        self.assertEqual(str(syntax_mistake("", ValueError("odd"))), "TOML: odd")
