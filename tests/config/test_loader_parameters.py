"""Tests for L{shellstream.config.loader}: mistakes in a parameter."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.loader import parse
from shellstream.model.errors import CannotStart, ParametersRefused
from tests.support.configurations import COMMAND, PARAMETER, mistakes


class WrongParameterTests(SynchronousTestCase):
    """The mistakes of a parameter are reported."""

    def assert_wrong(self, lines: str, name: str, found: str, allowed: str) -> None:
        """The only mistake of a parameter with these lines."""
        with self.subTest(lines=lines):
            ((key, a_found, an_allowed),) = mistakes(PARAMETER + lines)
            self.assertEqual(key, f"commands.x.params.p.{name}")
            self.assertIn(found, a_found)
            self.assertIn(allowed, an_allowed)

    def test_type(self) -> None:
        """A type is one of five words."""
        words = "one of string, integer, number, boolean, path"
        self.assert_wrong("", "type", "nothing", words)
        self.assert_wrong("type = 'int'", "type", "'int'", words)
        self.assert_wrong("type = 'strng'", "type", "did you mean 'string'?", words)

    def test_type_is_no_word(self) -> None:
        """A type that is not a string is one mistake, not two."""
        self.assertEqual(
            [found for _, found, _ in mistakes(PARAMETER + "type = 1")], ["1"]
        )

    def test_limits(self) -> None:
        """Limits are values of the type, and the minimum is not above the maximum."""
        wrong = (
            ("string", "pattern = '['", "pattern", "", "a regular expression"),
            ("string", "choices = []", "choices", "[]", "not empty"),
            ("string", "max_length = 0", "max_length", "0", "from 1 to"),
            ("integer", "min = 1.5", "min", "1.5", "an integer of at most 40 digits"),
            ("integer", "max = true", "max", "true", "an integer of at most 40 digits"),
            ("integer", "min = 3\nmax = 2", "min", "3", "at most max, which is 2"),
            ("number", "min = nan", "min", "nan", "a number, finite"),
            ("number", "min = '1'", "min", "'1'", "a number"),
            ("number", "max = 0.5\nmin = 1", "min", "1", "at most max, which is 0.5"),
            ("path", "roots = []", "roots", "[]", "a list of absolute paths"),
            ("path", "roots = ['a']", "roots", "['a']", "a list of absolute paths"),
            ("path", "", "roots", "nothing", "a list of absolute paths"),
        )
        for kind in ("integer", "number"):
            lines = f"type = '{kind}'\nmin = 3\nmax = 3"
            self.assertEqual(mistakes(PARAMETER + lines), [])
        for kind, lines, name, found, allowed in wrong:
            self.assert_wrong(f"type = '{kind}'\n{lines}", name, found, allowed)

    def test_slow_pattern(self) -> None:
        """A pattern that could take long is a mistake, with advice, and not tried."""
        lines = f"""type = 'string'
            pattern = '([a-z]+)*[0-9]'
            choices = ['{"a" * 99}!']
            default = '{"a" * 99}!'"""
        advice = "possessive, as in [a-z]++"
        self.assert_wrong(lines, "pattern", "([a-z]+)*[0-9]", advice)
        lines = "type = 'string'\npattern = '.*x.*'"
        self.assert_wrong(lines, "pattern", ".*x.*", "or set a lower max_length")
        self.assertEqual(mistakes(f"{PARAMETER}{lines}\nmax_length = 200"), [])

    def test_choices(self) -> None:
        """Every choice must fit the other limits."""
        lines = "type = 'string'\nchoices = ['a', 'bb']\nmax_length = 1"
        self.assert_wrong(lines, "choices", "'bb'", "it is longer than 1 characters")
        lines = "type = 'string'\nchoices = ['a', 'B']\npattern = '[a-z]'"
        self.assert_wrong(lines, "choices", "'B'", "it must match [a-z]")

    def test_default(self) -> None:
        """A default must be a value that the parameter accepts."""
        wrong = (
            ("type = 'integer'\ndefault = '3'", "'3'", "a value of type integer"),
            ("type = 'boolean'\ndefault = 'true'", "'true'", "a value of type boolean"),
            ("type = 'string'\ndefault = 3", "3", "a value of type string"),
            ("type = 'integer'\ndefault = true", "true", "takes an integer"),
            ("type = 'integer'\nmax = 2\ndefault = 3", "3", "it must be at most 2"),
            (
                "type = 'string'\nchoices = ['a']\ndefault = 'b'",
                "'b'",
                "must be one of",
            ),
            ("type = 'path'\nroots = ['/srv']\ndefault = '..'", "'..'", "is outside"),
        )
        for lines, found, allowed in wrong:
            self.assert_wrong(lines, "default", found, allowed)

    def test_default_with_dash(self) -> None:
        """The command must accept a default, or no client could use it."""
        for lines in (
            "type = 'string'\ndefault = '-v'",
            "type = 'integer'\ndefault = -1",
        ):
            self.assert_wrong(lines, "default", "'-", "allow_leading_dash = true")
        for lines in (
            "type = 'string'\ndefault = '-v'\nallow_leading_dash = true",
            "type = 'string'\ndefault = '-v'\nchoices = ['-v']",
            "type = 'integer'\ndefault = -1\nmin = -1",
        ):
            command = parse(PARAMETER + lines).commands["x"]
            self.assertTrue(command.invoke([]).argv[1].startswith("-"))

    def test_default_path(self) -> None:
        """The default of a path is kept as written, and resolved each time."""
        root = Path(self.mktemp()).absolute()
        for name in ("one", "two", "-f"):
            (root / name).mkdir(parents=True)
        (root / "now").symlink_to("one")
        for text, found in (("now", "one"), ("-f", "-f")):
            lines = f"type = 'path'\nroots = ['{root}']\ndefault = '{text}'"
            command = parse(PARAMETER + lines).commands["x"]
            self.assertEqual(command.invoke([]).argv[1], str(root / found))
            self.assertEqual(command.params["p"].default, text)
            taken = command.invoke([])
            command.recheck_paths(taken)
            if text == "now":
                (root / "now").unlink()
                (root / "now").symlink_to("two")
                self.assertEqual(command.invoke([]).argv[1], str(root / "two"))
                (root / "now").unlink()
                (root / "now").symlink_to("..")
                self.assertRaises(ParametersRefused, command.invoke, [])
                (root / "one").rmdir()
                (root / "one").symlink_to("two")
                self.assertRaises(CannotStart, command.recheck_paths, taken)

    def test_undeclared(self) -> None:
        """An undeclared placeholder is one mistake, not two."""
        ((key, found, _),) = mistakes("[commands.x]\nargv = ['a', '{q}-f']")
        self.assertEqual((key, found), ("commands.x.argv", "the placeholder {q}"))

    def test_empty_default(self) -> None:
        """A default may not be read as an option, in an argv or a script."""
        text = "[commands.x]\nargv = ['a', '{p}-f']\n[commands.x.params.p]\n"
        ((key, _, allowed),) = mistakes(text + "type = 'string'\ndefault = ''")
        self.assertEqual(key, "commands.x.params.p.default")
        self.assertIn("is not read as an option", allowed)
        text = "[commands.x]\nshell = 'a $p'\n[commands.x.params.p]\n"
        self.assertEqual(mistakes(text + "type = 'string'\ndefault = ''"), [])
        ((key, _, _),) = mistakes(text + "type = 'string'\ndefault = '-v'")
        self.assertEqual(key, "commands.x.params.p.default")

    def test_required(self) -> None:
        """A parameter is either required or has a default."""
        lines = "type = 'string'\nrequired = true\ndefault = 'a'"
        self.assert_wrong(lines, "required", "true beside a default", "one of the two")
        lines = "type = 'string'\nrequired = false"
        self.assert_wrong(
            lines, "required", "false without a default", "with a default"
        )
        lines = "type = 'string'\nrequired = 1"
        self.assert_wrong(lines, "required", "1", "true or false")


class HugeNumberTests(SynchronousTestCase):
    """Huge numbers are mistakes like any other."""

    def test_huge_number(self) -> None:
        """A number that Python does not read is a mistake."""
        self.assertEqual(len(mistakes(f"max_running = {'9' * 5000}\n{COMMAND}")), 1)

    def test_huge_hexadecimal(self) -> None:
        """The same for a number that Python can read, but not write."""
        huge = "0x" + "f" * 4000
        self.assertEqual(len(mistakes(f"max_running = {huge}\n{COMMAND}")), 1)
        for bounds in (
            f"max = {huge}",
            f"min = {huge}",
            f"min = {huge}\nmax = {huge[:-1]}",
        ):
            self.assertTrue(mistakes(f"{PARAMETER}type = 'integer'\n{bounds}"))
        self.assertTrue(mistakes(f"{PARAMETER}type = 'string'\nmax_length = {huge}"))
