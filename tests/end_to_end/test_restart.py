"""The daemon is stopped and started again, as an operator does for an upgrade."""

import os
from signal import SIGKILL
from typing import Any

from tests.end_to_end.state_daemons import StateTestCase, processes_gone
from tests.support.decoders import DECODERS, Told, event_source
from tests.support.http_watcher import (
    RunOutput,
    ask,
    fetch,
    fetch_output,
    get,
    post,
    watch,
)
from tests.support.programs import Daemon, Gate

#: Seconds; longer than a test may take, so that a wait for it would show.
EVER = 1000


def one(shell: str, drain: float = EVER, more: str = "") -> str:
    """A configuration whose command C{one} is this script."""
    return (
        f'drain = {drain}\n[commands.one]\nget = true\n{more}\nshell = """{shell}"""\n'
    )


class DrainTests(StateTestCase):
    """SIGTERM gives runs time to end, and Ctrl-C does not."""

    async def drain(self, daemon: Daemon) -> None:
        """Have a daemon stop: it takes no connections any more."""
        daemon.program.signal("TERM")
        await daemon.program.seen(b"Closed)")

    async def test_ends_by_itself(self) -> None:
        """A run that ends within the grace time is delivered whole, with its end."""
        gate = Gate(self)
        daemon = await self.start(one(gate.shell))
        plain = await watch(daemon.port, get("/stream/one"))
        await plain.seen(b"line 1\n")
        path = f"/runs/{plain.run}/output?format=frames"
        frames = await watch(daemon.port, get(path))
        await frames.seen(b"line 1\n")
        await self.drain(daemon)
        for number in range(1, gate.LINES + 1):
            await plain.seen(b"line %d\n" % number)
            await frames.seen(b"line %d\n" % number)
            gate.let_through()
        self.assertEqual(await daemon.program.ended(), -15)
        self.assertEqual(plain.body, b"line 1\nline 2\nline 3\nover\n")
        account = RunOutput.of("frames", frames.body)
        self.assertEqual(account.data, plain.body)
        assert account.end is not None
        state, reason = account.end["state"], account.end["reason"]
        self.assertEqual((state, reason), ("exited", None))
        daemon = await self.start()
        again = await fetch_output(daemon.port, plain.run)
        self.assertEqual((again.data, again.end), (account.data, account.end))

    async def test_does_not_end(self) -> None:
        """A run that goes on gets TERM after that time, and its viewers see why."""
        daemon = await self.start(one("echo here; exec sleep 1000", drain=0.1))
        viewer = await watch(daemon.port, get("/stream/one?format=frames"))
        await viewer.seen(b"here")
        self.assertEqual(await self.stop(daemon, "TERM"), -15)
        end = RunOutput.of("frames", viewer.body).end
        assert end is not None
        how = end["state"], end["signal"], end["reason"]
        self.assertEqual(how, ("signaled", "TERM", "shutdown"))
        daemon = await self.start()
        self.assertEqual((await fetch_output(daemon.port, viewer.run)).end, end)

    async def test_nothing_new(self) -> None:
        """A connected client that wants a new run is asked to come back."""
        gate = Gate(self)
        daemon = await self.start(one(gate.shell))
        running = await watch(daemon.port, get("/stream/one"))
        await running.seen(b"line 1\n")
        kept = {}
        for request in (get("/stream/one"), post("/runs", {"command": "one"})):
            first = "GET /commands/one HTTP/1.1\r\nHost: localhost\r\n\r\n"
            connection = kept[request] = await watch(daemon.port, first)
            await connection.headed
        await self.drain(daemon)
        for request, connection in kept.items():
            second = request.replace(
                " HTTP/1.0\r\n", " HTTP/1.1\r\nHost: localhost\r\n"
            )
            connection.transport.write(second.encode())
            await connection.seen(b"the daemon is stopping")
            answer = connection.body[connection.body.index(b"HTTP/1.1 ") :]
            self.assertTrue(answer.startswith(b"HTTP/1.1 503 "), answer)
            self.assertIn(b"\r\nRetry-After: ", answer)
        await self.stop(daemon, "INT")
        daemon = await self.start()
        listed = (await fetch(daemon.port, "/runs")).body
        self.assertEqual(listed.count(b'"id"'), 1)

    async def test_queued(self) -> None:
        """A viewer of a queued run is sent away, and the next daemon runs it."""
        gate = Gate(self)
        more = 'max_running = 1\nwhen_busy = "queue"\non_disconnect = "keep"'
        config = one(f"echo $SHELLSTREAM_RUN; {gate.shell}", 0.1, more)
        daemon = await self.start(config)
        first = await watch(daemon.port, get("/stream/one"))
        await first.seen(b"line 1\n")
        queued = {}
        for form in ("plain", "frames"):
            viewer = await watch(daemon.port, get(f"/stream/one?format={form}"))
            await viewer.headed
            queued[form] = viewer
        await self.stop(daemon, "TERM")
        for form, viewer in queued.items():
            await viewer.gone
            account = RunOutput.of(form, viewer.body)
            self.assertEqual((account.data, account.end), (b"", None))
        daemon = await self.start(config)
        for viewer in queued.values():
            assert viewer.run is not None
            path = f"/runs/{viewer.run}/output?format=frames"
            again = await watch(daemon.port, get(path))
            for number in range(1, gate.LINES + 1):
                await again.seen(b"line %d\n" % number)
                gate.let_through()
            await again.gone
            account = RunOutput.of("frames", again.body)
            self.assertEqual(account.data.split()[0].decode(), viewer.run)
            self.assertEqual(account.data.split()[-1], b"over")
            self.assertEqual(account.end and account.end["state"], "exited")
        # What ran already is not begun again.
        self.assertNotIn(b"line 2", (await fetch_output(daemon.port, first.run)).data)

    async def test_interrupted(self) -> None:
        """Ctrl-C ends all runs at once, during a drain too."""
        for draining in (False, True):
            daemon = await self.start(one("echo here; exec sleep 1000"))
            viewer = await watch(daemon.port, get("/stream/one?format=frames"))
            await viewer.seen(b"here")
            if draining:
                await self.drain(daemon)
            await self.stop(daemon, "INT")
            end = RunOutput.of("frames", viewer.body).end
            self.assertEqual(end and end["reason"], "shutdown")
            assert viewer.run is not None
            await processes_gone({viewer.run})


