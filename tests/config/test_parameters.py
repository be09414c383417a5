"""Tests for L{shellstream.config.parameters}: the values of each type, by example."""

import re

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.parameters import (
    KINDS,
    MAX_LENGTH,
    Boolean,
    Integer,
    InvalidValue,
    Number,
    Path,
    String,
)
from tests.support.parameters import ParameterTestCase

#: What no type takes.
NEVER: tuple[object, ...] = (
    None,
    [],
    ["4"],
    {},
    {"a": 1},
    "\0",
    "4\0",
    "\ud800",
    "true\n",
    "4\n",
)


class StringTests(ParameterTestCase):
    """A L{String} is text that fits the limits of the operator."""

    def test_any(self) -> None:
        """Text is passed on unchanged."""
        for text in (
            "",
            "a b",
            "ü€\U0001f600",
            "$(rm -rf /)",
            "a\nb",
            "-x",
            "x" * 4096,
        ):
            self.assertEqual(String(name="p").accept(text), text)

    def test_unfit(self) -> None:
        """NUL, halves of surrogate pairs, long text and other types are refused."""
        unfit = ("\0", "a\0b", "\ud800", "a\udcff", "x" * (MAX_LENGTH + 1))
        self.assert_refused(String(name="p"), *unfit, 1, 1.5, True, None, [], {})

    def test_what_was_found(self) -> None:
        """The refusal of another type uses the words of JSON."""
        for value, word in (
            (1, "a number"),
            (1.5, "a number"),
            (True, "true or false"),
            (None, "null"),
            (["a"], "a list or object"),
            ({}, "a list or object"),
        ):
            error = self.assertRaises(InvalidValue, String(name="p").accept, value)
            self.assertEqual(str(error), f"takes a string, not {word}")

    def test_pattern(self) -> None:
        """A pattern is matched from end to end, a final line break included."""
        parameter = String(name="p", pattern=re.compile("[a-z]+|x y"))
        self.assertEqual(
            [parameter.accept(each) for each in ("abc", "x y")], ["abc", "x y"]
        )
        self.assert_refused(parameter, "abc\n", "abc def", "", "\nabc", "ABC")

    def test_choices(self) -> None:
        """Choices are exact."""
        parameter = String(name="p", choices=("all", "docs"))
        self.assertEqual(parameter.accept("docs"), "docs")
        self.assert_refused(parameter, "doc", "ALL", "", "docs ", "all\n")

    def test_max_length(self) -> None:
        """Length is counted in characters, as JSON Schema counts it."""
        parameter = String(name="p", max_length=3)
        self.assertEqual(parameter.accept("\U0001f600" * 3), "\U0001f600" * 3)
        self.assert_refused(parameter, "abcd")

    def test_deeply_nested(self) -> None:
        """A value nested too deeply to be shown is refused."""
        value: object = "x"
        for _ in range(5000):
            value = [value]
        self.assert_refused(String(name="p"), value)


class IntegerTests(ParameterTestCase):
    """An L{Integer} is passed on in plain decimal digits."""

    def test_canonical(self) -> None:
        """The same number gives the same text, however it is written."""
        parameter = Integer(name="p")
        for value in (7, "7", "+7", "007"):
            self.assertEqual(parameter.accept(value), "7")
        for value in (0, "0", "-0", "+0", "000"):
            self.assertEqual(parameter.accept(value), "0")
        self.assertEqual(parameter.accept("-42"), "-42")

    def test_unfit(self) -> None:
        """Other numerals, other notations and other types are refused."""
        texts = (
            "",
            "\u0663",
            "\uff14",
            "4.0",
            "4e0",
            "0x10",
            "1_000",
            " 4",
            "4 ",
            "--4",
        )
        self.assert_refused(Integer(name="p"), *texts, *NEVER, True, False, 4.5)
        self.assert_refused(Integer(name="p"), float("nan"), float("inf"))
        # Floats this large skip integers.
        self.assert_refused(Integer(name="p"), 2.0**54, -1e300)
        for value in (4.0, 4e0, 0.04e2):
            self.assertEqual(Integer(name="p").accept(value), "4")
        self.assertEqual(Integer(name="p").accept(-0.0), "0")

    def test_bounds(self) -> None:
        """Both limits are themselves accepted."""
        parameter = Integer(name="p", min=-2, max=3)
        self.assertEqual([parameter.accept(n) for n in (-2, 3)], ["-2", "3"])
        self.assert_refused(parameter, -3, 4, "-3", "4")

    def test_oversize(self) -> None:
        """More than forty digits are refused without any work."""
        self.assertEqual(Integer(name="p").accept("9" * 40), "9" * 40)
        self.assert_refused(
            Integer(name="p"), 10**40, -(10**40), "9" * 41, "9" * 100_000
        )


