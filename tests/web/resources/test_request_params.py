"""Tests for L{shellstream.web.resources.request_params}."""

import json
import re
from urllib.parse import quote, urlencode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.errors import BodyMalformed, MediaTypeUnsupported
from shellstream.web.resources.request_params import (
    MAX_FIELDS,
    JsonPairs,
    from_body,
    from_json,
    from_query,
)

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

PAIRS = st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
).filter(lambda value: "Infinity" not in json.dumps(value))
BODIES = st.one_of(
    st.binary(),
    st.text('{}[]":,x1 \\ue-.', max_size=30).map(str.encode),
    st.text("x=&%+f0;\u00e9", max_size=30).map(str.encode),
)


class FromQueryTests(SynchronousTestCase):
    """The pairs of a query or form, as they were sent."""

    def test_as_sent(self) -> None:
        """Repeats stay, in order; a name alone is an empty value; & alone separates."""
        expected = {
            b"": [],
            b"&&": [],
            b"a": [("a", "")],
            b"a=": [("a", "")],
            b"=a": [("", "a")],
            b"a=1&b=2&a=3": [("a", "1"), ("b", "2"), ("a", "3")],
            b"a=1;b=2": [("a", "1;b=2")],
            b"a=b=c": [("a", "b=c")],
            b"a=x+y%2B%26": [("a", "x y+&")],
            b"a=%zz": [("a", "%zz")],
        }
        for query, pairs in expected.items():
            with self.subTest(query=query):
                self.assertEqual(from_query(query), pairs)

    def test_most(self) -> None:
        """The allowed number is accepted, one more is not."""
        self.assertEqual(len(from_query(b"&".join([b"a=1"] * MAX_FIELDS))), MAX_FIELDS)
        self.assertRaises(
            BodyMalformed, from_query, b"&".join([b"a"] * (MAX_FIELDS + 1))
        )

    @given(PAIRS)
    def test_round_trip(self, pairs) -> None:
        """An encoded query decodes to the same pairs, for both encodings of a space."""
        self.assertEqual(from_query(urlencode(pairs).encode()), pairs)
        encoded = urlencode(pairs, quote_via=quote).encode()
        self.assertEqual(from_query(encoded), pairs)

    @given(BODIES)
    def test_any_bytes(self, query) -> None:
        """Any bytes are pairs of clean text, or refused."""
        try:
            pairs = from_query(query)
        except BodyMalformed:
            return
        for name, value in pairs:
            self.assertIsNone(re.search("[\ud800-\udfff]", f"{name}{value}"))


class FromBodyTests(SynchronousTestCase):
    """The pairs of a body, by its media type."""

    def test_empty(self) -> None:
        """An empty body has no pairs, with any type."""
        for media_type in ("", JSON, "multipart/form-data", "nonsense"):
            self.assertEqual(from_body(media_type, b""), [])

    def test_bom(self) -> None:
        """A file of JSON may begin with a BOM, as some editors write it."""
        body = '\ufeff{"a": 1}'.encode()
        self.assertEqual(from_body(JSON, body), [("a", 1)])

    def test_types(self) -> None:
        """The type's case and parameters do not matter, the type does."""
        for media_type in (
            JSON,
            "Application/JSON",
            f"{JSON};charset=utf-8",
            f" {JSON} ",
        ):
            self.assertEqual(from_body(media_type, b'{"a": 1}'), [("a", 1)])
        for media_type in (FORM, f"{FORM}; charset=utf-8"):
            self.assertEqual(from_body(media_type, b"a=1"), [("a", "1")])
        for media_type in ("", "text/plain", "application/json5", "application/x"):
            self.assertRaises(MediaTypeUnsupported, from_body, media_type, b"a=1")

    @given(st.lists(st.tuples(st.text(), VALUES), max_size=4))
    def test_json_round_trip(self, pairs) -> None:
        """Pairs in JSON arrive in order, with their repeats."""
        members = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in pairs]
        body = f"{{{', '.join(members)}}}".encode()
        self.assertEqual(from_body(JSON, body), pairs)

    def test_most(self) -> None:
        """The allowed number is accepted, one more is not."""
        body = json.dumps(dict.fromkeys(map(str, range(MAX_FIELDS))))
        self.assertEqual(len(from_body(JSON, body.encode())), MAX_FIELDS)
        body = json.dumps(dict.fromkeys(map(str, range(MAX_FIELDS + 1))))
        self.assertRaises(BodyMalformed, from_body, JSON, body.encode())

    @given(st.sampled_from([FORM, JSON]), BODIES)
    def test_any_bytes(self, media_type, body) -> None:
        """Any bytes are parsed or refused."""
        try:
            pairs = from_body(media_type, body)
        except BodyMalformed as malformed:
            self.assertTrue(str(malformed))
        else:
            self.assertEqual({type(name) for name, _ in pairs} - {str}, set())


class FromJsonTests(SynchronousTestCase):
    """The members of a JSON object, each once."""

    def test_members(self) -> None:
        """Members are found by name; objects in them keep their pairs, repeats too."""
        body = b'{"a": 1, "b": {"x": 1, "x": 2}, "c": [["x", 1]], "d": {}, "e": []}'
        found = from_json(JSON, body)
        pairs = JsonPairs([("x", 1), ("x", 2)])
        expected = {"a": 1, "b": pairs, "c": [["x", 1]], "d": JsonPairs(), "e": []}
        self.assertEqual(found, expected)
        objects = [
            name for name, value in found.items() if isinstance(value, JsonPairs)
        ]
        self.assertEqual(objects, ["b", "d"])

    def test_repeated(self) -> None:
        """A member must not occur twice."""
        self.assertRaises(BodyMalformed, from_json, JSON, b'{"a": 1, "a": 1}')

    def test_media_type(self) -> None:
        """The type may be missing, but must not be another than JSON."""
        for media_type in ("", JSON, f"{JSON}; charset=utf-8", "APPLICATION/JSON"):
            self.assertEqual(from_json(media_type, b'{"a": 1}'), {"a": 1})
        for media_type in (FORM, "text/plain", "text/json"):
            error = self.assertRaises(
                MediaTypeUnsupported, from_json, media_type, b'{"a": 1}'
            )
            self.assertTrue(str(error).endswith("send application/json"))

    @given(BODIES)
    def test_any_bytes(self, body) -> None:
        """Any bytes are parsed or refused."""
        try:
            members = from_json(JSON, body)
        except BodyMalformed as malformed:
            self.assertTrue(str(malformed))
        else:
            self.assertIsInstance(members, dict)
