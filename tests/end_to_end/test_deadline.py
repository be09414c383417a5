"""Inputs that would hold the reactor: no turn of a real daemon exceeds its deadline."""

import json
import os
import signal
import socket
import time
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from shellstream.model.events import Chunk, OnDisconnect, State, Stream
from shellstream.model.run_record import RunRecord
from shellstream.security.authorization import Grant
from shellstream.security.tokens import (
    MAX_TOKENS,
    SavedTokens,
    Token,
    create_token,
    render,
)
from shellstream.storage.ring_file import RingFile
from shellstream.storage.state_dir import StateDir
from shellstream.storage.token_file import TokenFile
from tests.support.http_watcher import ask, get, post, watch
from tests.support.programs import Daemon, start_daemon
from tests.support.tokens import unrecorded
from tests.support.watched_tests import WatchedTestCase

CHOICES = json.dumps([f"choice-{n:04}" for n in range(3000)])

CONFIG = f"""
[commands.say]
argv = ["true", "{{text}}", "{{word}}", "{{choice}}"]
params.text = {{ type = "string", default = "" }}
params.word = {{ type = "string", pattern = '[a-z]*[0-9]?', default = "" }}
params.choice = {{ type = "string", choices = {CHOICES}, default = "choice-0000" }}
[commands.flood]
argv = ["seq", "100000"]
""" + "".join(f'[commands.deploy-{n:04}]\nargv = ["true"]\n' for n in range(500))

#: The run with very many small pieces of output, and how many runs have large
#: parameters.
PIECES, LARGE = 15_000, 100


def run_id(number: int) -> str:
    return f"01890a5d-ac96-774b-bcce-{number:012x}"


def fill(folder: Path) -> None:
    """Make a state folder with the runs of an earlier daemon."""
    now = time.time_ns() // 1000
    state = StateDir.open(folder, lambda: now)
    file = RingFile(state.log_path(run_id(0)), 64 << 20)
    for number in range(PIECES):
        stream = Stream.STDERR if number % 50 == 0 else Stream.STDOUT
        file.append(Chunk(number, stream, now, b"\n" if number % 4 else b"x"))
    file.close()
    with state.database.transaction():
        for number in range(1 + LARGE):
            record = RunRecord(
                id=run_id(number),
                command="say",
                params={"text": "\\" * 60_000} if number else {},
                created=now,
                on_disconnect=OnDisconnect.KEEP,
                state=State.EXITED,
                started=now,
                ended=now,
                code=0,
                size=0 if number else file.end,
                stored=0 if number else file.stored,
            )
            state.database.add(record, None)
    state.close()


def many_tokens(count: int) -> tuple[dict[str, Token], str]:
    """Tokens, and the text of the last one."""
    tokens: dict[str, Token] = {}
    for number in range(count):
        token, text = create_token(f"user-{number}", Grant(), 0, None, tokens)
        tokens[token.id] = token
    return tokens, text


def replace(file: TokenFile, saved: SavedTokens) -> None:
    """Save tokens with an editor."""
    edited = file.folder / "edited"
    edited.write_text(render(saved))
    edited.chmod(0o600)
    edited.replace(file.path)


def _get(path: str, *lines: str) -> bytes:
    head = "\r\n".join(
        (f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *lines)
    )
    return f"{head}\r\n\r\n".encode("latin-1")


def _post(path: str, body: object) -> bytes:
    return post(path, body).encode()


