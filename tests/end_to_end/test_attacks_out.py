"""Malicious text on its way out of a real daemon: output, log, client."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from tests.end_to_end.attacks import OUTPUT, PAGE, TERMINAL
from tests.end_to_end.command_line import ClientTestCase
from tests.support.decoders import DECODERS, Told
from tests.support.http_watcher import _RECORDS, RunOutput, ask, fetch_output, get, post
from tests.support.programs import ROOT, needs, run, start_daemon

ANY = 'params.s = {type = "string", pattern = "(?s).*", allow_leading_dash = true}\n'
CONFIG = f"""
[commands.cat]
shell = 'dd if="$s" bs=3 status=none; dd if="$s" bs=7 status=none >&2'
{ANY}
[commands.whole]
argv = ["cat", "{{s}}"]
{ANY}
[commands.echo]
argv = ["printf", "%s", "{{s}}"]
{ANY}
[commands.none]
argv = ["/no/such/program", "{{s}}"]
{ANY}
[commands.wait]
argv = ["sleep", "1000"]
"""


class OutputTests(TestCase):
    """Output cannot pass for anything else, in any format."""

    timeout = 120

    async def test_forged(self) -> None:
        """No reader of any format takes output for a record."""
        daemon = await start_daemon(self, CONFIG)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for number, data in enumerate(OUTPUT):
            path = folder / str(number)
            path.write_bytes(data)
            for command, streams in (
                ("cat", ("stdout", "stderr")),
                ("whole", ("stdout",)),
            ):
                order = {"command": command, "params": {"s": str(path)}}
                begun = await ask(daemon.port, post("/runs", order))
                end = (await fetch_output(daemon.port, begun.run)).end
                for form, read in DECODERS.items():
                    where = f"/runs/{begun.run}/output?format={form}"
                    wire = (await ask(daemon.port, get(where))).body
                    records = read(wire)
                    for stream in streams:
                        self.assertEqual(
                            _printed(records, stream), data, (form, stream)
                        )
                    kinds = [each["type"] for each in records if isinstance(each, dict)]
                    self.assertEqual(
                        [k for k in kinds if k not in ("run", "ping")], ["end"]
                    )
                    if form in _RECORDS:  # by other readers, once more
                        account = RunOutput.of(form, wire)
                        self.assertEqual(account.end, end)
                        self.assertEqual(len(account.data), len(data) * len(streams))

    async def test_page(self) -> None:
        """
        A browser shows output that looks like a page as text, and executes nothing.
        """
        page = f'get = true\nargv = ["printf", "%s", {json.dumps(PAGE)}]\n'
        daemon = await start_daemon(self, f"{CONFIG}[commands.page]\n{page}")
        order = {"command": "echo", "params": {"s": PAGE}}
        begun = await ask(daemon.port, post("/runs", order))
        script = str(ROOT / "tests" / "interop" / "clients" / "chromium.py")
        for path in (
            "/stream/page",
            f"/runs/{begun.run}",
            f"/stream/{quote(PAGE, safe='')}",
        ):
            url = daemon.url + path
            browser = run(self, sys.executable, script, "document", url)
            self.assertEqual(await browser.ended(), 0, browser.err)
            self.assertIn(b"&lt;script&gt;document.body", browser.out)
            for tag in (b"EXECUTED", b"<img", b"<svg", b"<meta http"):
                self.assertNotIn(tag, browser.out)
            ours = browser.out.count(b'<script type="module" src="../assets/')
            self.assertEqual(browser.out.count(b"<script"), ours)

    test_page.skip = needs("chromium")


def _printed(records: Iterable[Any], stream: str) -> bytes:
    parts = [each for each in records if isinstance(each, Told)]
    return b"".join(each.data for each in parts if each.stream == stream)


#: Ids of the hostile server's runs: the client asks for no run without a whole one.
_IDS = {
    name: f"01890a5d-ac96-774b-bcce-{number:012}"
    for number, name in enumerate(
        ("x", "fails", "ends", "other", "text", "moved", "nonsense")
    )
}


class TerminalTests(ClientTestCase):
    """Messages of the command line cannot steer the terminal."""

    def assert_harmless(self, shown: bytes, *, ours: str = "") -> None:
        """Check that all bytes are printable, and no line looks like one of ours."""
        for line in shown.decode().split("\n"):
            self.assertTrue(line.isprintable(), line)
            self.assertFalse(line.startswith("shellstream: all is well"), line)
            self.assertTrue(not line or line.startswith(ours), line)

    async def test_parameters(self) -> None:
        """Parameters are listed as printable text; JSON has them unchanged."""
        await self.serve(CONFIG)
        order = {"command": "echo", "params": {"s": TERMINAL}}
        begun = await ask(self.daemon.port, post("/runs", order))
        self.assertEqual(
            (await fetch_output(self.daemon.port, begun.run)).data, TERMINAL.encode()
        )
        assert begun.run is not None
        for words in (("ps", "-a"), ("show", begun.run), ("commands",)):
            client = await self.done(*words)
            self.assert_harmless(client.out)
            self.assertEqual(client.err, b"")
        for form in ("json", "ndjson"):
            client = await self.done("ps", "-a", "--format", form)
            self.assert_harmless(client.out)
            found = json.loads(client.out)
            found = found[0] if form == "json" else found
            self.assertEqual(found["params"], {"s": TERMINAL})
        # What the command prints is its own.
        client = await self.done("echo", f"s={TERMINAL}")
        self.assertEqual(client.out, TERMINAL.encode())

    async def test_server(self) -> None:
        """Text of a hostile server reaches the terminal only escaped."""
        self.daemon = await _hostile(self)
        for words, code in (
            (("ps",), 0),
            (("show", "x"), 0),
            (("show", "ab"), 65),  # two begin so
            (("commands",), 0),
            (("ps", "--format", "ndjson"), 0),
            (("show", "x", "--format", "json"), 0),
            (("-v", "fails"), 76),
            (("attach", "-v", "fails"), 76),
            (("attach", "-v", "--prefix", "-t", "ends"), 76),
            (("attach", "-v", "ends", "--format", "ndjson"), 76),
            (("attach", "other"), 76),
            (("refused",), 65),
            (("attach", "text"), 65),
            (("attach", "moved"), 65),
            (("attach", "nonsense"), 76),
        ):
            of_run = words[0] in ("show", "attach")
            client = self.client(
                *(_IDS.get(each, each) if of_run else each for each in words)
            )
            await client.ended()
            self.assertEqual(client.status, code, (words, client.out, client.err))
            self.assert_harmless(client.out)
            self.assert_harmless(client.err, ours="shellstream: ")
            self.assertNotIn(b"Traceback", client.err)


class _Hostile(Resource):
    """A server all of whose words are meant for the terminal."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        path = request.path.decode()
        run_info: dict[str, Any] = dict.fromkeys(
            ("id", "command", "state", "failure", "principal", "output"), TERMINAL
        )
        run_info |= {"created": TERMINAL, "size": 1, "code": None, "signal": TERMINAL}
        run_info |= {"params": {TERMINAL: TERMINAL}, "end": None}
        parameter = {"type": TERMINAL, "default": TERMINAL, "enum": [TERMINAL]}
        parameter |= {"description": TERMINAL, "pattern": TERMINAL}
        command = {"name": TERMINAL, "description": TERMINAL, "stdin": False}
        command |= {"parameters": {"required": [], "properties": {TERMINAL: parameter}}}
        if path.startswith("/commands"):
            return self._json(request, {"commands": [command], "default": None})
        if path == "/runs":
            runs = [run_info | {"id": f"{each}{TERMINAL}"} for each in ("abd", "abc")]
            return self._json(request, {"runs": runs, "next": None})
        asked = path.split("/")[-2 if path.endswith("/output") else -1]
        match next((name for name, each in _IDS.items() if each == asked), asked):
            case "refused":
                request.setResponseCode(400, b"Bad\x1b[2J")
                return self._json(
                    request, {"detail": TERMINAL}, "application/problem+json"
                )
            case "text":
                request.setResponseCode(
                    403, TERMINAL.replace("\r", "").replace("\n", "").encode()
                )
                request.setHeader("content-type", "text/plain")
                return TERMINAL.encode()
            case "moved":
                request.setResponseCode(302)
                where = TERMINAL.encode().replace(b"\r", b"").replace(b"\n", b"")
                request.setHeader(b"location", where)
                return b""
            case "fails" | "ends" | "other" | "nonsense" as what:
                if request.method == b"GET" and not path.endswith("/output"):
                    return self._json(request, run_info)
                return self._output(request, what, asked)
        return self._json(request, run_info)

    def _json(
        self, request: Request, document: object, kind: str = "application/json"
    ) -> bytes:
        request.setHeader("content-type", kind)
        return json.dumps(document).encode()

    def _output(self, request: Request, what: str, run: str) -> bytes:
        request.setHeader("shellstream-run", run)
        end: dict[str, Any] = {"type": "end", "state": "failed", "code": None}
        end |= {"signal": TERMINAL}
        end |= {"reason": TERMINAL, "offset": 0}
        if what == "ends":
            end |= {"state": TERMINAL}
        first: dict[str, Any] = {"type": "run", "command": TERMINAL, "offset": 0}
        first["run"] = TERMINAL if what == "other" else run
        if what == "nonsense":
            first = {"type": "end", TERMINAL: TERMINAL}
        records = [json.dumps(each).encode() for each in (first, end)]
        if "ndjson" in (request.getHeader("accept") or ""):
            return b"".join(each + b"\n" for each in records)
        return b"".join(b"\0\0\0\0" + len(r).to_bytes(4, "big") + r for r in records)


