"""Tests for L{shellstream.daemon.service}: the place of the audit."""

import json
import os
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.logger import capturedLogs, formatEvent

from shellstream.config.loader import IN_MEMORY
from shellstream.daemon.errors import DaemonCannotStart
from shellstream.security.audit import AuditSettings
from shellstream.storage.token_file import account
from tests.support.daemons import WIDE, DaemonTestCase
from tests.support.registries import CONFIG


class AuditTests(DaemonTestCase):
    """A L{Daemon} keeps the audit where the operator wants it."""

    def setUp(self) -> None:
        super().setUp()
        self.where = os.path.abspath(self.mktemp())
        self.file = Path(self.where, "audit.jsonl")

    def said(self) -> list[tuple[Any, ...]]:
        """The action and the name in each line."""
        lines = map(json.loads, self.file.read_text().splitlines())
        return [(each["what"], each.get("name", each.get("who"))) for each in lines]

    def test_runs(self) -> None:
        """
        By default the audit is in the state folder; it also holds the ends at a stop.
        """
        daemon = self.daemon(self.where)
        self.submit(daemon)
        stopped = daemon.stopService()
        self.spawn.started[0].exit(None, 15)
        self.reactor.advance(daemon.FLUSH)
        self.successResultOf(stopped)
        self.assertEqual(self.said(), [("start", "anonymous"), ("end", "anonymous")])

    def test_elsewhere(self) -> None:
        """The audit can be in another file, also with the state in memory."""
        self.file = Path(self.mktemp()).absolute()
        config = evolve(CONFIG, audit=AuditSettings(file=str(self.file)))
        for where in (self.where, IN_MEMORY):
            daemon = self.daemon(where, config)
            self.submit(daemon)
            self.spawn.started[-1].exit()
            self.stop(daemon)
        self.assertEqual(len(self.said()), 4)
        self.assertFalse(Path(self.where, "audit.jsonl").exists())

    def test_in_memory(self) -> None:
        """Without a file the audit is in the log."""
        with capturedLogs() as logged:
            daemon = self.daemon(IN_MEMORY)
            self.submit(daemon)
        texts = [str(formatEvent(each)) for each in logged]
        (line,) = (each for each in texts if each.startswith("audit "))
        self.assertEqual(json.loads(line.removeprefix("audit "))["what"], "start")
        self.spawn.started[-1].exit()
        self.stop(daemon)

    def test_killed_before_the_end(self) -> None:
        """
        The end of a run that was recorded, but not audited when the daemon was killed,
        is audited by the next daemon: once, and no other is repeated.
        """
        daemon = self.daemon(self.where)
        for code in range(3):
            self.submit(daemon)
            self.spawn.started[-1].exit(code)
        self.stop(daemon)
        lines = self.file.read_text().splitlines(keepends=True)
        self.assertEqual(len(lines), 6)
        lacking = [each for each in lines if '"code":1' not in each]
        self.file.write_text("".join(lacking) + "no line of ours\n")
        for _ in range(2):
            self.stop(self.daemon(self.where))
        added = self.file.read_text().splitlines()[len(lacking) + 1 :]
        (end,) = map(json.loads, added)
        self.assertEqual((end["what"], end["state"], end["code"]), ("end", "exited", 1))

    def test_audit_moved(self) -> None:
        """Where the audit was moved away, or is too long, old ends are not repeated."""
        daemon = self.daemon(self.where)
        self.submit(daemon)
        self.spawn.started[-1].exit()
        self.stop(daemon)
        self.file.unlink()
        self.stop(self.daemon(self.where))
        self.assertEqual(self.file.read_text(), "")

    def test_unusable(self) -> None:
        """The daemon does not start if the audit cannot be kept."""
        for file in ("/nowhere/a.jsonl", self.mktemp() + "x", "/dev/null"):
            path = os.path.abspath(file)
            if file.endswith("x"):
                os.mkdir(path)
            config = evolve(CONFIG, audit=AuditSettings(file=path))
            error = self.assertRaises(DaemonCannotStart, self.daemon, IN_MEMORY, config)
            self.assertIn(f"the audit cannot be kept in {path}: ", str(error))

    def test_tokens(self) -> None:
        """The audit holds the first token and manual changes, but no secret."""
        daemon = self.daemon(self.where, CONFIG, WIDE)
        secret = str(daemon.auth_policy.pop_first_token()).rpartition("_")[2]
        path = Path(self.where, "tokens.json")
        path.write_text(path.read_text().replace('"owner"', '"ci"'))
        self.reactor.advance(1)
        self.stop(daemon)
        self.assertEqual(
            self.said(), [("token-made", "owner"), ("token-changed", "ci")]
        )
        lines = self.file.read_text()
        self.assertNotIn(secret, lines)
        made, changed = map(json.loads, lines.splitlines())
        self.assertEqual((made["who"], made["credential"]), (account({}), "account"))
        self.assertEqual(made["actions"], "run, read, write, signal, admin, metrics")
        self.assertNotIn("who", changed)

    def test_link(self) -> None:
        """The state folder links to an audit elsewhere, as long as that exists."""
        self.file = Path(self.mktemp()).absolute()
        config = evolve(CONFIG, audit=AuditSettings(file=str(self.file)))
        link = Path(self.where, "audit")
        self.stop(self.daemon(self.where, config))
        self.assertEqual(os.readlink(link), os.path.realpath(self.file))
        self.stop(self.daemon(self.where))
        self.assertFalse(link.is_symlink())
