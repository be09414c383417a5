"""The reference page of the configuration, and its JSON Schema for editors."""

import ast
import re
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from jsonschema import Draft4Validator
from twisted.trial.unittest import SynchronousTestCase

from docs.generate_configuration import SECTIONS, json_schema, page, pages
from tests.support.configurations import (
    COMMAND,
    PARAMETER,
    mistakes,
    schema_errors,
)

TESTS = Path(__file__).absolute().parents[1]
EXAMPLE = TESTS.parent / "deploy" / "shellstream.toml.example"

#: A mistake of each kind that JSON Schema can express.
WRONG = (
    "commands = 1",
    "[commands.'a b']\nargv = ['a']",
    # Unknown keys, at every level.
    f"defualt = 'x'\n{COMMAND}",
    f"{COMMAND}timout = 3",
    f"{PARAMETER}type = 'string'\nmaxlength = 3",
    f"{PARAMETER}type = 'boolean'\nmin = 3",
    *(f"{COMMAND}[{name}]\nx = 1" for name in ("keep", "audit", "access", "http")),
    f"{COMMAND}[tls]\nx = 1",
    f"{COMMAND}[principals.a]\nx = 1",
    # Values: types, ranges, words, forms.
    f"get = true\n{COMMAND}",
    f"max_running = 0\n{COMMAND}",
    f"max_running = '3'\n{COMMAND}",
    f"drain = -1\n{COMMAND}",
    f"{COMMAND}timeout = 0",
    f"{COMMAND}retain = '1 MB'",
    f"{COMMAND}on_full = 'drop'",
    f"{COMMAND}umask = 22",
    f"{COMMAND}umask = '9'",
    f"{COMMAND}nice = 20",
    f"{COMMAND}user = '-x'",
    f"{COMMAND}cwd = 'srv'",
    f"{COMMAND}env = {{ A = 1 }}",
    f"{COMMAND}env = {{ 'a-b' = '' }}",
    "[commands.x]\nargv = []",
    "[commands.x]\nshell = ' '",
    f"{COMMAND}[audit]\nkeep = 1001",
    f"{COMMAND}[audit]\nfile = '/var/log/'",
    f"{COMMAND}[access]\nhosts = ['a b']",
    f"{COMMAND}[access]\norigins = ['example.org']",
    f"{COMMAND}[principals.a]\nactions = ['walk']",
    f"{COMMAND}[principals.a]\ncertificates = ['alice']",
    f"{COMMAND}[principals.'a b']",
    # Rules that span keys.
    "[commands.x]",
    f"{COMMAND}shell = 'a'",
    f"{COMMAND}[tls]\nkey = '/k.pem'",
    f"{COMMAND}[tls]\nclient_certificate = 'required'",
    f"{COMMAND}[access]\nuser_header = 'X-User'",
    f"{COMMAND}[principals.'*']\ncertificates = ['DNS:a']",
    f"{COMMAND}[principals.anonymous]",
    f"{COMMAND}[notify.a]",
    f"{COMMAND}[notify.a]\nurl = 'http://a/'\nargv = ['a']",
    f"{COMMAND}[notify.a]\nurl = 'http://a/'\nuser = 'nobody'",
    f"{COMMAND}[notify.a]\nargv = ['a']\nmethod = 'PUT'",
    f"{COMMAND}[notify.a]\nargv = ['a']\non = ['sometimes']",
    PARAMETER,
    f"{PARAMETER}type = 'text'",
    f"{PARAMETER}type = 'path'",
    f"{PARAMETER}type = 'integer'\ndefault = 'x'",
    f"{PARAMETER}type = 'string'\nrequired = true\ndefault = 'x'",
    f"{PARAMETER}type = 'string'\nrequired = false",
    f"{PARAMETER}type = 'string'\nsecret = true",
    "[commands.x]\nshell = 'a'\n[commands.x.params.P]\ntype = 'string'",
    "[commands.x]\nshell = 'a'\n"
    "params.p = {type = 'string', secret = true, choices = ['a']}",
)


def configurations() -> Iterator[str]:
    """Every right configuration that a test has as it stands."""
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Constant(value=str(text)) if "[commands." in text:
                    if not mistakes(text):
                        yield text


class PageTests(SynchronousTestCase):
    """The reference files match the code."""

    def test_current(self) -> None:
        """Both files match the code."""
        for path, text in pages():
            self.assertEqual(path.read_text("utf-8"), text, "run docs/generate.py")

    def test_complete(self) -> None:
        """The page has each key that a message about unknown keys names."""
        text = "\n".join(page())
        nonsense = (
            f"x = 1\n{COMMAND}x = 1\n[commands.x.params.p]\ntype = 'string'\nx = 1\n"
            "[commands.y]\nargv = ['a']\nparams.p = {type = 'path', x = 1}\n"
            "[principals.a]\nx = 1\n[keep]\nx = 1\n[audit]\nx = 1\n[access]\nx = 1\n"
            "[http]\nx = 1\n[tls]\nx = 1\n[notify.a]\nargv = ['a']\nx = 1\n"
        )
        tables = {"commands", "params", "principals", "notify"}
        found = [each for each in mistakes(nonsense) if "unknown key" in each[1]]
        self.assertEqual(len(found), 11)
        for _, _, allowed in found:
            for key in set(allowed.removeprefix("the keys ").split(", ")) - tables:
                named = f"`{key}`" in text or f"`[{key}]`" in text
                self.assertTrue(named, key)


class SchemaTests(SynchronousTestCase):
    """Editors find the mistakes that JSON Schema can express, and no others."""

    def test_draft(self) -> None:
        """The schema is valid, and of draft 4, the newest that Taplo knows."""
        schema = json_schema()
        Draft4Validator.check_schema(schema)
        self.assertEqual(schema["$schema"], Draft4Validator.META_SCHEMA["id"])

    def test_example(self) -> None:
        """The schema accepts the example, whose first line names it."""
        text = EXAMPLE.read_text("utf-8")
        self.assertEqual(schema_errors(text), [])
        named = re.match(r"#:schema (\S+)\n", text)
        assert named is not None
        schema = EXAMPLE.parent / named[1]
        self.assertIn(schema.resolve(), [path.resolve() for path, _ in pages()])

    def test_whole_example(self) -> None:
        """The schema accepts the example with every commented-out key."""
        commented = re.compile(r"^# (?=\[|[a-z_.]+ = )", re.MULTILINE)
        text, count = commented.subn("", EXAMPLE.read_text("utf-8"))
        self.assertGreater(count, 20)
        self.assertEqual(mistakes(text), [])
        self.assertEqual(schema_errors(text), [])
        document = tomllib.loads(text)
        used = {*document, *chain.from_iterable(document["commands"].values())}
        schema = json_schema()
        command = schema["definitions"]["command"]["properties"]
        self.assertEqual({*schema["properties"], *command} - used, set())
        for name in SECTIONS:
            known = schema["properties"][name]["properties"]
            self.assertEqual(set(known), set(document[name]))

    def test_right(self) -> None:
        """The schema accepts every valid configuration of these tests."""
        count = 0
        for text in configurations():
            count += 1
            with self.subTest(text=text):
                self.assertEqual(schema_errors(text), [])
        self.assertGreater(count, 30)

    def test_wrong(self) -> None:
        """The schema refuses each kind of mistake, as the daemon does."""
        for text in WRONG:
            with self.subTest(text=text):
                self.assertTrue(mistakes(text))
                self.assertTrue(schema_errors(text))