class NumberTests(ParameterTestCase):
    """A L{Number} is finite, and passed on in the shortest form that reads back."""

    def test_taken(self) -> None:
        """Decimal and exponent notation are understood."""
        parameter = Number(name="p")
        for value in (0.5, "0.5", "+0.5", "0.50", "5e-1", "5E-01"):
            self.assertEqual(parameter.accept(value), "0.5")
        self.assertEqual(parameter.accept(-1.5), "-1.5")

    def test_canonical(self) -> None:
        """The same number gives the same text, however it is written."""
        parameter = Number(name="p")
        for values in ((4, "4", 4.0, "4e0"), (10**39, str(10**39), 1e39)):
            self.assertEqual(len({parameter.accept(value) for value in values}), 1)

    def test_unfit(self) -> None:
        """Infinite numbers, other notations and other types are refused."""
        texts = (
            "",
            "nan",
            "inf",
            "Infinity",
            "1e999",
            "-1e999",
            "1e40",
            "\u0663",
            ".5",
        )
        more = ("5.", "0x1p3", "1_0", "1,5", " 1", "1 ", "1e", "1e1000", "9" * 41)
        self.assert_refused(Number(name="p"), *texts, *more, *NEVER, True, False)
        floats = [float(text) for text in ("nan", "inf", "-inf", "1e40")]
        self.assert_refused(Number(name="p"), *floats, 10**40, 10**400)

    def test_bounds(self) -> None:
        """Both limits are themselves accepted, and nothing beyond them."""
        parameter = Number(name="p", min=0, max=1.5)
        self.assertEqual([parameter.accept(n) for n in (0, 1.5)], ["0", "1.5"])
        self.assert_refused(parameter, -0.1, "1.6", "nan", float("nan"))


class BooleanTests(ParameterTestCase):
    """A L{Boolean} is passed on as C{true} or C{false}."""

    def test_taken(self) -> None:
        """JSON's own words are accepted, as values and as text."""
        parameter = Boolean(name="p")
        self.assertEqual([parameter.accept(v) for v in (True, "true")], ["true"] * 2)
        self.assertEqual([parameter.accept(v) for v in (False, "false")], ["false"] * 2)

    def test_unfit(self) -> None:
        """Other words and numbers are refused."""
        words = ("True", "TRUE", "yes", "on", "1", "0", "", " true")
        self.assert_refused(Boolean(name="p"), *words, *NEVER, 0, 1, 1.0)


class SchemaTests(SynchronousTestCase):
    """Each type describes what it accepts as JSON Schema."""

    def test_schemas(self) -> None:
        """The schema holds all limits, and the default as the type's own value."""
        pattern = re.compile("a|b")
        described = String(
            name="p", description="what it is", pattern=pattern, default="a"
        )
        self.assertEqual(
            described.schema(),
            {
                "type": "string",
                "maxLength": MAX_LENGTH,
                "pattern": "^(?:a|b)$",
                "description": "what it is",
                "default": "a",
            },
        )
        choices = String(name="p", choices=("a", "b"), max_length=1)
        self.assertEqual(
            choices.schema(), {"type": "string", "maxLength": 1, "enum": ("a", "b")}
        )
        self.assertEqual(
            Integer(name="p", min=0, max=3, default="2").schema(),
            {"type": "integer", "minimum": 0, "maximum": 3, "default": 2},
        )
        self.assertEqual(
            Number(name="p", max=0.5, default="0.25").schema(),
            {"type": "number", "maximum": 0.5, "default": 0.25},
        )
        self.assertEqual(
            Boolean(name="p", default="false").schema(),
            {"type": "boolean", "default": False},
        )

    def test_path(self) -> None:
        """The schema of a path does not show its roots."""
        schema = Path(name="p", roots=("/srv/app",)).schema()
        self.assertNotIn("/srv/app", repr(schema))
        self.assertEqual(schema["type"], "string")

    def test_kinds(self) -> None:
        """Each type is found by its name in the configuration."""
        names = {"string", "integer", "number", "boolean", "path"}
        self.assertEqual(set(KINDS), names)
        for name, kind in KINDS.items():
            self.assertEqual(kind.kind, name)
