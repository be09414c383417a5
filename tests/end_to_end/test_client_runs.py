"""The command line's subcommands, against the real daemon."""

import json
import os
import re
import sys
from pathlib import Path

from tests.end_to_end.command_line import ClientTestCase
from tests.support.programs import Gate, run

CONFIG = """
default = "say"
[commands.say]
shell = "echo out; echo err >&2; exit 3"
get = true
[commands.build]
description = "Build a target"
argv = ["printf", "%s|", "{target}", "{jobs}"]
params.target = {type = "string", choices = ["all", "test"]}
params.jobs = {type = "integer", min = 1, max = 8, default = 4}
stdin = true
tty = true
[commands.ps]
stdin = true
argv = ["echo", "no subcommand"]
[commands.term]
shell = "kill $$"
[commands.late]
argv = ["sleep", "1000"]
timeout = 0.1
[commands.small]
argv = ["seq", "1", "200000"]
retain = "256 KiB"
on_disconnect = "keep"
"""


class RunTests(ClientTestCase):
    """Runs from their start to their end."""

    async def test_streams(self) -> None:
        """stdout to stdout, stderr to stderr, and the command's exit code."""
        await self.serve(CONFIG)
        for words in ((), ("say",), ("run", "say"), (f"{self.daemon.url}/stream/say",)):
            client = await self.done(*words, code=3)
            self.assertEqual((client.out, client.err), (b"out\n", b"err\n"))
        failed = await self.done("ps", "--failed", "-q")
        self.assertEqual(len(failed.out.splitlines()), 4)

    async def test_named_as_subcommand(self) -> None:
        """C{run} takes any name."""
        await self.serve(CONFIG)
        self.assertEqual((await self.done("run", "ps")).out, b"no subcommand\n")
        self.assertTrue((await self.done("ps")).out.startswith(b"ID "))

    async def test_signals(self) -> None:
        """The exit code is 128 plus the signal; a message says why, unless -q."""
        await self.serve(CONFIG)
        self.assertEqual(await self.said("term", code=143), "")
        self.assertIn("longer than its timeout", await self.said("late", code=143))
        self.assertEqual(await self.said("-q", "late", code=143), "")

    async def test_life(self) -> None:
        """Started, listed, attached to, shown, and read again."""
        gate = Gate(self)
        await self.serve(gate.config)
        client = await self.done("start", "gated")
        run_id = client.out.decode().strip()
        self.assertRegex(run_id, "^[0-9a-f-]{36}$")
        self.assertEqual((await self.done("ps", "-q")).out, client.out)
        self.assertIn(b"running", (await self.done("ps")).out)
        attached = self.client("attach", run_id)
        await gate.passed_by(attached)
        self.assertEqual(await attached.ended(), 0)
        self.assertEqual((await self.done("ps", "-q")).out, b"")
        self.assertEqual((await self.done("ps", "--failed", "-q")).out, b"")
        (found,) = await self.runs()
        self.assertEqual((found["id"], found["state"]), (run_id, "exited"))
        shown = await self.done("show", run_id)
        for line in (
            "state: +exited",
            "oldest kept byte: +0",
            f"size: +{found['size']} bytes",
            r"cpu seconds: +[0-9]+\.[0-9]{1,3}",
        ):
            self.assertRegex(shown.out.decode(), rf"(?m)^{line}$")
        shown = await self.done("show", run_id, "--format", "json")
        self.assertEqual(json.loads(shown.out), found)
        again = await self.done("output", run_id)
        self.assertEqual(again.out, attached.out)
        last = await self.done("output", "--tail", "1", run_id)
        self.assertEqual(last.out, b"over\n")
        rest = await self.done("attach", run_id, "--from", "7")
        self.assertEqual(rest.out, attached.out[7:])

    async def test_now(self) -> None:
        """C{output} shows the existing output without waiting for more."""
        gate = Gate(self)
        await self.serve(gate.config)
        run_id = (await self.done("start", "gated")).out.decode().strip()
        attached = self.client("attach", run_id)
        await attached.seen(b"line 1")
        self.assertEqual((await self.done("output", run_id)).out, b"line 1\n")
        await self.done("signal", run_id, "SIGUSR1")
        self.assertEqual(await attached.ended(), 138)
        self.assertEqual((await self.done("output", run_id)).out, b"line 1\n")

    async def test_cancel(self) -> None:
        """A run is cancelled by its id; to repeat it is no error."""
        await self.serve('[commands.x]\nargv = ["sleep", "1000"]\n')
        started = await self.done("start", "x", "--format", "json")
        run_id = json.loads(started.out)["id"]
        attached = self.client("attach", run_id)
        await self.done("cancel", run_id)
        self.assertEqual(await attached.ended(), 143)
        again = await self.said("cancel", run_id, code=0)
        self.assertIn("has ended already: signaled TERM (cancelled)", again)

    async def test_formats(self) -> None:
        """Objects for scripts; the last one says how it ended."""
        await self.serve(CONFIG)
        client = await self.done("say", "--format", "ndjson", code=3)
        *output, end = [json.loads(line) for line in client.out.splitlines()]
        self.assertEqual((end["type"], end["code"], end["offset"]), ("end", 3, 8))
        self.assertEqual({each["stream"] for each in output}, {"stdout", "stderr"})
        client = await self.done("say", "--prefix", "-t", code=3)
        time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
        self.assertRegex(client.out.decode(), rf"^{time} \[say/stdout\] out\n$")
        self.assertRegex(client.err.decode(), rf"^{time} \[say/stderr\] err\n$")
        listed = await self.done("ps", "-a", "-n", "1", "--format", "ndjson")
        self.assertEqual(json.loads(listed.out)["command"], "say")

    async def test_commands(self) -> None:
        """The commands are listed with their parameters."""
        await self.serve(CONFIG)
        said = (await self.done("commands")).out.decode()
        takes = "takes standard input or a terminal (--tty)"
        self.assertIn(f"build: Build a target\n    {takes}\n    target=", said)
        self.assertIn("ps\n    takes standard input\nterm\n", said)
        self.assertRegex(said, r"(?m)^    target= .*all \| test$")
        self.assertRegex(said, r"(?m)^    \[jobs=4\] .*minimum 1, maximum 8$")
        found = json.loads((await self.done("commands", "--format", "json")).out)
        given = {each["name"]: (each["stdin"], each["tty"]) for each in found}
        self.assertEqual(given["ps"], (True, False))
        names = (await self.done("commands", "-q")).out.decode().split()
        self.assertEqual(names, ["say", "build", "ps", "term", "late", "small"])
        client = await self.done("build", "target=all")
        self.assertEqual(client.out, b"all|4|")

    async def test_mistyped(self) -> None:
        """A mistyped name is answered with a suggestion."""
        await self.serve(CONFIG)
        for words, code, meant in (
            (("bild", "target=all"), 65, "did you mean 'build'?"),
            (("build", "taget=all"), 65, "did you mean 'target'?"),
            (("build", "target=al"), 65, "all"),
            (("comands",), 65, "the subcommand 'commands'?"),
            (("show", "0"), 65, "there is no run '0'"),
            (("shw", "0"), 64, "the subcommand 'show'?"),
            (("signal", NOBODY, "NONSENSE"), 65, "there is no signal 'NONSENSE'"),
        ):
            self.assertIn(meant, await self.said(*words, code=code))

    async def test_gap(self) -> None:
        """Output that is no longer kept is reported as missing; that is no success."""
        await self.serve(CONFIG)
        run_id = (await self.done("start", "small")).out.decode().strip()
        await self.done("attach", run_id, "--tail", "1")
        client = await self.done("attach", run_id, code=72)
        missing = re.search(rb"^shellstream: (\d+) bytes are missing", client.err)
        assert missing is not None
        whole = b"".join(b"%d\n" % k for k in range(1, 200_001))
        self.assertEqual(client.out, whole[int(missing[1]) :])

    async def test_binary(self) -> None:
        """Every byte there is comes through, and comes through a pipe."""
        data = os.urandom(300_000)
        path = Path(self.mktemp())
        path.write_bytes(data)
        await self.serve(f'[commands.x]\nargv = ["cat", "{path.absolute()}"]\n')
        self.assertEqual((await self.done("x")).out, data)

    async def test_slow_terminal(self) -> None:
        """A reader that takes its time gets everything, and the command waits."""
        await self.serve('[commands.x]\nargv = ["seq", "1", "300000"]\n')
        command = f"'{sys.executable}' -m shellstream.client x"
        slow = "{ read first; echo $first; sleep 0.5; cat; }"
        client = run(
            self,
            "/bin/sh",
            "-c",
            f"{command} | {slow}",
            env={"SHELLSTREAM_URL": self.daemon.url},
        )
        await client.ended()
        self.assertTrue(client.out.endswith(b"\n299999\n300000\n"))
        self.assertEqual(client.out.count(b"\n"), 300_000)