#: Requests that a stranger, or a caller with few rights, may send.
REQUESTS = {
    "an Accept of thousands of ranges": _get("/", "Accept: " + "a/b," * 3900),
    "a media range of thousands of parameters": _get("/", "Accept: a/b" + ";a" * 7700),
    "a path of slashes": _get("/" * 15_800),
    "a run's path of slashes": _get("/runs" + "/" * 15_800),
    "a query of separators": _get("/commands?" + "&" * 15_800),
    "a query of thousands of fields": _get("/runs?" + "command=&" * 1700),
    "cookies of separators": _get("/commands", "Cookie: " + ";" * 15_800),
    "a user agent of bytes to escape": _get("/", "User-Agent: " + "\xff" * 15_800),
    "a method of 15 kB": b"A" * 15_800 + b" / HTTP/1.0\r\n\r\n",
    "a command like hundreds of others": _post("/runs", {"command": "ydpole-0000"}),
    "a parameter like thousands of choices": _post(
        "/runs", {"command": "say", "params": {"choice": "ecioch-0000"}}
    ),
    "thousands of parameters": _post(
        "/stream/say", {f"txet{n:05}": "" for n in range(4000)}
    ),
    "thousands of parameters within params": _post(
        "/runs", {"command": "say", "params": {f"txet{n:05}": 1 for n in range(2400)}}
    ),
    "hundreds of parameters": _post(
        "/stream/say", {f"{'text' * 18}{n:03}": "" for n in range(199)}
    ),
    "lists in lists": _post("/runs", None).replace(
        b"Content-Length: 0\r\n\r\n",
        b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
        + b"[" * 60_000,
    ),
    "thousands of lists": _post("/runs", {"params": {"text": [[]] * 15_000}}),
    "a value with much to go back over": _post(
        "/runs", {"command": "say", "params": {"word": "a" * 4000 + "!"}}
    ),
    "a body in chunks of one byte": (
        b"POST /runs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/json\r\nConnection: close\r\n\r\n"
        + b"1\r\n \r\n" * 60_000
        + b"0\r\n\r\n"
    ),
    "hundreds of requests at once": (
        b"GET /commands/say HTTP/1.1\r\nHost: localhost\r\n\r\n" * 300 + _get("/")
    ),
    "all runs, with large parameters": get("/runs?limit=1000").encode(),
    "the last lines of many pieces": get(
        f"/runs/{run_id(0)}/output?tail=100000"
    ).encode(),
    "the last lines of one stream": get(
        f"/runs/{run_id(0)}/output?tail=1000&stream=stderr"
    ).encode(),
    "one stream of many pieces": get(
        f"/runs/{run_id(0)}/output?stream=stderr&format=sse"
    ).encode(),
    "many pieces as records": get(f"/runs/{run_id(0)}/output?format=ndjson").encode(),
    "a flood as records": _post("/stream/flood?format=sse", None),
}


class DeadlineTests(WatchedTestCase):
    """A watched daemon answers what would hold it."""

    timeout = 120

    async def start(self) -> Daemon:
        """Start a watched daemon with a history."""
        folder = Path(self.mktemp()).absolute()
        fill(folder)
        return await start_daemon(self, CONFIG, "--state-dir", str(folder))

    async def test_requests(self) -> None:
        """Each of them alone."""
        daemon = await self.start()
        for name, request in REQUESTS.items():
            found = await ask(daemon.port, request)
            self.assertNotIn(found.status, (500, 503), name)

    async def test_at_once(self) -> None:
        """Hundreds of clients ask in the same moment: they take turns."""
        daemon = await self.start()
        for request in (
            _get("/healthz"),
            _get(f"/runs/{run_id(0)}"),
            _post("/stream/say", None),
        ):
            os.kill(daemon.pid, signal.SIGSTOP)
            self.addCleanup(os.kill, daemon.pid, signal.SIGCONT)
            clients = [
                socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(300)
            ]
            for each in clients:
                self.addCleanup(each.close)
                each.sendall(request)
            os.kill(daemon.pid, signal.SIGCONT)
            for each in clients:
                answer = await deferToThread(each.recv, 1 << 16)
                self.assertIn(b" 200 OK\r\n", answer[:20])

    async def test_crowd(self) -> None:
        """The longest of them many times, and a crowd that watches the events."""
        daemon = await self.start()
        watchers = [await watch(daemon.port, get("/events")) for _ in range(300)]
        await gatherResults([each.headed for each in watchers])
        path = f"/runs/{run_id(0)}/output"
        many = [
            ask(daemon.port, get(f"{path}{query}"))
            for query in ("?tail=100000", "?stream=stderr", "?format=ndjson")
            for _ in range(3)
        ]
        many += [ask(daemon.port, get("/runs?limit=1000")) for _ in range(50)]
        created = await ask(daemon.port, post("/runs", {"command": "say"}))
        self.assertEqual(created.status, 201)
        for found in await gatherResults(
            [Deferred.fromCoroutine(each) for each in many]
        ):
            self.assertEqual(found.status, 200)
        for each in watchers:
            await each.seen(b"event: ended")
            each.leave()

    async def test_tokens(self) -> None:
        """An editor replaces all tokens, as many as there may be, and then too many."""
        folder = Path(self.mktemp()).absolute()
        file = TokenFile(folder)
        tokens, text = many_tokens(MAX_TOKENS)
        file.change(lambda _: tokens, unrecorded)
        daemon = await start_daemon(self, CONFIG, "--state-dir", str(folder))

        async def status() -> int | None:
            header = f"Bearer {text}"
            return (await ask(daemon.port, get("/", Authorization=header))).status

        self.assertEqual(await status(), 200)
        revision = json.loads(file.path.read_text())["revision"]
        tokens, text = many_tokens(MAX_TOKENS)
        replace(file, SavedTokens(tokens, revision))
        while await status() != 200:
            pass
        replace(file, SavedTokens(many_tokens(5 * MAX_TOKENS)[0], revision))
        await daemon.program.seen(b"until then the tokens stay as they were")
        self.assertEqual(await status(), 200)
