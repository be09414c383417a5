"""Parameters and values, by example and by hypothesis."""

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.parameters import InvalidValue, Parameter

#: Text of every sort, lone surrogates and NUL too, and text that looks like more.
TEXTS = st.one_of(
    st.text(st.characters(codec=None), max_size=20),
    st.from_regex(r"[+-]?[0-9]{0,45}(\.[0-9]*)?([eE][+-]?[0-9]{0,4})?", fullmatch=True),
    st.sampled_from(
        ["true", "false", "NaN", "1e999", "\u0663", "a", "-", "../x", "/srv"]
    ),
)


#: What JSON can bring, and what Python's reading of it can.
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)


VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=2),
    st.dictionaries(TEXTS, SCALARS, max_size=1),
)


def accepted(parameter: Parameter, value: object) -> str | None:
    """The text that a value becomes; L{None} if it is refused."""
    try:
        return parameter.accept(value)
    except InvalidValue:
        return None


class ParameterTestCase(SynchronousTestCase):
    """The base of the tests of all types."""

    def assert_refused(self, parameter: Parameter, *values: object) -> None:
        """Check that each of these values is refused, with a text."""
        for value in values:
            with self.subTest(value=value):
                error = self.assertRaises(InvalidValue, parameter.accept, value)
                self.assertTrue(str(error))
