"""Tests for L{shellstream.config.changes}: what differs between configurations."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.changes import MOST_NAMES, compare, with_equal_commands
from shellstream.config.loader import Config, parse

BEFORE = """
max_running = 10
default = "a"
[keep]
age = "30 d"
[access]
hosts = ["secret.example.org"]
[principals.ann]
[principals.bob]
[commands.a]
argv = ["a", "{p}"]
params.p = {type = "string"}
[commands.b]
shell = "b"
timeout = 3
env = {KEY = "secret"}
umask = "022"
[commands.c]
argv = ["c"]
"""

AFTER = """
drain = 0.5
default = "b"
[keep]
age = "1 d"
[http]
connections = 7
[access]
hosts = ["hidden.example.org"]
[tls]
[audit]
file = "/var/log/hidden"
[principals.ann]
own = true
[principals.eve]
[commands.a]
argv = ["a", "{p}", "{q}"]
params.p = {type = "string", max_length = 3}
params.q = {type = "boolean"}
[commands.b]
shell = "b hidden"
env = {KEY = "hidden"}
on_full = "pause"
umask = "077"
[commands.d]
argv = ["c"]
"""


def config(names: list[str]) -> Config:
    """A configuration with commands of these names."""
    return parse("\n".join(f"[commands.{name}]\nargv = ['x']" for name in names))


class CompareTests(SynchronousTestCase):
    """The operator reads what a reload has changed."""

    def test_lines(self) -> None:
        """Commands and settings are named by their keys, without texts of the file."""
        self.assertEqual(
            compare(parse(BEFORE), parse(AFTER)).lines(),
            [
                "commands added: d",
                "commands removed: c",
                "commands changed: a (argv, params.p, params.q added), b (shell, env, "
                "timeout, on_full drop-oldest -> pause, umask 022 -> 077)",
                "settings changed: default, max_running 10 -> 1000, drain 10 -> 0.5, "
                "keep.age 2592000 -> 86400, audit.file, access.hosts, principals.ann, "
                "principals.bob removed, principals.eve added, http.connections 24000 "
                "-> 7, tls",
            ],
        )

    def test_nothing(self) -> None:
        """Without a change there is a line that says so."""
        self.assertEqual(
            compare(parse(BEFORE), parse(BEFORE)).lines(), ["nothing has changed"]
        )

    def test_many(self) -> None:
        """However many there are, a line stays short."""
        names = [f"c{n}" for n in range(1000)]
        (line,) = compare(config(["a"]), config(["a", *names])).lines()
        self.assertTrue(line.endswith(f", c{MOST_NAMES - 1} and 980 more"), line)

    @given(*[st.sets(st.sampled_from("abcdef"), min_size=1)] * 2)
    def test_kept(self, before: set[str], after: set[str]) -> None:
        """Commands that are equal stay the very same objects; no others are there."""
        old, new = config([*before]), config([*after])
        found = with_equal_commands(old, new)
        self.assertEqual(found, new)
        for name in before & after:
            self.assertIs(found.commands[name], old.commands[name])
