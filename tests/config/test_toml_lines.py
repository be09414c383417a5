"""Tests for L{shellstream.config.toml_lines}: the lines of keys."""

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.toml_lines import key_lines, line_of

EXAMPLE = Path(__file__).absolute().parents[2] / "deploy" / "shellstream.toml.example"

TEXT = '''# a = 1
top = """
x = 1
[y] \\""" ""\\"
"""  # "
"quoted key" . 'it' = [ # ]
  "]", {
  } ]
[ a . "b.c" ]
k = {l = 1, m = """
"""}
n = \'\'\'
[z]\'\'\'\'
[a.d]
o = '#'
[[list]]
p = 1
'''

KEYS = {
    "top": 2,
    '"quoted key"': 6,
    '"quoted key".it': 6,
    "a": 9,
    'a."b.c"': 9,
    'a."b.c".k': 10,
    'a."b.c".n': 12,
    "a.d": 14,
    "a.d.o": 15,
    "list": 16,
    "list.p": 17,
}

VALUES = st.sampled_from(
    ["1", "'a'", '"#"', "[1, # ]\n2]", '"""\nx = 1\n\\"""[y]"""', "'''\n[x]\n'''"]
)


class KeyLinesTests(SynchronousTestCase):
    """Each key has the line on which its statement begins."""

    def test_keys(self) -> None:
        """Strings, lists and comments hide no key, and none of theirs is taken."""
        self.assertEqual(key_lines(TEXT), KEYS)

    def test_example(self) -> None:
        """Each key of the example is found where a reader would find it."""
        text = EXAMPLE.read_text("utf-8")
        lines, table = key_lines(text), ""
        for number, line in enumerate(text.splitlines(), 1):
            if header := re.match(r"\[(.+?)\]", line):
                table = f"{header[1]}."
                self.assertEqual(lines[header[1]], number)
            elif (key := re.match(r"[\w.]+(?= = )", line)) and line != "":
                self.assertEqual(lines[table + key[0]], number)

    @given(st.lists(VALUES, max_size=8))
    def test_any(self, values: list[str]) -> None:
        """A key's line is one more than the number of lines before it."""
        text, expected = "", {}
        for number, value in enumerate(values):
            expected[f"k{number}"] = text.count("\n") + 1
            text += f"k{number} = {value}\n"
        self.assertEqual(key_lines(text), expected)

    def test_nearest(self) -> None:
        """A key without a line has that of the table around it, or the first."""
        self.assertEqual(line_of("a.d.missing", KEYS), 14)
        self.assertEqual(line_of("missing", KEYS), 1)
