"""Tests for L{shellstream.config.loader}: what Linux cannot execute is a mistake."""

import os
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.loader import MAX_ARGUMENTS, parse
from shellstream.model.checks import MAX_ARGUMENT
from tests.support.configurations import COMMAND, PARAMETER, mistakes


class SizeTests(SynchronousTestCase):
    """Sizes count in bytes of UTF-8, as execve(2) counts them."""

    def assert_wrong(self, text: str, key: str) -> None:
        ((found, *_),) = mistakes(text)
        self.assertEqual(found, key)

    def test_longest(self) -> None:
        """The longest item and variable are taken, and Linux executes them."""
        item, name = "x" * MAX_ARGUMENT, "v"
        value = "y" * (MAX_ARGUMENT - len(f"{name}="))
        text = f"[commands.x]\nargv = ['true', '{item}']\nenv.{name} = '{value}'"
        command = parse(text).commands["x"]
        env = {**os.environ, **command.env}
        subprocess.run(command.argv, env=env, check=True)
        for argv, more in ((["true", item + "x"], ""), (["true"], "y")):
            with self.assertRaises(OSError):
                env = {**os.environ, name: value + more}
                subprocess.run(argv, env=env, check=True)

    def test_longer(self) -> None:
        """One byte more is a mistake: each run would fail."""
        long, wide = "x" * (MAX_ARGUMENT + 1), "\u2192" * (MAX_ARGUMENT // 3 + 1)
        for text in (long, wide):
            for key in ("argv", "shell", "cwd"):
                value = f"['a', '{text}']" if key == "argv" else f"'/{text}'"
                self.assert_wrong(
                    f"[commands.x]\n{key} = {value}\n"
                    + ("shell = 'a'" if key == "cwd" else ""),
                    f"commands.x.{key}",
                )
            self.assert_wrong(f"{COMMAND}env.v = '{text[1:]}'", "commands.x.env")
        self.assert_wrong(
            f"{PARAMETER}type = 'string'\nmax_length = {MAX_ARGUMENT + 1}",
            "commands.x.params.p.max_length",
        )

    def test_in_all(self) -> None:
        """All items together have a limit, too."""
        item = "x" * MAX_ARGUMENT
        count = MAX_ARGUMENTS // MAX_ARGUMENT + 1
        items = ", ".join([f"'{item}'"] * count)
        self.assert_wrong(f"[commands.x]\nargv = ['true', {items}]", "commands.x.argv")
        variables = "\n".join(f"env.v{i} = '{item[4:]}'" for i in range(count))
        self.assert_wrong(f"[commands.x]\nshell = 'a'\n{variables}", "commands.x.env")
