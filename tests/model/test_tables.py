"""Tests for L{shellstream.model.tables}."""

import re
from datetime import date
from enum import Enum
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from shellstream.model import tables
from shellstream.model.tables import Mistake, NotAllowed, Table

#: What each check takes, and as what; then what it does not take.
CHECKS: tuple[tuple[Any, list[tuple[object, object]], list[object]], ...] = (
    (tables.boolean, [(True, True), (False, False)], [0, 1, "true", [], None]),
    (tables.string, [("", ""), ("ü", "ü")], ["a\0b", 1, True, ["a"], None]),
    (tables.integer, [(0, 0), (-7, -7)], [True, 1.0, "1", []]),
    (tables.count, [(1, 1), (7, 7)], [0, -1, True, 1.0, "1"]),
    (
        tables.name,
        [("nobody", "nobody"), ("a.b-c_1$", "a.b-c_1$"), ("1000", "1000")],
        ["", "-x", "a b", "a:b", "a,b", "a/b", "a\n", "a\0", "x" * 300, 1000, None],
    ),
    (
        tables.mask,
        [("022", 0o22), ("0077", 0o77), ("7", 7), ("000", 0)],
        ["", "8", "1000", "0o22", "-1", " 22", "٢", 22, 0o22, True, None],
    ),
    (
        tables.niceness,
        [(-20, -20), (0, 0), (19, 19)],
        [-21, 20, "5", 5.0, True, None],
    ),
    (
        tables.number,
        [(1, 1), (-0.5, -0.5)],
        [True, "1", float("nan"), float("inf"), float("-inf")],
    ),
    (
        tables.seconds,
        [(30, 30.0), (0.5, 0.5), (10**9, 1e9)],
        [0, -1, True, "1", float("nan"), float("inf"), 10**9 + 1],
    ),
    (
        tables.duration,
        [(0, 0.0), (0.0, 0.0), (30, 30.0), (0.5, 0.5), (10**9, 1e9)],
        [-1, True, False, "1", float("nan"), float("inf"), 10**9 + 1],
    ),
    (
        tables.size,
        [
            (1, 1),
            (65536, 65536),
            ("7", 7),
            ("64KiB", 64 << 10),
            ("64 MiB", 64 << 20),
            ("2 GiB", 2 << 30),
            ("1 TiB", 1 << 40),
            ("1023 TiB", 1023 << 40),
        ],
        [
            *(0, -1, True, 1.0, 1 << 50, 10**400, 16**5000, [], None),
            *("", "0", "0 KiB", "1 KB", "1 kib", "64  KiB", " 1", "1\n", "-1"),
            *("1.5 MiB", "\u0663", "1024 TiB"),
        ],
    ),
    (tables.strings, [(["a", ""], ("a", ""))], [[], "a", ["a", 1], ["a\0"], [["a"]]]),
    (tables.folder, [("/", "/"), ("/srv", "/srv")], ["", "srv", "./x", "/a\0", 1]),
    (tables.folders, [(["/a", "/b"], ("/a", "/b"))], [[], "/a", ["a"], ["/a", 1]]),
    (tables.table, [({}, {}), ({"a": 1}, {"a": 1})], [[], "a", 1]),
    (
        tables.variables,
        [({}, {}), ({"A_1": "x"}, {"A_1": "x"})],
        [{"1A": "x"}, {"a-b": "x"}, {"é": "x"}, {"A": 1}, {"A": "\0"}, {"A=": ""}, []],
    ),
)


class Colour(Enum):
    """Something to choose from."""

    RED = "red"
    BLUE = "blue"


class CheckTests(SynchronousTestCase):
    """A check gives a value as the program wants it, or says what it takes."""

    def test_takes(self) -> None:
        """What fits is given on."""
        for check, fitting, _ in CHECKS:
            for value, expected in fitting:
                with self.subTest(check=check.__name__, value=value):
                    found = check(value)
                    self.assertEqual((found, type(found)), (expected, type(expected)))

    def test_refuses(self) -> None:
        """What does not fit is refused with words for what does."""
        for check, _, unfit in CHECKS:
            for value in unfit:
                with self.subTest(check=check.__name__, value=value):
                    error = self.assertRaises(NotAllowed, check, value)
                    self.assertTrue(str(error))

    def test_huge_numbers(self) -> None:
        """An integer beyond every float is refused like any other that does not fit."""
        self.assertRaises(NotAllowed, tables.seconds, 10**400)
        self.assertRaises(NotAllowed, tables.number, 10**400)

    def test_one_of(self) -> None:
        """A value of an enumeration is its member; for others those there are."""
        check = tables.one_of(Colour)
        self.assertIs(check("red"), Colour.RED)
        wrong: tuple[object, ...] = ("RED", "", 1, True, ["red"], {}, None)
        for value in wrong:
            error = self.assertRaises(NotAllowed, check, value)
            self.assertEqual(str(error), "one of 'red', 'blue'")

    def test_pattern(self) -> None:
        """A regular expression is compiled; a wrong one is refused, and why."""
        self.assertEqual(tables.pattern("[a-z]+"), re.compile("[a-z]+"))
        error = self.assertRaises(NotAllowed, tables.pattern, "[a-")
        self.assertIn("unterminated character set", str(error))
        for wrong in (1, "a\0", "(" * 3000 + ")" * 3000, "a{4294967296}", "(?L)a"):
            with self.subTest(wrong=wrong):
                self.assertRaises(NotAllowed, tables.pattern, wrong)

    def test_pattern_flags(self) -> None:
        """Flags that exclude one another are refused like any other mistake."""
        self.assertRaises(NotAllowed, tables.pattern, "(?a)(?u)x")

    def test_shown(self) -> None:
        """A value is shown in TOML's words, and short."""
        self.assertEqual((tables.shown(True), tables.shown(False)), ("true", "false"))
        self.assertEqual(tables.shown("a"), "'a'")
        self.assertEqual(tables.shown(date(2026, 1, 2)), "datetime.date(2026, 1, 2)")
        self.assertEqual(len(tables.shown("x" * 58)), 60)
        self.assertTrue(tables.shown("x" * 58).endswith("x'"))
        self.assertTrue(tables.shown("x" * 59).endswith("xxx..."))
        self.assertEqual(len(tables.shown("x" * 1000)), 60)

    def test_shown_whatever_it_is(self) -> None:
        """A value that Python would not write out is shown all the same."""
        # Both can be written in a file: get.a.a.a… = 1, get = 0xfff…
        nested: object = 1
        for _ in range(5000):
            nested = {"a": nested}
        for value in (nested, 16**5000):
            self.assertLessEqual(len(tables.shown(value)), 60)


