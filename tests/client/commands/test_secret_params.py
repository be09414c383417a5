"""Tests for L{shellstream.client.commands.secret_params}."""

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.cli.arguments import parse_arguments
from shellstream.client.commands.secret_params import (
    MOST_OF_VALUE,
    ask_missing,
    read_params,
)
from shellstream.client.errors import CannotRead, Usage

COMMAND: Any = {
    "name": "deploy",
    "parameters": {
        "properties": {
            "host": {"type": "string"},
            "password": {"type": "string", "writeOnly": True},
            "pin": {"type": "string", "writeOnly": True},
        },
        "required": ["host", "password"],
    },
}


class FileTests(SynchronousTestCase):
    """A parameter may come from a file, where C{ps} does not show it."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_file(self) -> None:
        """The file's last line end is no part of the value; all else is."""
        for data, value in (
            (b"hunter2\n", "hunter2"),
            (b"hunter2", "hunter2"),
            (b" a=b\nc\r\n", " a=b\nc"),
            (b"", ""),
        ):
            self.path.write_bytes(data)
            found = parse_arguments(["x", "a=1", "--param-file", f"p={self.path}"])
            params = read_params([("a", "1")], found.param_file)
            self.assertEqual(params, [("a", "1"), ("p", value)])

    def test_stdin(self) -> None:
        """A C{-} is standard input, which stays open."""
        reader, writer = os.pipe()
        os.write(writer, b"hunter2\n")
        os.close(writer)
        before = os.dup(0)
        os.dup2(reader, 0)
        try:
            self.assertEqual(read_params([], ["p=-"]), [("p", "hunter2")])
            os.fstat(0)
        finally:
            os.dup2(before, 0)
            os.close(before)
            os.close(reader)

    def test_wrong(self) -> None:
        """What is no parameter, no text or too much is an error that says so."""
        for word in ("p", "p=", "=x"):
            error = self.assertRaises(Usage, read_params, [], [word])
            self.assertIn("write NAME=FILE", str(error))
        self.path.write_bytes(b"x")
        word = f"p={self.path}"
        for params, words in (([("p", "1")], [word]), ([], [word, word])):
            error = self.assertRaises(Usage, read_params, params, words)
            self.assertIn("p: given more than once", str(error))
        for data, why in (
            (b"\xff", "not UTF-8"),
            (b"x" * (MOST_OF_VALUE + 1), "more than"),
        ):
            self.path.write_bytes(data)
            error = self.assertRaises(CannotRead, read_params, [], [word])
            self.assertIn(why, str(error))
        error = self.assertRaises(CannotRead, read_params, [], ["p=/nowhere/x"])
        self.assertIn("/nowhere/x: No such file", str(error))


class AskTests(SynchronousTestCase):
    """On a terminal the user is asked for secrets."""

    def ask(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return "hunter2"

    def test_asked(self) -> None:
        """What is required, secret and not given is asked for; nothing else is."""
        for given, command, prompts in (
            ([("host", "a")], COMMAND, ["password for deploy: "]),
            ([], COMMAND, ["password for deploy: "]),
            ([("password", "x")], COMMAND, []),
            ([], None, []),
        ):
            self.prompts: list[str] = []
            found = ask_missing(given, command, self.ask)
            self.assertEqual(self.prompts, prompts)
            added = [("password", "hunter2")] if prompts else []
            self.assertEqual(found, given + added)
