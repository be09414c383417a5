"""Tests for L{shellstream.config.loader}.

No file at all makes it fail, by hypothesis.
"""

import json
import tomllib
from datetime import date, time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.loader import Config, ConfigError, parse
from shellstream.config.templates import placeholders
from shellstream.model.errors import ParametersRefused
from tests.support.configurations import schema_errors

TEXTS = st.text(max_size=6) | st.sampled_from(["a", "x {p}", "{{p}}", "/srv", "[a-z]+"])
NUMBERS = st.integers(-(10**18), 10**18) | st.floats() | st.integers(-1, 5)
SCALARS = st.booleans() | NUMBERS | TEXTS | st.dates() | st.datetimes() | st.times()
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=6,
)
#: The keys there are, with values that are right more often than not, so that the
#: rules beyond types are reached.
DASHED = st.sampled_from(["a", "-v", "/srv/x"])
KINDS: dict[str, dict[str, st.SearchStrategy[object]]] = {
    "string": {
        "default": DASHED,
        "pattern": st.sampled_from([".*", "[a-z]", "["]),
        "choices": st.lists(DASHED, min_size=1),
        "max_length": st.integers(0, 9),
    },
    "integer": {"default": NUMBERS, "min": NUMBERS, "max": NUMBERS},
    "number": {"default": NUMBERS, "min": NUMBERS, "max": NUMBERS},
    "boolean": {"default": st.booleans()},
    "path": {"roots": st.just(["/srv"]), "default": DASHED},
}
PARAMETER = st.one_of(
    *(
        st.fixed_dictionaries(
            {"type": st.just(kind)},
            optional={**keys, "required": st.booleans(), "description": TEXTS},
        )
        for kind, keys in KINDS.items()
    )
)
SIZES = st.sampled_from(["1 KiB", "64 MiB", "7", "1 KB", "0"])
LIMITS: dict[str, st.SearchStrategy[object]] = {
    "timeout": st.floats(1, 9) | NUMBERS,
    "idle_timeout": st.floats(1, 9),
    "grace": st.floats(1, 9),
    "linger": st.floats(0, 9),
    "stall_timeout": st.floats(1, 9),
    "retain": SIZES | NUMBERS,
    "on_disconnect": st.sampled_from(["cancel", "keep", "stop"]),
    "on_full": st.sampled_from(["drop-oldest", "pause", "cancel"]),
    "sync": st.sampled_from(["end", "always", "never"]),
    "when_busy": st.sampled_from(["queue", "reject", "join", "replace"]),
    "stdin": st.booleans() | TEXTS,
    "tty": st.booleans(),
    "unbuffer": st.sampled_from(["auto", "pty", "off", "on"]),
    "user": TEXTS,
    "group": TEXTS,
    "umask": st.sampled_from(["022", "0", "9"]) | NUMBERS,
    "nice": st.integers(-21, 20),
    "memory": SIZES | NUMBERS,
    "cpu_seconds": NUMBERS,
    "processes": NUMBERS,
    "open_files": NUMBERS,
    "file_size": SIZES,
    "no_new_privileges": st.booleans(),
    "die_with_daemon": st.booleans(),
}
NAMES = st.sampled_from(["p", "p", "q", "P"])
ARGV = st.sampled_from([["run"], ["run", "{p}"], ["run", "{p}", "-{q}"], ["{p}"], []])
COMMAND = st.fixed_dictionaries(
    {},
    optional={
        "argv": ARGV,
        "shell": TEXTS,
        "params": st.dictionaries(NAMES, PARAMETER, max_size=2),
        "env": st.dictionaries(NAMES, TEXTS, max_size=2),
        **LIMITS,
        "max_running": NUMBERS,
        "get": st.booleans(),
    },
)
#: One that is right but for what its parameter makes of it.
LIKELY = st.fixed_dictionaries(
    {
        "argv": st.just(["run", "{p}"]),
        "params": st.fixed_dictionaries({"p": PARAMETER}),
    }
)
DOCUMENTS = st.fixed_dictionaries(
    {"commands": st.dictionaries(NAMES, LIKELY | COMMAND, min_size=1, max_size=2)},
    optional={
        **LIMITS,
        "max_running": st.integers(1, 9),
        "max_queued": st.integers(1, 9),
        "drain": st.floats(0, 9),
        "keep": st.dictionaries(
            st.sampled_from(["age", "runs", "bytes"]), st.integers(1, 9) | SIZES
        ),
    },
)


def written(value: object) -> str:
    """A value in TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():  # JSON's strings are TOML's, but for DEL
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(map(written, value))}]"
        case dict():
            pairs = (f"{written(key)} = {written(each)}" for key, each in value.items())
            return f"{{{', '.join(pairs)}}}"
    assert isinstance(value, date | time)
    return value.isoformat()


def document(values: dict[str, object]) -> str:
    """A file that holds these values, each on a line of its own."""
    return "".join(f"{written(k)} = {written(v)}\n" for k, v in values.items())


class ParseProperties(SynchronousTestCase):
    """For any text, L{parse} returns a L{Config} or reports mistakes."""

    def parsed(self, text: str) -> Config | None:
        """The configuration; L{None} if there are mistakes, which must be complete."""
        try:
            config = parse(text)
        except ConfigError as mistaken:
            self.assertTrue(mistaken.mistakes)
            for each in mistaken.mistakes:
                self.assertTrue((each.key or each.place) and each.found, each)
            return None
        # An editor never complains of a file that the daemon accepts.
        self.assertEqual(schema_errors(text), [])
        return config

    @given(st.text() | st.text("[]{}=.'\"\n ax1", max_size=40))
    def test_any_text(self, text) -> None:
        """Text that is not a configuration is a mistake, never another error."""
        self.assertIsNone(self.parsed(text))

    @given(st.dictionaries(TEXTS, ANYTHING, max_size=4))
    def test_any_document(self, values) -> None:
        """TOML that is not a configuration is a mistake, never another error."""
        self.assertEqual(set(tomllib.loads(document(values))), set(values))
        self.assertIsNone(self.parsed(document(values)))

    @given(DOCUMENTS)
    def test_almost_right(self, values) -> None:
        """An accepted configuration has all of its commands, and each can be filled."""
        config = self.parsed(document(values))
        if config is None:
            return
        self.assertEqual(set(config.commands), set(values["commands"]))
        self.assertEqual(config.max_running, values.get("max_running", 1000))
        for command in config.commands.values():
            used = {name for item in command.argv for name in placeholders(item)}
            if command.shell is None:
                self.assertEqual(used, set(command.params))
            required = {p.name for p in command.params.values() if p.default is None}
            for parameter in command.params.values():
                self.assertTrue(json.dumps(parameter.schema()))
            try:
                command.invoke([])
            except ParametersRefused as refused:
                self.assertEqual({each.name for each in refused.refused}, required)
            else:
                self.assertEqual(required, set())
