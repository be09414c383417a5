"""Tests for L{shellstream.daemon.logs.lines}."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogEvent, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from shellstream.daemon.logs.lines import (
    json_in_journal,
    json_line,
    text_in_file,
    text_in_journal,
    text_on_terminal,
)
from shellstream.web.server.access_log import AccessLine

RUN = "01a2050e-a04c-7e78-8dd1-12bb84a02f7a"
TRACE = "0af7651916cd43dd8448eb211c80319c"

REQUEST = AccessLine(
    *("192.0.2.1", "alice", "[now]", "POST", "/stream/x", "HTTP/1.1"),
    *(200, 0, "-", "curl/8", RUN, TRACE),
)


def event(text: str, level: Any = LogLevel.info, **values: object) -> LogEvent:
    return {
        "log_time": 1_750_000_000.25,
        "log_level": level,
        "log_format": text,
        **values,
    }


class LineTests(SynchronousTestCase):
    """A line says when, how bad, which run, and what."""

    def test_text(self) -> None:
        """On a terminal the time is short; a line about a run has its id, once."""
        about = event("the disk is full", LogLevel.error, run=RUN)
        line = text_on_terminal(about)
        self.assertRegex(line, rf"^\d\d:\d\d:\d\d error \[{RUN}\] the disk is full\n$")
        line = text_in_file(event("run {run}: {why}", run=RUN, why="x"))
        pattern = rf"^2025-06-15T\d\d:\d\d:40[+-]\d{{4}} \[info\] run {RUN}: x\n$"
        self.assertRegex(line, pattern)

    def test_journal(self) -> None:
        """The journal has times of its own; each line has its priority."""
        for level, number in (
            (LogLevel.debug, 7),
            (LogLevel.info, 6),
            (LogLevel.warn, 4),
            (LogLevel.error, 3),
            (LogLevel.critical, 2),
        ):
            found = text_in_journal(event("a\nb", level, run=RUN))
            self.assertEqual(found, f"<{number}>[{RUN}] a\n<{number}>b\n")
            found = json_in_journal(event("a\nb", level, run=RUN))
            self.assertTrue(found.startswith(f'<{number}>{{"time": '))
            self.assertEqual(found.count("\n"), 1)

    def test_json(self) -> None:
        """For programs a line is an object."""
        line = json_line(event("hello", LogLevel.warn, run=RUN, trace=TRACE))
        self.assertEqual(
            json.loads(line),
            {
                "time": "2025-06-15T15:06:40.250000Z",
                "level": "warn",
                "message": "hello",
                "run": RUN,
                "trace": TRACE,
            },
        )
        bare = json.loads(json_line(event("hello", run=None, trace=None)))
        self.assertEqual(set(bare), {"time", "level", "message"})

    def test_request(self) -> None:
        """A line of the access log has its fields, or the usual form."""
        about = event("{line}", line=REQUEST, run=RUN, trace=TRACE)
        found = json.loads(json_line(about))
        self.assertEqual(found["message"], "POST /stream/x 200")
        self.assertEqual((found["run"], found["trace"]), (RUN, TRACE))
        self.assertEqual(
            found["request"],
            {
                "address": "192.0.2.1",
                "principal": "alice",
                "method": "POST",
                "target": "/stream/x",
                "protocol": "HTTP/1.1",
                "status": 200,
                "size": 0,
                "referrer": "-",
                "agent": "curl/8",
            },
        )
        self.assertIn(
            f'[info] [{RUN}] "192.0.2.1" - alice [now] "POST /stream/x HTTP/1.1" 200 - '
            '"-" "curl/8"\n',
            text_in_file(about),
        )

    def test_traceback(self) -> None:
        """A traceback belongs to its line."""
        failure = Failure(ValueError("\x1b[31mred\x1b[0m"))
        failed = event("it failed", LogLevel.critical, log_failure=failure)
        first, *more = text_in_file(failed).splitlines()
        self.assertTrue(first.endswith(" [critical] it failed"))
        self.assertTrue(all(each.startswith("    ") for each in more))
        self.assertIn("\\x1b[31mred", more[-1])
        found = json.loads(json_line(failed))
        self.assertEqual(found["message"], "it failed")
        self.assertIn("ValueError", found["traceback"][-1])

    @given(st.text())
    def test_any(self, text: str) -> None:
        """Nothing that comes from outside forges a line, or reaches a terminal."""
        about = event("{what}", what=text)
        for form in (text_on_terminal, text_in_file):
            first, *more = form(about).removesuffix("\n").split("\n")
            self.assertTrue(all(each.startswith("    ") for each in more))
            self.assertTrue(all(each.isprintable() for each in (first, *more)))
        for line in text_in_journal(about).removesuffix("\n").split("\n"):
            self.assertTrue(line.startswith("<6>") and line.isprintable())
        line = json_line(about)
        self.assertTrue(line.isascii() and line[:-1].isprintable())
        json.loads(line)
