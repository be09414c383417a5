"""The reader of the page shows lines as a terminal does: L{pyte} is one."""

import json
import sys
import unicodedata
from base64 import b64encode
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pyte
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from wcwidth import wcwidth

from tests.support.programs import needs

HERE = Path(__file__).parent

#: As wide as no line is, and as high as no output.
COLUMNS, ROWS = 400, 60

NAMES = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
BRIGHT = tuple(f"bright{name}" for name in NAMES)

#: The bits of C{sgr.js} that pyte has, too.
FLAGS = {
    "bold": 1,
    "italics": 4,
    "underscore": 8,
    "blink": 16,
    "reverse": 32,
    "strikethrough": 128,
}

Cell = tuple[str, object, object, int]

colours = st.one_of(
    st.sampled_from([*range(30, 38), *range(40, 48), *range(90, 98), 39, 49]).map(str),
    st.tuples(st.sampled_from([38, 48]), st.integers(16, 255)).map(
        lambda two: f"{two[0]};5;{two[1]}"
    ),
    st.tuples(st.sampled_from([38, 48]), *[st.integers(0, 255)] * 3).map(
        lambda all_: f"{all_[0]};2;" + ";".join(map(str, all_[1:]))
    ),
)
attributes = st.sampled_from([0, 1, 3, 4, 5, 7, 9, 22, 23, 24, 25, 27, 29]).map(str)
pieces = st.one_of(
    st.text("abcXYZ 0189[]m;", min_size=1, max_size=6),
    st.sampled_from(["\r", "\n", "\r\n", "\t", "\b", "\x1b[K", "\x1b[1K", "\x1b[2K"]),
    st.lists(st.one_of(colours, attributes), max_size=3).map(
        lambda codes: f"\x1b[{';'.join(codes)}m"
    ),
    st.sampled_from(
        ["\x1b]0;title\x07", "\x1b]2;t\x1b\\", "\x1b[?25l", "\x1b(B", "\x0f"]
    ),
)
outputs = st.lists(pieces, max_size=40).map("".join)


def plain(character: pyte.screens.Char) -> Cell:
    """A cell of pyte's, as the reader has it."""

    def colour(name: str) -> object:
        for at, names in enumerate((NAMES, BRIGHT)):
            if name in names:
                return names.index(name) + 8 * at
        return None if name == "default" else f"#{name}"

    flags = sum(bit for name, bit in FLAGS.items() if getattr(character, name))
    return character.data, colour(character.fg), colour(character.bg), flags


def visible(line: list[Cell]) -> list[Cell]:
    """What can be seen of a line: an erased cell has no attributes that count."""
    cells = [cell if cell[0] != " " else (" ", None, None, 0) for cell in line]
    while cells and cells[-1][0] == " ":
        cells.pop()
    return cells


class NodeTestCase(SynchronousTestCase):
    """Asks a script of the page what it shows."""

    skip = needs("node")

    def start(self, script: str, *arguments: str) -> None:
        argv = ["node", str(HERE / script), *arguments]
        self._node = Popen(argv, stdin=PIPE, stdout=PIPE)
        self.addCleanup(self._stop)

    def _stop(self) -> None:
        self._node.communicate()
        self.assertEqual(self._node.returncode, 0)

    def ask(self, output: str) -> Any:
        """What the script says of an output."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(b64encode(output.encode()) + b"\n")
        self._node.stdin.flush()
        return json.loads(self._node.stdout.readline())


def cells(lines: list[list[list[Any]]]) -> list[list[Cell]]:
    """Lines of cells as JSON has them."""
    return [
        visible([(c, fg, bg, flags) for c, fg, bg, flags in line]) for line in lines
    ]


class ReaderTests(NodeTestCase):
    """Random output, shown by the page's reader and by pyte."""

    def setUp(self) -> None:
        self.start("lines.mjs")

    @settings(max_examples=200, deadline=None)
    @given(outputs)
    def test_pyte(self, output: str) -> None:
        """Lines, colours, and what is redrawn in place are a terminal's."""
        screen = pyte.Screen(COLUMNS, ROWS)
        stream = pyte.Stream(screen)
        stream.feed(output.replace("\n", "\r\n"))
        theirs = [
            visible([plain(row[column]) for column in range(COLUMNS)])
            for row in (screen.buffer[number] for number in range(ROWS))
        ]
        ours = cells(self.ask(output))
        while theirs and not theirs[-1]:
            theirs.pop()
        while ours and not ours[-1]:
            ours.pop()
        self.assertEqual(ours, theirs)


#: What draws on the cursor's line, erases, inserts, deletes and scrolls.
small = st.integers(0, 9)
lines = st.one_of(
    st.text("abcXYZ 019", min_size=1, max_size=9),
    st.tuples(small, st.sampled_from("CDGLPX@")).map("\x1b[{0[0]}{0[1]}".format),
    st.tuples(st.integers(0, 2), st.sampled_from("JK")).map("\x1b[{0[0]}{0[1]}".format),
    st.sampled_from(["\x1bD", "\x1bM", "\r", "\r\n", "\n"]),
    st.lists(st.one_of(colours, attributes), max_size=3).map(
        lambda codes: f"\x1b[{';'.join(codes)}m"
    ),
)
anywhere = st.one_of(
    st.tuples(small, st.integers(0, 30)).map("\x1b[{0[0]};{0[1]}H".format),
    st.tuples(small, st.sampled_from("ABEFd")).map("\x1b[{0[0]}{0[1]}".format),
)
# Outside of a scroll region pyte moves up and down as no terminal does, and it deletes
# no line before one that was never written.
within = st.tuples(st.integers(2, 6), small).map("\x1b[{0[0]};{0[1]}H".format)
drawings = st.one_of(
    st.lists(st.one_of(lines, anywhere), max_size=40).map("".join),
    st.lists(st.one_of(lines, within), max_size=40).map(
        lambda drawn: "\x1b[2;6r\x1b[2;1H" + "".join(drawn)
    ),
)


class WidthTests(NodeTestCase):
    """The cells that characters take."""

    def test_widths(self) -> None:
        """Every character takes as many cells as L{wcwidth} says."""
        self.start("widths.mjs")
        every = [
            each
            for each in map(chr, range(0xAE, sys.maxunicode + 1))
            if unicodedata.category(each) not in ("Cn", "Co", "Cs")
        ]
        found = zip(every, self.ask("".join(every)), strict=True)
        wrong = {each: got for each, got in found if got != wcwidth(each)}
        self.assertEqual(wrong, {})


# pyte keeps both when half of a wide character is written over.
wide = st.lists(
    st.sampled_from(["日本", "👍", "e\u0301", "ab", "한글", "\r\n"]),
    max_size=30,
).map("".join)


class ScreenTests(NodeTestCase):
    """Random drawings, shown by the page's screen and by pyte."""

    ROWS, COLUMNS = 8, 200

    def setUp(self) -> None:
        self.start("screens.mjs", str(self.ROWS), str(self.COLUMNS))

    @settings(max_examples=300, deadline=None)
    @given(st.one_of(drawings, wide))
    def test_pyte(self, output: str) -> None:
        """The cursor, the colours and every cell are a terminal's."""
        screen = pyte.Screen(self.COLUMNS, self.ROWS)
        pyte.Stream(screen).feed(output)
        theirs = [
            visible([plain(row[column]) for column in range(self.COLUMNS)])
            for row in (screen.buffer[number] for number in range(self.ROWS))
        ]
        ours = self.ask(output)
        self.assertEqual(cells(ours["lines"]), theirs)
        self.assertEqual(ours["cursor"], [screen.cursor.y, screen.cursor.x])