class ResumeTests(StateTestCase):
    """A viewer that was cut goes on where it was, at another daemon."""

    #: Output on both streams, with characters of several bytes, and invalid ones.
    SHELL = (
        "exec < '{path}'; echo café 1; read x; printf '\\\\377 2\\\\n' >&2; read x; "
        "printf '\\\\303'; read x; printf '\\\\244 line 3\\\\n'; exec sleep 1000"
    )
    WHOLE = "café 1\n".encode() + b"\xff 2\n" + "ä line 3\n".encode()

    async def cut(self) -> tuple[str, dict[str, bytes]]:
        """Return a run, and its viewers' output in each format up to their cut."""
        gate = Gate(self)
        config = one(self.SHELL.format(path=gate.path))
        daemon = await self.start(config)
        started = await ask(daemon.port, post("/runs", {"command": "one"}))
        path = f"/runs/{started.run}/output?format="
        viewers = {
            form: await watch(daemon.port, get(path + form))
            for form in ("plain", *DECODERS)
        }
        for text in (b" 1", b"2", b""):
            for form, viewer in viewers.items():
                # Records of bytes that are no text are in base64.
                if text != b"2" or form == "plain":
                    await viewer.seen(text)
            gate.let_through()
        for viewer in viewers.values():
            await viewer.seen(b"line 3")
        os.kill(daemon.pid, SIGKILL)
        await daemon.program.ended()
        for viewer in viewers.values():
            await viewer.gone
        assert started.run is not None
        return started.run, {form: each.body for form, each in viewers.items()}

    async def test_plain(self) -> None:
        """Bytes go on at any offset, asked for by name or as a range."""
        run, seen = await self.cut()
        self.assertEqual(seen["plain"], self.WHOLE)
        daemon = await self.start()
        path = f"/runs/{run}/output"
        for offset in range(len(self.WHOLE)):
            rest = await fetch(daemon.port, f"{path}?offset={offset}")
            self.assertEqual(rest.body, self.WHOLE[offset:])
            request = get(path, Range=f"bytes={offset}-")
            ranged = await ask(daemon.port, request)
            self.assertIn(" 206 ", ranged.head)
            self.assertEqual(ranged.body, self.WHOLE[offset:])

    async def test_records(self) -> None:
        """Records go on behind any of them, the same as before, to the end."""
        run, seen = await self.cut()
        daemon = await self.start()
        for form, decode in DECODERS.items():
            pieces = [each for each in decode(seen[form]) if isinstance(each, Told)]
            self.assertEqual(b"".join(each.data for each in pieces), self.WHOLE)
            self.assertGreaterEqual(len(pieces), 3)
            for index, piece in enumerate(pieces, 1):
                offset = piece.offset + len(piece.data)
                path = f"/runs/{run}/output?format={form}&offset={offset}"
                self.assert_rest(
                    form, (await fetch(daemon.port, path)).body, pieces[index:]
                )

    async def test_event_source(self) -> None:
        """An EventSource names the last event that it got, and gets the next."""
        run, seen = await self.cut()
        daemon = await self.start()
        pieces = DECODERS["sse"](seen["sse"])
        for index, event in enumerate(event_source(seen["sse"])[0], 1):
            path = f"/runs/{run}/output?format=sse"
            request = get(path, Last_Event_ID=event.id)
            rest = await ask(daemon.port, request)
            self.assert_rest("sse", rest.body, pieces[index:])

    def assert_rest(self, form: str, wire: bytes, pieces: list[Any]) -> None:
        """The wire tells these pieces, and that the run is lost."""
        *rest, end = DECODERS[form](wire)
        got = [each for each in rest if isinstance(each, Told)]
        self.assertEqual(
            b"".join(each.data for each in got), b"".join(e.data for e in pieces)
        )
        if form != "frames":  # it tells no times
            self.assertEqual(got, pieces)
        self.assertEqual((end["type"], end["state"]), ("end", "lost"))
        self.assertEqual(end["offset"], len(self.WHOLE))
