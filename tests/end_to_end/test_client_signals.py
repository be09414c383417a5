"""Signals to the command line."""

import os
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol

from tests.end_to_end.command_line import ClientTestCase
from tests.support.programs import Lifeline, readable, run


class Silent(Protocol):
    """A server that takes a request, and does not answer."""

    def __init__(self) -> None:
        self.asked: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.asked.callback(data)


class _Once(Factory):
    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Protocol:
        return self._protocol


class SignalTests(ClientTestCase):
    """Ctrl-C goes on to the run; then it cancels; then it leaves."""

    async def begin(self, shell: str, *options: str, keys: str = "") -> Lifeline:
        """
        Run a command that says C{ready}; C{self.run} is the client.

        @return: a lifeline that is cut when no process of the run is left.
        """
        lifeline = Lifeline(self)
        shell = f"exec 3> '{lifeline.path}'; {shell}"
        await self.serve(f"[commands.x]\n{keys}\nshell = '''{shell}'''\n")
        self.program = self.client(*options, "x")
        await self.program.seen(b"ready\n")
        return lifeline

    async def ends(self, code: int) -> str:
        """Wait for the client's end; returns what it printed to stderr."""
        self.assertEqual(await self.program.ended(), code, self.program.err)
        return self.program.err.decode()

    async def test_interrupt(self) -> None:
        """A command that dies of Ctrl-C does so, and so does the client."""
        lifeline = await self.begin("echo ready; exec sleep 1000")
        self.program.signal("INT")
        self.assertEqual(await self.ends(130), "")
        await lifeline.cut()

    async def test_handled(self) -> None:
        """Output of a command that handles the signal is shown up to its end."""
        await self.begin(
            'trap "echo tidied; exit 7" INT; echo ready; while :; do sleep 0.01; done'
        )
        self.program.signal("INT")
        self.assertEqual(await self.ends(7), "")
        self.assertEqual(self.program.out, b"ready\ntidied\n")

    async def test_cancel(self) -> None:
        """A command that does not care is cancelled by the second one."""
        lifeline = await self.begin(
            'trap "echo no" INT; echo ready; while :; do sleep 0.01; done'
        )
        self.program.signal("INT")
        await self.program.seen(b"no\n")
        self.program.signal("INT")
        self.assertIn("it was cancelled", await self.ends(143))
        await lifeline.cut()

    async def test_leave(self) -> None:
        """The third Ctrl-C leaves a run that cannot even be cancelled."""
        lifeline = await self.begin(
            'trap "echo no" INT; trap "" TERM; '
            "echo ready; while :; do sleep 0.01; done",
            keys="grace = 1",
        )
        self.program.signal("INT")
        await self.program.seen(b"no\n")
        self.program.signal("INT")
        await self.program.seen(b"again to leave")
        self.program.signal("INT")
        await self.ends(130)
        await lifeline.cut()

    async def test_terminate(self) -> None:
        """SIGTERM cancels the run, and waits for its end."""
        lifeline = await self.begin(
            'trap "echo bye; exit 9" TERM; echo ready; while :; do sleep 0.01; done'
        )
        self.program.signal("TERM")
        self.assertIn("it was cancelled", await self.ends(9))
        self.assertEqual(self.program.out, b"ready\nbye\n")
        await lifeline.cut()

    async def test_hang_up(self) -> None:
        """A hangup leaves; the run is ended after its C{linger}."""
        lifeline = await self.begin("echo ready; sleep 1000 & wait", keys="linger = 0")
        self.program.signal("HUP")
        self.assertIn("left; the run is ended in 0 s", await self.ends(129))
        await lifeline.cut()

    async def test_detach(self) -> None:
        """
        With C{--detach-on-int} the run goes on, and a message says how to return. Then
        C{attach} leaves it as it is, too.
        """
        await self.begin("echo ready; exec sleep 1000", "--detach-on-int")
        (run_,) = await self.runs()
        self.program.signal("INT")
        said = await self.ends(130)
        self.assertIn(f"the run goes on; shellstream attach {run_['id']}", said)
        for name, code in (("TERM", 143), ("INT", 130)):
            self.program = self.client("attach", run_["id"])
            await self.program.seen(b"ready\n")
            self.program.signal(name)
            self.assertIn("left; the run goes on; ", await self.ends(code))
        await self.done("cancel", run_["id"])
        client = await self.done("attach", run_["id"], code=143)
        self.assertTrue(client.out.startswith(b"ready\n"))

    async def test_no_run_yet(self) -> None:
        """Before there is a run, Ctrl-C just leaves."""
        for name, code in (("INT", 130), ("TERM", 143)):
            silent = Silent()
            endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
            port: Any = await endpoint.listen(_Once(silent))
            self.addCleanup(port.stopListening)
            url = f"http://127.0.0.1:{port.getHost().port}"
            client = run(
                self, sys.executable, "-m", "shellstream.client", "--server", url, "x"
            )
            await silent.asked
            client.signal(name)
            self.assertEqual((await client.ended(), client.err), (code, b""))

    async def test_stuck_stdout(self) -> None:
        """Ctrl-C works although nothing reads standard output."""
        await self.serve('[commands.x]\nargv = ["yes"]\n')
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        client = run(
            self,
            sys.executable,
            "-m",
            "shellstream.client",
            "-v",
            "x",
            env={"SHELLSTREAM_URL": self.daemon.url},
            child_fds={0: "w", 1: writing, 2: "r"},
        )
        os.close(writing)
        await readable(reading)
        client.signal("INT")
        await client.seen(b"interrupted")
        client.signal("INT")
        await client.seen(b"again to leave")
        client.signal("INT")
        self.assertEqual(await client.ended(), 130)

    async def test_ended(self) -> None:
        """Ctrl-C leaves when only output of a run that has ended is still shown."""
        await self.serve('[commands.x]\nargv = ["seq", "1", "1000000"]\n')
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        client = run(
            self,
            sys.executable,
            *("-m", "shellstream.client", "x"),
            env={"SHELLSTREAM_URL": self.daemon.url},
            child_fds={0: "w", 1: writing, 2: "r"},
        )
        os.close(writing)
        await readable(reading)
        (found,) = await self.runs()
        await self.done("attach", found["id"])
        client.signal("INT")
        self.assertEqual(await client.ended(), 130)
        self.assertIn(b"the run has ended; shellstream attach", client.err)

    async def test_queued(self) -> None:
        """A run that still waits for its turn is cancelled by the first Ctrl-C."""
        await self.begin(
            "echo ready; sleep 1000", keys='max_running = 1\nwhen_busy = "queue"'
        )
        waiting = self.client("-v", "x")
        await waiting.seen(b"this is run")
        waiting.signal("INT")
        self.assertEqual(await waiting.ended(), 73, waiting.err)
        self.assertIn(b"cancelled before it began", waiting.err)
        self.program.signal("TERM")
        await self.ends(143)
