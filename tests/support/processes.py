"""Shared by tests that start commands' processes without a daemon."""

import os
import select
import signal
from contextlib import suppress

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from shellstream.config.command import Command, Invocation
from shellstream.model.events import ExitStatus, Stream
from shellstream.model.run_input import Tty
from shellstream.process.child import ChildProcess, ChildProtocol
from shellstream.process.launch_plan import LaunchPlan
from shellstream.process.spawn import spawn
from shellstream.process.tracking.cgroups import RunCgroup
from shellstream.process.tracking.process_scanner import ProcessScanner

PLAIN = LaunchPlan()


@define
class Told:
    """A run that remembers its child's events."""

    output_: dict[Stream, bytes] = field(factory=dict)
    seen: "Deferred[None]" = field(factory=Deferred)
    deaf: "Deferred[None]" = field(factory=Deferred)
    ended: "Deferred[ExitStatus]" = field(factory=Deferred)

    def output(self, stream: Stream, data: bytes) -> None:
        self.output_[stream] = self.output_.get(stream, b"") + data
        if not self.seen.called:
            self.seen.callback(None)

    def input_lost(self) -> None:
        self.deaf.callback(None)

    def finished(self, status: ExitStatus) -> None:
        self.ended.callback(status)


def spawn_now(
    command: Command,
    invocation: Invocation,
    protocol: ProcessProtocol,
    plan: LaunchPlan = PLAIN,
    run_id: str = "id",
    cgroup: RunCgroup | None = None,
) -> ChildProcess:
    """L{spawn} without a thread, so that it has no reason to wait."""
    scanner = ProcessScanner(reactor)
    given = reactor, command, invocation, protocol, run_id, plan, scanner
    starting = spawn(*given, cgroup=cgroup)
    try:
        starting.send(None)
    except StopIteration as done:
        child: ChildProcess = done.value
        return child
    raise AssertionError("it waits")


def start(
    test: TestCase,
    command: Command,
    prepared: LaunchPlan = PLAIN,
    *,
    stdin: bool = False,
    tty: Tty | None = None,
    run_id: str = "id",
    cgroup: RunCgroup | None = None,
) -> tuple[ChildProcess, Told]:
    """Start a command, and end it after the test."""
    told = Told()
    protocol = ChildProtocol(told, reactor)
    invocation = command.invoke([], stdin, tty)
    child = spawn_now(command, invocation, protocol, prepared, run_id, cgroup)

    def end() -> "Deferred[ExitStatus] | None":
        if told.ended.called:
            return None
        child.resume()
        child.signal(signal.SIGKILL)
        return told.ended

    test.addCleanup(end)
    return child, told


def kill_group(child: ChildProcess) -> None:
    """
    Kill what is left of a child's process group.

    C{child.signal} would look through all processes, also in turns after the test.
    """
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


async def turn() -> None:
    """Let the reactor look at every descriptor."""
    for _ in range(2):
        await deferLater(reactor, 0)


async def all_read(child: ChildProcess) -> None:
    """
    Wait until all output that a child has written so far is read.

    The kernel moves what is written to a terminal on by and by; poll(2) has it
    look through all of it.
    """
    asked = select.poll()
    for pipe in child._pipes.values():
        asked.register(pipe.fileno(), select.POLLIN)
    while any(event & select.POLLIN for _, event in asked.poll(0)):
        await turn()
