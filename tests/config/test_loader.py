"""Tests for L{shellstream.config.loader}: every kind of wrong file."""

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.loader import ConfigError, parse
from tests.support.configurations import COMMAND, PARAMETER, mistakes


class WrongTests(SynchronousTestCase):
    """A mistake names its key, the value found, and the allowed ones."""

    def assert_wrong(self, text: str, key: str, found: str, allowed: str) -> None:
        """The only mistake of this file has this key and these words."""
        with self.subTest(text=text):
            ((a_key, a_found, an_allowed),) = mistakes(text)
            self.assertEqual(a_key, key)
            self.assertIn(found, a_found)
            self.assertIn(allowed, an_allowed)

    def test_syntax(self) -> None:
        """A file that is not TOML is reported with the line."""
        self.assert_wrong(COMMAND + COMMAND, "line 3, column 12", "above already", "")
        self.assert_wrong("a = " + "[" * 5000, "TOML", "too deeply", "")
        error = self.assertRaises(ConfigError, parse, "b = 1\na = hello\n")
        self.assertEqual(
            str(error),
            'line 2, column 5: expected a value, such as "text" (in quotes), 12, true '
            "or [1]\n    a = hello\n        ^",
        )

    def test_top(self) -> None:
        """The file's own keys."""
        self.assert_wrong("", "commands", "nothing", "[commands.NAME]")
        self.assert_wrong("[commands]", "commands", "nothing", "[commands.NAME]")
        self.assert_wrong("commands = 1", "commands", "1", "a table")
        self.assert_wrong(f"default = 1\n{COMMAND}", "default", "1", "a string")
        self.assert_wrong(
            f"default = 'y'\n{COMMAND}", "default", "'y'", "a command's name: x"
        )
        text = "default = 'bild'\n[commands.build]\nargv = ['a']"
        self.assert_wrong(text, "default", "did you mean 'build'?", "build")
        for value in ("0", "-1", "'3'", "1.5", "true"):
            wrong = f"max_running = {value}\n{COMMAND}"
            self.assert_wrong(
                wrong, "max_running", value, "an integer from 1 to 1000000000"
            )

    def test_unknown_keys(self) -> None:
        """An unknown key is reported at every level, with the likely one."""
        hint = "an unknown key (did you mean "
        self.assert_wrong(f"defualt = 'x'\n{COMMAND}", "defualt", hint, "commands, cpu")
        key = "commands.x.timout"
        self.assert_wrong(COMMAND + "timout = 3", key, f"{hint}'timeout'?)", "argv")
        text = PARAMETER + "type = 'string'\nmaxlength = 3"
        key = "commands.x.params.p.maxlength"
        self.assert_wrong(text, key, f"{hint}'max_length'?)", "pattern")
        text = PARAMETER + "type = 'boolean'\nmin = 3"
        self.assert_wrong(
            text, "commands.x.params.p.min", "unknown", "required, secret, type"
        )
        self.assert_wrong(COMMAND + "'a b' = 3", 'commands.x."a b"', "unknown", "argv")

    def test_names(self) -> None:
        """Names of commands and parameters have limits, since URLs hold them."""
        for name in ("a b", "", ".", "..", "-x", "a/b", "\u00e9", "a" * 65, "_x"):
            text = f"[commands.'{name}']\nargv = ['a']"
            key = "commands." + (
                name if name in ("-x", "a" * 65, "_x") else f'"{name}"'
            )
            self.assert_wrong(text, key, f"the name {name!r}", "names like")
        for name in ("1a", "a-b", "a b", "\u00e9", "", "a" * 65):
            text = f"{COMMAND}[commands.x.params.'{name}']\ntype = 'string'"
            (mistake,) = mistakes(text)
            self.assertIn(f"the name {name!r}", mistake[1])
        self.assert_wrong("[commands]\nx = 1", "commands.x", "1", "a table")
        self.assert_wrong(
            "commands.x.params = 1\n[commands.y]\nargv=['a']".replace(
                "x.params = 1", "x = {argv = ['a'], params = 1}"
            ),
            "commands.x.params",
            "1",
            "a table",
        )

    def test_command(self) -> None:
        """A command's keys."""
        wrong = {
            "description": ("1", "a string"),
            "get": ("'yes'", "true or false"),
            "cwd": ("'srv'", "an absolute path"),
            "env": ("{ A = 1 }", "a string for A"),
            "timeout": ("0", "a time above 0"),
            "grace": ("'5'", "a time above 0"),
            "params": ("[]", "a table"),
        }
        for name, (value, allowed) in wrong.items():
            text = f"{COMMAND}{name} = {value}"
            self.assert_wrong(text, f"commands.x.{name}", "", allowed)
        self.assert_wrong(COMMAND + "env = {'a-b' = ''}", "commands.x.env", "", "'a-b'")

    def test_default_by_get(self) -> None:
        """GET runs the default command, so C{get = false} there is a mistake."""
        text = f"default = 'x'\n{COMMAND}get = false"
        self.assert_wrong(text, "commands.x.get", "false", "GET runs the default")
        for rest in ("", "get = true"):
            self.assertEqual(mistakes(f"default = 'x'\n{COMMAND}{rest}"), [])

    def test_what_to_run(self) -> None:
        """A command has either an argv or a script, and it is not empty."""
        either = "either argv (a list) or shell (a script)"
        self.assert_wrong("[commands.x]", "commands.x.argv", "nothing to run", either)
        both = COMMAND + "shell = 'a'"
        self.assert_wrong(both, "commands.x.argv", "both argv and shell", either)
        for argv in ("[]", "'make'", "[1]", "['a', ['b']]"):
            text = f"[commands.x]\nargv = {argv}"
            self.assert_wrong(text, "commands.x.argv", "", "a list of strings")
        for argv in ("['']", "['{p}']", "['a{p}']"):
            text = f"[commands.x]\nargv = {argv}"
            self.assert_wrong(text, "commands.x.argv", "", "names the program")
        for shell in ("''", '" \\n"', "1", "['a']"):
            text = f"[commands.x]\nshell = {shell}"
            self.assert_wrong(text, "commands.x.shell", "", "")

    def test_placeholders(self) -> None:
        """Parameters and placeholders belong together."""
        text = "[commands.x]\nargv = ['a', '{traget}']\n"
        hint = "the placeholder {traget}"
        allowed = "{{traget}} stands for literal braces"
        self.assert_wrong(text, "commands.x.argv", hint, allowed)
        text = COMMAND + "[commands.x.params.p]\ntype = 'string'"
        self.assert_wrong(text, "commands.x.params.p", "is not used", "{p}")
        text = (
            "[commands.x]\nargv = ['a', '{{p}}']\n[commands.x.params.p]\ntype='string'"
        )
        self.assert_wrong(text, "commands.x.params.p", "is not used", "{p}")

    def test_source_of_a_shell(self) -> None:
        """No value of a client's becomes part of a script."""
        params = "\n[commands.x.params.p]\ntype = 'string'"
        for argv in (
            "'sh', '-c', 'echo {p}'",
            "'/bin/bash', '-o', 'pipefail', '-ec', 'ls {p} | cat'",
            "'dash', '-c', '{p}', '{p}'",
        ):
            text = f"[commands.x]\nargv = [{argv}]{params}"
            self.assert_wrong(
                text, "commands.x.argv", "in the source of a script", "the key shell"
            )
        for argv in (
            "'sh', '-c', 'echo \"$1\"', 'sh', '{p}'",
            "'bash', '--norc', '{p}'",
            "'grep', '-c', '{p}'",
        ):
            parse(f"[commands.x]\nargv = [{argv}]{params}")
        text = f"[commands.x]\nshell = 'echo {{p}}'{params}"
        self.assert_wrong(text, "commands.x.shell", "{p}", '"$p"')
        for script in ("echo ${p}", "echo $p {p}", "echo {q}", "env"):
            parse(f"[commands.x]\nshell = '{script}'{params}")

    def test_wrong_argv(self) -> None:
        """A wrong argv is the only mistake reported of its command."""
        text = "[commands.x]\nargv = []\n[commands.x.params.P]\ntype = 'string'"
        self.assert_wrong(text, "commands.x.argv", "[]", "a list of strings")

    def test_script_variables(self) -> None:
        """No parameter of a script is a variable that steers the shell."""
        for name in ("PATH", "IFS", "BASH_ENV", "_", "A1"):
            text = (
                f"[commands.x]\nshell = 'a'\n[commands.x.params.{name}]\ntype='string'"
            )
            key = f"commands.x.params.{name}"
            self.assert_wrong(text, key, f"the name '{name}'", "a lower-case letter")

    def test_odd_origin(self) -> None:
        """Half of an IPv6 address is a mistake like any other."""
        text = f"{COMMAND}[access]\norigins = ['http://[x']"
        self.assert_wrong(text, "access.origins", "http", "a list of origins")

    def test_all_at_once(self) -> None:
        """One reading finds every mistake, and the text has a line for each."""
        text = """
            default = "z"
            max_running = 0
            nonsense = 1
            [commands.x]
            argv = ["a", "{q}"]
            get = 1
            [commands.x.params.p]
            type = "integer"
            min = 3
            max = 1
            [commands.y]
            shell = "echo"
            shel = "echo"
            [commands.y.params.P]
            type = "text"
            [http]
            conections = 1
            [keep]
            runs = 0
        """
        keys = {key for key, _, _ in mistakes(text)}
        self.assertEqual(
            keys,
            {
                "default",
                "max_running",
                "nonsense",
                "commands.x.argv",
                "commands.x.get",
                "commands.x.params.p",
                "commands.x.params.p.min",
                "commands.y.shel",
                "commands.y.params.P",
                "commands.y.params.P.type",
                "http.conections",
                "keep.runs",
            },
        )
        error = self.assertRaises(ConfigError, parse, text)
        self.assertEqual(str(error).splitlines(), list(map(str, error.mistakes)))
