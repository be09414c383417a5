"""Tests for L{shellstream.client.commands.candidates}: what Tab offers."""

import shlex
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.cli.subcommands import NAMES
from shellstream.client.commands.candidates import (
    Files,
    candidates,
    quoted,
    split_line,
)

RUN = "01a23252-7e69-7310-91f8-a80efc2e4997"
COMMANDS = {
    "commands": [
        {
            "name": "build",
            "description": "Builds",
            "parameters": {
                "properties": {
                    "target": {"enum": ["all", "docs"], "description": "what"},
                    "fast": {"type": "boolean"},
                }
            },
        },
        {"name": "ps", "description": ""},
    ]
}
RUNS = {"runs": [{"id": RUN, "command": "build", "state": "exited", "code": 3}]}


class CandidateTests(SynchronousTestCase):
    """Words are offered as the command line before them asks."""

    def offered(self, line: str) -> list[str]:
        """The candidates for the last word of a line."""
        self.asked: list[tuple[dict[str, str], str]] = []

        def ask(given: Mapping[str, str], path: str) -> Any:
            self.asked.append((dict(given), path))
            return COMMANDS if path == "/commands" else RUNS

        return [each.word for each in candidates(line.split(" "), ask)]

    def test_first(self) -> None:
        """The first word is a subcommand, by any of its names, or a command."""
        found = self.offered("")
        self.assertLessEqual({*NAMES, "build"}, {*found})
        # The command ps runs with: shellstream run ps
        self.assertEqual(found.count("ps"), 1)
        self.assertEqual(self.offered("run p"), ["ps"])
        self.assertEqual(self.offered("start b"), ["build"])

    def test_words(self) -> None:
        """Parameters and their values, runs, signals, states."""
        for line, expected in (
            ("lo", ["logs", "login", "logout"]),
            ("build ", ["target=", "fast="]),
            ("build target=all ", ["fast="]),
            ("run --prefix build target=", ["target=all", "target=docs"]),
            ("build fast=t", ["fast=true"]),
            ("unknown ", []),
            ("attach ", ["@last", "@build", RUN]),
            ("logs -f 01", [RUN]),
            ("show @", ["@last", "@build", "@ps"]),
            ("attach x ", []),
            ("rm x ", ["@last"]),
            ("signal x U", ["USR1", "USR2"]),
            ("ps --state=ru", ["--state=running"]),
            ("ps --state ru", ["running"]),
            ("ps --command ", ["build", "ps"]),
            ("ps --fa", ["--failed"]),
            ("completion ", ["bash", "zsh", "fish"]),
            ("help log", ["logs", "login", "logout"]),
        ):
            found = self.offered(line)
            self.assertEqual([each for each in found if each in expected], expected)
            if line != "rm x ":
                self.assertEqual(found, expected, line)

    def test_files(self) -> None:
        """Where a file may come, the shell is asked."""
        for line in ("--token-file ", "ps --cacert=/", "doctor -- make "):
            self.assertRaises(Files, self.offered, line)

    def test_server(self) -> None:
        """The server that the command line names is asked, and no other."""
        self.offered("build --server pi --pin x ")
        self.assertEqual(self.asked, [({"server": "pi", "pin": "x"}, "/commands")])
        self.offered("attach --server=pi 0")
        self.assertEqual(self.asked, [({"server": "pi"}, "/runs?limit=20")])
        self.offered("ps --fa")
        self.assertEqual(self.asked, [])

    def test_nothing(self) -> None:
        """A server that does not answer, or is another, leaves the rest."""
        answers: list[Any] = [None, [], {}, {"commands": [7, {}]}, {"runs": 7}]
        for answer in answers:

            def ask(given: Mapping[str, str], path: str, answer: Any = answer) -> Any:
                return answer

            for line in ("", "build ", "attach ", "build target=", "ps --command "):
                list(candidates(line.split(" "), ask))

    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"))))
    def test_split(self, words: list[str]) -> None:
        """A line is split as a shell splits it."""
        line = shlex.join(["shellstream", *words])
        self.assertEqual(split_line(f"{line} "), ([*words, ""], ""))
        if words and words[-1]:
            self.assertEqual(split_line(line), (words, ""))

    def test_open(self) -> None:
        """The last word may be in the middle of its quotes."""
        for line, words, quote in (
            ("s build 'target=a b", ["build", "target=a b"], "'"),
            ('s "a\\"', ['a"'], '"'),
            ("s a\\", ["a\\"], ""),
            ("s ", [""], ""),
        ):
            self.assertEqual(split_line(line), (words, quote))

    @given(st.text(), st.sampled_from(["", "'"]))
    def test_quoted(self, word: str, quote: str) -> None:
        """What bash puts into its line is one word, whatever a server has chosen."""
        line = f"s {quote}{quoted(word, quote)}{quote}"
        self.assertEqual(shlex.split(line), ["s", word] if word or quote else ["s"])

    def test_double_quoted(self) -> None:
        """Between double quotes, too, nothing is run or replaced."""
        found = quoted('a b$(id)`id`"\\!c', '"')
        self.assertEqual(found, r"a b\$(id)\`id\`\"\\\!c")
