"""Tests for L{shellstream.client.commands.manage}: documents of a server, printed."""

import json
import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client import Client
from shellstream.client.cli.arguments import parse_arguments
from shellstream.client.cli.messages import Messages
from shellstream.client.commands.manage import Asked, answer
from shellstream.client.commands.waiting import Waiting
from shellstream.client.errors import ClientError, ContractViolation
from tests.support.client_wires import FakeAnswer, FakeWire, document, finish

OLDER = "01a23251-fa96-7b9f-a364-5d36217d53a6"
ID = "01a23252-7e69-7310-91f8-a80efc2e4997"
RUN = {
    "id": ID,
    "command": "build",
    "params": {"jobs": "2"},
    "state": "exited",
    "code": 0,
    "signal": None,
    "reason": None,
    "failure": None,
    "principal": "pi",
    "on_disconnect": "keep",
    "created": "2026-12-01T04:04:04.000000Z",
    "started": "2026-12-01T04:04:04.000000Z",
    "ended": None,
    "start": 0,
    "size": 20,
    "stdin": {"offset": 0, "open": True},
    "tty": None,
    "cpu_seconds": 0.5,
    "peak_memory_bytes": 4096,
}
COMMAND = {
    "name": "build",
    "description": "Builds",
    "stdin": True,
    "tty": False,
    "timeout": None,
    "linger": 10.0,
    "parameters": {
        "properties": {"jobs": {"type": "integer", "minimum": 1, "enum": [1, 2]}},
        "required": ["jobs"],
    },
}
PAGE = {"runs": [RUN], "next": None}
#: Each subcommand with a document, and what it prints.
ASKED = {
    "ps": (PAGE, ID),
    "ps --all": (PAGE, "exited 0"),
    "ps --all -q": (PAGE, ID),
    "ps --all --format ndjson": (PAGE, '"jobs": "2"'),
    f"show {ID}": (RUN, "20 bytes"),
    "start build jobs=2": (RUN, ID),
    f"cancel {ID} --format json": (RUN, ID),
    f"signal {ID} INT --format json": (RUN, ID),
    "commands": ({"default": None, "commands": [COMMAND]}, "jobs=  integer"),
    "commands --format json": ({"default": None, "commands": [COMMAND]}, "Builds"),
}

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def damaged(draw: Any, whole: Any) -> Any:
    """A document of which one value is another, or is missing."""
    if not isinstance(whole, dict | list) or not whole or draw(st.integers(0, 4)) == 0:
        return draw(VALUES)
    copied = whole.copy()
    key = draw(st.sampled_from(sorted(whole) if isinstance(whole, dict) else [0]))
    if draw(st.integers(0, 4)) == 0:
        del copied[key]
    else:
        copied[key] = draw(damaged(whole[key]))
    return copied


def printed(line: str, *answers: FakeAnswer) -> str:
    """What a command line prints at these answers of a server."""
    text, _ = finish(answer(asked(line, FakeWire(answers))))
    return str(text.decode())


def asked(line: str, wire: FakeWire) -> Asked:
    """A command line, and a client that it asks with."""
    client = Client("http://h", wire)
    messages = Messages(quiet=False, verbose=False)
    return Asked(parse_arguments(line.split()), client, messages, Waiting(client))


class ManageTests(SynchronousTestCase):
    """A server's document is printed, or is an error."""

    def test_right(self) -> None:
        """What a server should answer is printed."""
        for line, (found, said) in ASKED.items():
            answers = [document(found) for _ in range(2)]
            self.assertIn(said, printed(line, *answers), line)

    @given(st.data())
    def test_damaged(self, data: Any) -> None:
        """Whatever a server answers instead is an error, and no crash."""
        line = data.draw(st.sampled_from(sorted(ASKED)))
        found = data.draw(damaged(ASKED[line][0]))
        try:
            text = printed(line, document(found), document(found))
        except ClientError as error:
            self.assertLess(len(str(error)), 1000)
        else:
            self.assertTrue(text.replace("\n", "").isprintable(), text)

    def test_foreign(self) -> None:
        """JSON of another kind of server is told from shellstream's."""
        others: list[Any] = [[], None, "x", 7, [[]], {"message": "hi"}]
        for line in ASKED:
            # A caller who may not see a run is told its id alone.
            partial = line.startswith(("cancel", "signal"))
            for found in others[:-1] if partial else others:
                error = self.assertRaises(
                    ContractViolation, printed, line, document(found), document(found)
                )
                self.assertIn("is this a shellstream server?", str(error))

    def test_ended(self) -> None:
        """To cancel a run that has ended is no error: it is as the user wants it."""
        ended = {"detail": "the run is not running, it is exited"}
        text = printed(f"stop {ID} --json", document(ended, 409), document(RUN))
        self.assertEqual(json.loads(text)["id"], ID)

    def test_one_command(self) -> None:
        """One command is shown with all that its parameters take."""
        found: Any = {**COMMAND, "confirm": "Sure?"}
        found["parameters"] = {
            "properties": {
                "jobs": {"type": "integer", "minimum": 1, "maximum": 4, "default": 2},
                "word": {"type": "string", "writeOnly": True},
            },
            "required": ["word"],
        }
        text = printed("commands build", document(found))
        self.assertEqual(
            text.splitlines(),
            [
                "build: Builds",
                "    takes standard input",
                "    its form asks: Sure?",
                "    [jobs=2]  integer, minimum 1, maximum 4",
                "    word=  string, secret",
            ],
        )

    def test_numbers(self) -> None:
        """A number of any size is an error where it cannot be one."""
        for number in (1 << 63, -(1 << 63), 10**4000):
            found = document({**RUN, "size": number})
            self.assertRaises(ContractViolation, printed, f"show {ID}", found)
        deep = FakeAnswer([b"[" * 100000])
        self.assertRaises(ContractViolation, printed, f"show {ID}", deep)
        long = FakeAnswer([b'{"size": ' + b"9" * 5000 + b"}"])
        self.assertRaises(ContractViolation, printed, f"show {ID}", long)

    def test_pages(self) -> None:
        """A server whose pages have no end, or no order, is left."""
        full = {"runs": [RUN], "next": "/runs?after=x"}
        error = self.assertRaises(
            ContractViolation, printed, "ps --all", document(full), document(full)
        )
        self.assertIn("not in their order", str(error))
        empty = {"runs": [], "next": "/runs?after=x"}
        self.assertIn("ID", printed("ps --all", document(empty), document(empty)))
        second = {"runs": [{**RUN, "id": OLDER}], "next": None}
        found = printed("ps --all -q", document(full), document(second))
        self.assertEqual(found.split(), [ID, OLDER])

    def test_left(self) -> None:
        """Who leaves before the answer to C{start} is told what may have happened."""
        said: list[bytes] = []
        self.patch(os, "write", lambda fd, data: said.append(data))

        class Silent(FakeWire):
            async def request(self, *args: object, **more: object) -> Any:
                return await Deferred()

        starting = Deferred.fromCoroutine(answer(asked("start build", Silent([]))))
        starting.cancel()
        self.failureResultOf(starting, CancelledError)
        self.assertIn("it may have started the run; shellstream ps", said[0].decode())

    def test_clash(self) -> None:
        """A command with the name of a subcommand says how to run it."""
        commands = [{**COMMAND, "name": name} for name in ("ps", "build")]
        found = printed("commands", document({"default": None, "commands": commands}))
        self.assertEqual(found.count("runs with: shellstream run ps"), 1)
        self.assertEqual(found.count("runs with"), 1)
        self.assertIn("minimum 1", json.dumps(found))
