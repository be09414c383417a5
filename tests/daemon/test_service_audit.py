"""Tests for L{shellstream.daemon.service}: where what was done is noted."""

import json
import os
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.logger import capturedLogs, formatEvent

from shellstream.daemon.service import IN_MEMORY, DaemonCannotStart, wall_clock
from shellstream.security.audit import Auditing
from shellstream.security.authorization import Action, Grant
from shellstream.security.token_journal import Book, Change, render
from shellstream.security.tokens import Kept, make
from shellstream.storage.token_file import TokenFile
from tests.support.daemons import WIDE, DaemonTestCase
from tests.support.registries import CONFIG


class AuditTests(DaemonTestCase):
    """A L{Daemon} keeps the audit where the operator wants it."""

    def setUp(self) -> None:
        super().setUp()
        self.where = os.path.abspath(self.mktemp())
        self.file = Path(self.where, "audit.jsonl")

    def said(self) -> list[tuple[Any, ...]]:
        """Each line: what, of whom."""
        lines = map(json.loads, self.file.read_text().splitlines())
        return [(each["what"], each.get("name", each.get("who"))) for each in lines]

    def test_runs(self) -> None:
        """In the state folder, if nothing else is said; also what the stop ends."""
        daemon = self.daemon(self.where)
        self.submit(daemon)
        stopped = daemon.stopService()
        self.spawn.started[0].exit(None, 15)
        self.reactor.advance(daemon.FLUSH)
        self.successResultOf(stopped)
        self.assertEqual(self.said(), [("start", "anonymous"), ("end", "anonymous")])

    def test_elsewhere(self) -> None:
        """In another file, also where the state is in memory."""
        self.file = Path(self.mktemp()).absolute()
        config = evolve(CONFIG, audit=Auditing(file=str(self.file)))
        for where in (self.where, IN_MEMORY):
            daemon = self.daemon(where, config)
            self.submit(daemon)
            self.spawn.started[-1].exit()
            self.stop(daemon)
        self.assertEqual(len(self.said()), 4)
        self.assertFalse(Path(self.where, "audit.jsonl").exists())

    def test_in_memory(self) -> None:
        """In the log, where there is no file."""
        with capturedLogs() as logged:
            daemon = self.daemon(IN_MEMORY)
            self.submit(daemon)
        texts = [str(formatEvent(each)) for each in logged]
        (line,) = (each for each in texts if each.startswith("audit "))
        self.assertEqual(json.loads(line.removeprefix("audit "))["what"], "start")
        self.spawn.started[-1].exit()
        self.stop(daemon)

    def test_unusable(self) -> None:
        """It does not start where it could not be kept."""
        for file in ("/nowhere/a.jsonl", self.mktemp() + "x", "/dev/null"):
            path = os.path.abspath(file)
            if file.endswith("x"):
                os.mkdir(path)
            config = evolve(CONFIG, audit=Auditing(file=path))
            error = self.assertRaises(DaemonCannotStart, self.daemon, IN_MEMORY, config)
            self.assertIn(f"the audit cannot be kept in {path}: ", str(error))

    def test_tokens(self) -> None:
        """Tokens that come and go are noted, the first one, too, but no secret."""
        daemon = self.daemon(self.where, CONFIG, WIDE)
        token, text = make("pi", Grant(actions=frozenset({Action.READ})), 1)
        tokens = TokenFile(Path(self.where))
        for kept in (token, evolve(token, name="ci"), None):
            there: Kept = {} if kept is None else {kept.id: kept}
            tokens.change(lambda _: there, "root", wall_clock())  # noqa: B023
            self.reactor.advance(1)
        self.stop(daemon)
        self.assertEqual(
            self.said(),
            [
                ("token-made", "owner"),
                ("token-revoked", "owner"),
                ("token-made", "pi"),
                ("token-changed", "ci"),
                ("token-revoked", "ci"),
            ],
        )
        lines = self.file.read_text()
        self.assertNotIn(text.rpartition("_")[2], lines)
        found = json.loads(lines.splitlines()[2])
        del found["time"]
        by = {"who": "root", "credential": "account"}
        expected = {"what": "token-made", **by, "token": token.id, "name": "pi"}
        self.assertEqual(found, {**expected, "commands": "*", "actions": "read"})

    def test_tokens_meanwhile(self) -> None:
        """What became of tokens without a daemon is noted once, with its own time."""
        token, _ = make("pi", Grant(), 1)
        file = TokenFile(Path(self.where))
        file.change(lambda _: {token.id: evolve(token, expires=2)}, "ann", 1_000_000)
        file.change(lambda _: {}, "root (sudo: bob)", 2_000_000)
        for _ in range(2):
            self.stop(self.daemon(self.where))
            made, revoked = map(json.loads, self.file.read_text().splitlines())
            self.assertEqual(file.read_its_owners(), Book())
        self.assertEqual(made["time"], "1970-01-01T00:00:01.000000Z")
        self.assertEqual(made["expires"], "1970-01-01T00:00:00.000002Z")
        self.assertEqual((made["who"], made["what"]), ("ann", "token-made"))
        self.assertEqual(revoked["time"], "1970-01-01T00:00:02.000000Z")
        self.assertEqual(revoked["who"], "root (sudo: bob)")

    def test_tokens_lost(self) -> None:
        """That there were too many changes to be kept is said."""
        change = Change.of("made", make("pi", Grant(), 1)[0], "ann", 1)
        path = Path(self.where, "tokens.json")
        path.parent.mkdir(0o700)
        path.touch(0o600)
        path.write_text(render(Book({}, [evolve(change, lost=7)])))
        self.stop(self.daemon(self.where))
        gap, made = map(json.loads, self.file.read_text().splitlines())
        self.assertEqual((gap["what"], gap["times"]), ("gap", 7))
        self.assertEqual(made["what"], "token-made")
