"""Tests for L{shellstream.daemon.logs.observer}."""

import json
import os
import signal
from io import StringIO
from pathlib import Path

from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from shellstream.daemon.logs.lines import (
    json_in_journal,
    text_in_file,
    text_in_journal,
    text_on_terminal,
)
from shellstream.daemon.logs.observer import format_for, log_observer

EVENT = {"log_time": 1.0, "log_namespace": "x"}


class FormatTests(SynchronousTestCase):
    """The text depends on who reads it."""

    def test_terminal(self) -> None:
        """A person at a terminal reads short lines."""
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        with open(slave, "w") as terminal:
            self.assertIs(format_for(terminal, {}), text_on_terminal)

    def test_journal(self) -> None:
        """The variable counts for the stream that it names, and for no other."""
        with open(self.mktemp(), "w") as file:
            found = os.fstat(file.fileno())
            named = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
            self.assertIs(format_for(file, named), text_in_journal)
            self.assertIs(format_for(file, named, "json"), json_in_journal)
            other = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"}
            self.assertIs(format_for(file, other), text_in_file)
        self.assertIs(format_for(StringIO(), named), text_in_file)


class ObserverTests(SynchronousTestCase):
    """The observer writes where twistd would."""

    def test_file(self) -> None:
        """It writes as much as is wanted, and begins a new file when it is told."""
        before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        path = Path(self.mktemp())
        twistd = {"logfile": str(path), "nodaemon": True}
        observer = log_observer("json", "warn", twistd, lambda call: call())
        for level in (LogLevel.info, LogLevel.warn, LogLevel.error):
            event = {**EVENT, "log_level": level, "log_format": level.name}
            observer(event)
        lines = path.read_text().splitlines()
        found = [json.loads(line)["level"] for line in lines]
        self.assertEqual(found, ["warn", "error"])
        signal.raise_signal(signal.SIGUSR1)
        self.assertEqual(path.read_text(), "")
        self.assertEqual(len(list(path.parent.glob(f"{path.name}*"))), 2)