class LostTests(ClientTestCase):
    """Daemons that go away."""

    async def test_restart(self) -> None:
        """A daemon that is killed and comes back makes the run a lost one."""
        config = '[commands.x]\nshell = "echo before; sleep 1000"\n'
        state = str(Path(self.mktemp()).absolute())
        await self.serve(config, "--state-dir", state)
        port = self.daemon.port
        client = self.client("-v", "x")
        await client.seen(b"before\n")
        self.daemon.program.signal("KILL")
        await client.seen(b"reconnecting in")
        await self.serve(
            config, "--state-dir", state, f"--listen=tcp:{port}:interface=127.0.0.1"
        )
        self.assertEqual(await client.ended(), 71, client.err)
        self.assertEqual(client.out, b"before\n")
        self.assertIn(b"the run is lost", client.err)

    async def test_stopped(self) -> None:
        """A daemon that is stopped ends its runs, and says so."""
        await self.serve('drain = 0\n[commands.x]\nshell = "echo x; sleep 1000"\n')
        client = self.client("x")
        await client.seen(b"x\n")
        self.daemon.program.signal("TERM")
        self.assertEqual(await client.ended(), 143, client.err)
        self.assertIn(b"the daemon was stopped", client.err)

    async def test_forgotten(self) -> None:
        """A daemon that comes back without a memory cannot tell the end."""
        config = '[commands.x]\nshell = "echo x; sleep 1000"\n'
        await self.serve(config, "--state-dir", ":memory:")
        port = self.daemon.port
        client = self.client("-v", "x")
        await client.seen(b"x\n")
        self.daemon.program.signal("KILL")
        await client.seen(b"reconnecting in")
        listen = f"--listen=tcp:{port}:interface=127.0.0.1"
        await self.serve(config, "--state-dir", ":memory:", listen)
        self.assertEqual(await client.ended(), 65, client.err)
        self.assertIn(b"there is no run", client.err)


