"""Properties of L{shellstream.config.parameters}: the limits of every value."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.parameters import (
    Boolean,
    Integer,
    Number,
    Parameter,
    String,
)
from tests.support.parameters import VALUES, accepted

#: However slow the machine, and though a test passes over what does not concern it.

SMALL = st.integers(-200, 200)
LOW, HIGH = st.none() | st.integers(-300, -50), st.none() | st.integers(50, 300)
WORDS = st.sampled_from(["", "a", "ab", "-", "true"])
#: A parameter of each type, with values that it takes more often than not.
LIKELY: tuple[tuple[st.SearchStrategy[Parameter], st.SearchStrategy[object]], ...] = (
    (
        st.builds(Boolean, name=st.just("p")),
        st.booleans() | st.sampled_from(["true", "false"]),
    ),
    (
        st.builds(Integer, name=st.just("p"), min=LOW, max=HIGH),
        SMALL | SMALL.map(str) | SMALL.map("{:+05d}".format),
    ),
    (
        st.builds(Number, name=st.just("p"), min=LOW, max=HIGH | st.floats(60, 90)),
        SMALL | SMALL.map(str) | st.floats(-99, 99) | st.floats(-99, 99).map(repr),
    ),
    (
        st.builds(
            String,
            name=st.just("p"),
            pattern=st.sampled_from([None, re.compile("[a-z]*"), re.compile("a|b+|-")]),
            choices=st.sampled_from([None, ("", "a", "ab", "-", "a\n")]),
            max_length=st.integers(1, 30),
        ),
        WORDS | st.text("ab", max_size=5) | st.just("a\n"),
    ),
)
#: What is mostly taken, and what is mostly not.
CASES = st.one_of(*(st.tuples(parameter, likely) for parameter, likely in LIKELY))
ODD_CASES = st.one_of(*(st.tuples(parameter, VALUES) for parameter, _ in LIKELY))


def fits(schema: Mapping[str, Any], value: Any) -> bool:
    """Return whether a value is valid by a parameter's schema."""
    types: dict[str, Any] = {"string": str, "integer": int, "boolean": bool}
    wanted = types.get(schema["type"], int | float)
    if not isinstance(value, wanted) or isinstance(value, bool) is not (wanted is bool):
        return False
    rules = {
        "minimum": lambda bound: value >= bound,
        "maximum": lambda bound: value <= bound,
        "maxLength": lambda most: len(value) <= most,
        "enum": lambda choices: value in choices,
        "pattern": lambda pattern: re.fullmatch(pattern, value),
    }
    return all(rule(schema[name]) for name, rule in rules.items() if name in schema)


class AcceptProperties(SynchronousTestCase):
    """Invariants of every parameter type and value."""

    @given(CASES | ODD_CASES)
    def test_only_what_the_schema_says(self, case) -> None:
        """An accepted value is valid by the schema, or its text's meaning is."""
        parameter, value = case
        text = accepted(parameter, value)
        if text is not None:
            meant = value
            if isinstance(value, str) and not isinstance(parameter, String):
                meant = json.loads(text)
            self.assertTrue(fits(parameter.schema(), meant), (parameter, value, text))

    @given(CASES)
    def test_all_that_the_schema_says(self, case) -> None:
        """A value that is valid by the schema is accepted."""
        parameter, value = case
        assume(fits(parameter.schema(), value))
        self.assertIsNotNone(accepted(parameter, value))

    @given(CASES | ODD_CASES)
    def test_clean(self, case) -> None:
        """An accepted value can be an argv item: text without NUL that encodes."""
        text = accepted(*case)
        if text is not None:
            self.assertIs(type(text), str)
            self.assertNotIn("\0", text)
            self.assertEqual(text.encode().decode(), text)

    @given(st.text(st.characters(codec=None), max_size=5))
    def test_any_text(self, text) -> None:
        """A string accepts all text except NUL and halves of surrogate pairs."""
        clean = "\0" not in text and not re.search("[\ud800-\udfff]", text)
        self.assertEqual(accepted(String(name="p"), text), text if clean else None)

    @given(CASES)
    def test_canonical(self, case) -> None:
        """The text of an accepted value is accepted, and does not change again."""
        text = accepted(*case)
        assume(text is not None)
        self.assertEqual(accepted(case[0], text), text)

    @given(st.integers() | st.integers(-(10**41), 10**41))
    def test_integers(self, value) -> None:
        """An integer is passed on as its digits, from text as from JSON."""
        expected = str(value) if abs(value) < 10**40 else None
        for given_as in (value, str(value)):
            self.assertEqual(accepted(Integer(name="p"), given_as), expected)

    @given(st.floats())
    def test_floats(self, value) -> None:
        """A number reads back exactly, or is refused."""
        text = accepted(Number(name="p"), value)
        if math.isfinite(value) and abs(value) < 10**40:
            self.assertEqual(float(text or "nan"), value)
            self.assertEqual(accepted(Number(name="p"), repr(value)), text)
        else:
            self.assertIsNone(text)
