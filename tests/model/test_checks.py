"""Tests for L{shellstream.model.checks}."""

import re
from enum import Enum
from typing import Any

from jsonschema import Draft4Validator
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model import checks
from shellstream.model.checks import NotAllowed

#: What each check takes, and as what; then what it does not take.
CHECKS: tuple[tuple[Any, list[tuple[object, object]], list[object]], ...] = (
    (checks.boolean, [(True, True), (False, False)], [0, 1, "true", [], None]),
    (checks.string, [("", ""), ("ü", "ü")], ["a\0b", 1, True, ["a"], None]),
    (checks.integer, [(0, 0), (-7, -7)], [True, 1.0, "1", []]),
    (checks.count, [(1, 1), (7, 7)], [0, -1, True, 1.0, "1"]),
    (
        checks.name,
        [("nobody", "nobody"), ("a.b-c_1$", "a.b-c_1$"), ("1000", "1000")],
        ["", "-x", "a b", "a:b", "a,b", "a/b", "a\n", "a\0", "x" * 300, 1000, None],
    ),
    (
        checks.mask,
        [("022", 0o22), ("0077", 0o77), ("7", 7), ("000", 0)],
        ["", "8", "1000", "0o22", "-1", " 22", "٢", 22, 0o22, True, None],
    ),
    (
        checks.niceness,
        [(-20, -20), (0, 0), (19, 19)],
        [-21, 20, "5", 5.0, True, None],
    ),
    (
        checks.number,
        [(1, 1), (-0.5, -0.5)],
        [True, "1", float("nan"), float("inf"), float("-inf")],
    ),
    (
        checks.seconds,
        [
            *[(30, 30.0), (0.5, 0.5), (10**9, 1e9), ("90 s", 90.0), ("1.5h", 5400.0)],
            *[("10 min", 600.0), ("10m", 600.0), ("30 d", 2_592_000.0)],
            *[("2w", 1_209_600.0), ("250 ms", 0.25)],
        ],
        [
            *(0, -1, True, "1", float("nan"), float("inf"), 10**9 + 1, "0 s", "-1 s"),
            *("", "1  s", " 1 s", "1 s\n", "1 M", "1 y", "1h30m", "\u0661 s", ".5 s"),
            *("9999999999 w", "s", []),
        ],
    ),
    (
        checks.duration,
        [(0, 0.0), (0.0, 0.0), (0.5, 0.5), (10**9, 1e9), ("0 s", 0.0), ("1m", 60.0)],
        [-1, True, False, "1", float("nan"), float("inf"), 10**9 + 1],
    ),
    (
        checks.size,
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
    (checks.strings, [(["a", ""], ("a", ""))], [[], "a", ["a", 1], ["a\0"], [["a"]]]),
    (checks.folder, [("/", "/"), ("/srv", "/srv")], ["", "srv", "./x", "/a\0", 1]),
    (checks.folders, [(["/a", "/b"], ("/a", "/b"))], [[], "/a", ["a"], ["/a", 1]]),
    (checks.table, [({}, {}), ({"a": 1}, {"a": 1})], [[], "a", 1]),
    (
        checks.variables,
        [({}, {}), ({"A_1": "x"}, {"A_1": "x"})],
        [{"1A": "x"}, {"a-b": "x"}, {"é": "x"}, {"A": 1}, {"A": "\0"}, {"A=": ""}, []],
    ),
)


def beyond_schemas(value: object) -> bool:
    """Return whether a value is wrong in a way that the schemas do not express."""
    if isinstance(value, int) and abs(value) > 10**40:
        return True  # the validator could not even show it
    text = repr(value)
    # A $ of Python's re matches before a line feed at the end, too.
    special = {"nan", "inf", "-inf", "'0'", "'0 KiB'", "'1024 TiB'"}
    special |= {"'0 s'", "'9999999999 w'"}
    return text in special or "\\x00" in text or "\\n" in text


class Colour(Enum):
    """Something to choose from."""

    RED = "red"
    BLUE = "blue"


class CheckTests(SynchronousTestCase):
    """A check returns the value for the program, or says what it accepts."""

    def test_takes(self) -> None:
        """A value that fits is returned."""
        for check, fitting, _ in CHECKS:
            for value, expected in fitting:
                with self.subTest(check=check.allowed, value=value):
                    found = check(value)
                    self.assertEqual((found, type(found)), (expected, type(expected)))

    def test_refuses(self) -> None:
        """A value that does not fit is refused, and the error says what fits."""
        for check, _, unfit in CHECKS:
            for value in unfit:
                with self.subTest(check=check.allowed, value=value):
                    error = self.assertRaises(NotAllowed, check, value)
                    self.assertTrue(str(error))

    def test_schema(self) -> None:
        """The JSON Schema of a check accepts the same values as the check."""
        for check, fitting, unfit in CHECKS:
            Draft4Validator.check_schema(check.schema)
            schema = Draft4Validator(check.schema)
            for value, _ in fitting:
                with self.subTest(check=check.allowed, value=value):
                    self.assertTrue(schema.is_valid(value))
            for value in unfit:
                if not beyond_schemas(value):
                    with self.subTest(check=check.allowed, value=value):
                        self.assertFalse(schema.is_valid(value))

    def test_huge_numbers(self) -> None:
        """An integer beyond every float is refused."""
        self.assertRaises(NotAllowed, checks.seconds, 10**400)
        self.assertRaises(NotAllowed, checks.number, 10**400)

    def test_one_of(self) -> None:
        """A value of an enumeration becomes its member; another is refused."""
        check = checks.one_of(Colour)
        self.assertIs(check("red"), Colour.RED)
        wrong: tuple[object, ...] = ("RED", "", 1, True, ["red"], {}, None)
        for value in wrong:
            error = self.assertRaises(NotAllowed, check, value)
            self.assertEqual(str(error), "one of 'red', 'blue'")

    def test_pattern(self) -> None:
        """A regular expression is compiled; a wrong one is refused with the reason."""
        self.assertEqual(checks.pattern("[a-z]+"), re.compile("[a-z]+"))
        error = self.assertRaises(NotAllowed, checks.pattern, "[a-")
        self.assertIn("unterminated character set", str(error))
        for wrong in (1, "a\0", "(" * 3000 + ")" * 3000, "a{4294967296}", "(?L)a"):
            with self.subTest(wrong=wrong):
                self.assertRaises(NotAllowed, checks.pattern, wrong)

    def test_pattern_flags(self) -> None:
        """Flags that exclude one another are refused like any other mistake."""
        self.assertRaises(NotAllowed, checks.pattern, "(?a)(?u)x")