class TableTests(SynchronousTestCase):
    """A L{Table} is emptied key by key, and what is wrong is noted."""

    def setUp(self) -> None:
        self.mistakes: list[Mistake] = []

    def table(self, values: dict[str, object], key: str = "a.b") -> Table:
        return Table("b", key, values, self.mistakes)

    def test_take(self) -> None:
        """A value that fits is given on, a default stands in for one that is absent."""
        table = self.table({"count": 3})
        self.assertEqual(table.read("count", tables.count, 1), 3)
        self.assertEqual(table.read("other", tables.count, 7), 7)
        table.report_unknown()
        self.assertEqual(self.mistakes, [])
        self.assertIn("count", table)
        self.assertNotIn("other", table)
        self.assertEqual((table.raw("count"), table.raw("other")), (3, None))

    def test_wrong(self) -> None:
        """What does not fit is noted, with what would; the default goes on."""
        self.assertEqual(self.table({"count": "x"}).read("count", tables.count, 7), 7)
        expected = Mistake("a.b.count", "'x'", "an integer from 1 to 1000000000")
        self.assertEqual(self.mistakes, [expected])
        self.assertEqual(
            str(expected),
            "a.b.count: found 'x'; allowed: an integer from 1 to 1000000000",
        )

    def test_top(self) -> None:
        """The file itself adds nothing to a key."""
        self.table({"count": "x"}, key="").read("count", tables.count, 7)
        self.assertEqual([each.key for each in self.mistakes], ["count"])

    def test_unknown(self) -> None:
        """A key that nobody took is noted, with those there are and a likely one."""
        table = self.table({"cuont": 3, "odd key": 1})
        table.read("count", tables.count, 1)
        table.report_unknown()
        self.assertEqual(
            self.mistakes,
            [
                Mistake(
                    "a.b.cuont",
                    "an unknown key (did you mean 'count'?)",
                    "the keys count",
                ),
                Mistake('a.b."odd key"', "an unknown key", "the keys count"),
            ],
        )

    def test_tables(self) -> None:
        """Tables inside are given under their names, all else is noted."""
        values: dict[str, object] = {"x": {"good": {"k": 1}, "b d": {}, "no": 1}}
        table = self.table(values)
        (good,) = table.tables("x", re.compile("[a-z]+"))
        self.assertEqual((good.name, good.key), ("good", "a.b.x.good"))
        self.assertEqual(good.read("k", tables.integer, 0), 1)
        self.assertEqual(
            self.mistakes,
            [
                Mistake('a.b.x."b d"', "the name 'b d'", "names like [a-z]+"),
                Mistake("a.b.x.no", "1", "a table"),
            ],
        )

    def test_table(self) -> None:
        """A table inside has its own keys; one that is not there is empty."""
        table = self.table({"x": {"k": 1, "z": 2}, "y": 3})
        inside = table.table("x")
        self.assertEqual((inside.name, inside.key), ("x", "a.b.x"))
        self.assertEqual(inside.read("k", tables.integer, 0), 1)
        self.assertEqual(self.mistakes, [])
        inside.report_unknown()
        self.assertEqual([each.key for each in self.mistakes], ["a.b.x.z"])
        self.assertEqual(table.table("none").read("k", tables.integer, 7), 7)
        self.assertEqual(table.table("y").read("k", tables.integer, 7), 7)
        self.assertEqual(self.mistakes[1:], [Mistake("a.b.y", "3", "a table")])

    def test_no_tables(self) -> None:
        """Where a table is wanted something else is noted, and nothing is found."""
        self.assertEqual(list(self.table({"x": 3}).tables("x", re.compile(""))), [])
        self.assertEqual(self.mistakes, [Mistake("a.b.x", "3", "a table")])