class _At:
    """Stands for a daemon at a port."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"


async def _hostile(test: TestCase) -> Any:
    site = Site(_Hostile())
    listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site)
    test.addCleanup(listening.stopListening)
    return _At(listening.getHost().port)


class LogTests(TestCase):
    """Requests can neither forge a line of the daemon's log nor steer a terminal."""

    timeout = 60

    async def test_injected(self) -> None:
        """
        Text injected by path, header, parameter or failure stays in one harmless line.
        """
        daemon = await start_daemon(self, CONFIG)
        made = "x\r\n2026-01-01T00:00:00+0000 [made] up\x1b[2J\x9b\x85\u2028"
        raw = made.replace("\r\n", "\r").encode()
        order = {"command": "none", "params": {"s": made}}
        # What can be tried is refused with or without being logged.
        for request in (
            post("/runs", order),
            post("/stream/none", {"s": made}),
            post("/runs", {"command": made}),
            post("/stream/echo", {"s": "x" * 4096}),
            b"GET /stream/%b HTTP/1.0\r\n\r\n" % raw.replace(b" ", b"\t"),
            b"GET / HTTP/1.0\r\nUser-Agent: %b\r\nReferer: %b\r\n\r\n" % (raw, raw),
            b"GET / HTTP/1.0\r\nAccept: %b\r\nHost: \xff\r\nOrigin: %b\r\n\r\n"
            % (raw, raw),
            b"GET / HTTP/1.0\r\nUser-Agent: a\r\n b\r\n\r\n",
            b"GET / HTTP/1.0\r\nAuthorization: Basic %b\r\n\r\n" % raw,
            b"GET / HTTP/1.0\r\nX-Forwarded-For: %b\r\n\r\n" % raw,
            b"G\x1b[2JT / HTTP/1.0\r\n\r\n",
            b"GET / HTTP/1.1%b\r\n\r\n" % raw,
            b"%b\r\n\r\n" % raw,
        ):
            await ask(daemon.port, request)
        daemon.program.signal("INT")
        await daemon.program.ended()
        log = daemon.program.out.decode()
        self.assertIn("cannot be started", log)
        for line in log.removesuffix("\n").split("\n"):
            self.assertTrue(line.isprintable(), line)
            self.assertRegex(line, r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[")
            self.assertNotIn("] [made] up", line)
            self.assertFalse(line.startswith("2026-01-01T00:00:00+0000 [made]"), line)
        self.assertEqual(daemon.program.err, b"")
