"""Tests for L{shellstream.notifications.process_sender}, with real processes."""

import json
import os
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from shellstream.config.confinement import Confinement
from shellstream.config.notification import Notification
from shellstream.model.events import OnDisconnect, State
from shellstream.model.run_record import RunRecord, to_document
from shellstream.notifications.attempt import Attempt, Result
from shellstream.notifications.message import Message
from shellstream.notifications.process_sender import KEPT, ProcessSender
from shellstream.notifications.senders import Senders, send
from shellstream.process.launch_plan import prepare
from shellstream.process.tracking.process_scanner import ProcessScanner

RUN = RunRecord(
    id="01a2",
    command="backup",
    params={},
    created=0,
    on_disconnect=OnDisconnect.KEEP,
    state=State.LOST,
)
MESSAGE = Message(
    delivery="01a2.ended.a",
    notify="a",
    event="ended",
    run=to_document(RUN),
    output="out",
)


class ProcessTests(TestCase):
    """A program gets the text, and its end decides."""

    async def send(self, *argv: str, **values: Any) -> Attempt:
        to = Notification(name="a", argv=argv, **values)
        plans = prepare([to.as_command()])
        processes = ProcessSender(reactor, lambda: plans, ProcessScanner(reactor))
        sender = Senders(reactor, lambda: 0, processes)(to)
        return await send(sender, to, MESSAGE, reactor)

    async def test_json(self) -> None:
        """The program reads the run as JSON, and is told the rest by its arguments."""
        attempt = await self.send("sh", "-c", "cat; echo $0", "{summary}")
        self.assertIs(attempt.result, Result.DELIVERED)
        document, _, arguments = attempt.answer.decode().partition("\n")
        self.assertEqual(json.loads(document)["run"]["command"], "backup")
        self.assertEqual(arguments, "backup was lost\n")

    async def test_template(self) -> None:
        """It reads the operator's text, if there is one."""
        attempt = await self.send("cat", body="{summary}: {output}")
        self.assertEqual(attempt.answer, b"backup was lost: out\n")

    async def test_fails(self) -> None:
        """If it fails, or there is none, it is tried again."""
        for argv, why in (
            (("sh", "-c", "exit 3"), "exit code 3"),
            (("sh", "-c", "kill -9 $$"), "ended by signal 9"),
            (("/no/such/program",), "was not found"),
        ):
            attempt = await self.send(*argv)
            self.assertIs(attempt.result, Result.LATER)
            self.assertIn(why, attempt.detail)

    async def test_reads_nothing(self) -> None:
        """It need not read its input, however much that is."""
        attempt = await self.send("true", body="x" * 200_000)
        self.assertIs(attempt.result, Result.DELIVERED)

    async def test_much(self) -> None:
        """It may read slowly and write much; only the beginning of that is kept."""
        attempt = await self.send("cat", body="x" * 200_000)
        self.assertIs(attempt.result, Result.DELIVERED)
        self.assertEqual(attempt.answer, b"x" * KEPT)

    async def test_time(self) -> None:
        """All of its processes are killed when its time is over."""
        pid = Path(self.mktemp()).absolute()
        script = f"sleep 1000 & echo $! > {pid}.new; mv {pid}.new {pid}; wait"
        attempt = await self.send("sh", "-c", script, timeout=1.0)
        self.assertEqual(attempt.detail, "no end after 1 seconds")
        number = int(pid.read_text())
        # The kernel has killed it; whoever adopted it may not have reaped it yet.
        state = Path(f"/proc/{number}/stat")
        self.assertTrue(not state.exists() or state.read_text().split()[2] == "Z")

    async def test_confined(self) -> None:
        """It is confined as the process of a command is."""
        confine = Confinement(umask=0o27, nice=3)
        attempt = await self.send("sh", "-c", "umask; nice", confine=confine)
        expected = f"0027\n{os.nice(0) + 3}\n"
        self.assertEqual(attempt.answer.decode(), expected)