_PLAIN = """
import asyncio, sys
from shellstream.client import Client, Output

async def main():
    async with Client(sys.argv[1]).run("say") as run:
        async for event in run:
            if isinstance(event, Output):
                print(event.stream, event.data)
    print(run.end.code, "twisted.internet.reactor" in sys.modules)

asyncio.run(main())
"""

_TWISTED = """
import sys
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from shellstream.client import Client, Output, TreqWire

async def main(reactor):
    async with Client(sys.argv[1], TreqWire(reactor)).run("say") as run:
        async for event in run:
            if isinstance(event, Output):
                print(event.stream, event.data)
    print(run.end.code, "shellstream.client.transport.asyncio_wire" in sys.modules)

react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
"""


#: The id of no run.
NOBODY = "00000000-0000-7000-8000-000000000000"


class LibraryTests(ClientTestCase):
    """The library, in programs of both kinds."""

    async def test_programs(self) -> None:
        """Both kinds of program print the same, and load only their own loop."""
        await self.serve(CONFIG)
        for source in (_PLAIN, _TWISTED):
            program = run(self, sys.executable, "-c", source, self.daemon.url)
            self.assertEqual(await program.ended(), 0, program.err)
            lines = sorted(program.out.decode().splitlines())
            expected = ["3 False", "stderr b'err\\n'", "stdout b'out\\n'"]
            self.assertEqual(lines, expected)


_LIGHT = """
import atexit, re, sys
sys.argv[0] = "shellstream"
heavy = ("twisted.internet.asyncioreactor", "httptools", "tomllib", "difflib")

def tell():
    found = [name for name in heavy if name in sys.modules]
    status = open("/proc/self/status").read()
    peak = int(re.search("VmHWM: *\\s*([0-9]+) kB", status)[1])
    print(found, peak < 64_000, file=sys.stderr)

atexit.register(tell)
from shellstream.client.__main__ import main
main()
"""


class LightTests(ClientTestCase):
    """A Raspberry Pi Zero has little of everything."""

    async def test_light(self) -> None:
        """Only needed modules are loaded; treq takes most of the memory."""
        argv = '["head", "-c", "30000000", "/dev/zero"]'
        await self.serve(f'default = "x"\n[commands.x]\nargv = {argv}\n')
        nowhere = os.open(os.devnull, os.O_WRONLY)
        self.addCleanup(os.close, nowhere)
        for words in ((f"{self.daemon.url}/stream",), ("x",), ("ps", "-a")):
            program = run(
                self,
                sys.executable,
                "-c",
                _LIGHT,
                *words,
                env={"SHELLSTREAM_URL": self.daemon.url},
                child_fds={0: "w", 1: nowhere, 2: "r"},
            )
            self.assertEqual(await program.ended(), 0, program.err)
            self.assertEqual(program.err, b"[] True\n")

    if not sys.platform.startswith("linux"):
        test_light.skip = "only Linux tells the peak"  # type: ignore[attr-defined]
