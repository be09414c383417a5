"""Tests for L{shellstream.client.escape}: text that a terminal shows."""

import json
import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.escape import encode, printable, printable_json

#: JSON can hold surrogates, and a server may send them.
TEXT = st.text(st.characters(exclude_categories=()), max_size=20)


class EscapeTests(SynchronousTestCase):
    """Text of others controls no terminal, and can be written in any locale."""

    @given(TEXT)
    def test_any(self, text: str) -> None:
        """Any text is one printable line."""
        for found in (printable(text), printable_json({"a": text})):
            self.assertTrue(found.isprintable())
            encode(found)
        self.assertEqual(json.loads(printable_json({"a": text})), {"a": text})

    def test_locale(self) -> None:
        """A person reads text in the encoding of the locale."""
        for encoding, expected in (
            ("utf-8", "\u2192 \u20ac \u00e9".encode()),
            ("iso8859-15", b"\\u2192 \xa4 \xe9"),
            ("ascii", b"\\u2192 \\u20ac \\xe9"),
        ):
            self.patch(sys, "getfilesystemencoding", lambda: encoding)  # noqa: B023
            self.assertEqual(encode("\u2192 \u20ac \u00e9"), expected)
