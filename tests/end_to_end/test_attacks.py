"""Malicious requests to a real daemon: each line of a table is an attack."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tests.end_to_end.attacks import (
    CONFIG,
    FORMS,
    JSON,
    LOOK_ALIKES,
    NO_OPTIONS,
    OPTIONS,
    PARAMS,
    PATHS,
    SHELL,
)
from tests.support.http_watcher import Watcher, ask, fetch, get, post
from tests.support.programs import Gate, start_daemon
from tests.support.watched_tests import WatchedTestCase


class AttackTestCase(WatchedTestCase):
    """A daemon with a folder that paths may be in, beside one that they may not."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]  # trial waits
        self.top = Path(self.mktemp()).absolute()
        self.root = self.top / "root"
        (self.root / "sub").mkdir(parents=True)
        (self.root / "sub" / "file").write_text("inside")
        (self.top / "secret").write_text("SECRET")
        params = PARAMS.format(root=self.root)
        text = CONFIG.format(root=self.root, params=params) + self.more()
        self.daemon = await start_daemon(self, text)
        self.before = self.files()

    def more(self) -> str:
        """Further commands."""
        return ""

    def files(self) -> set[Path]:
        return set(self.top.rglob("*"))

    async def ask(self, request: str | bytes) -> Watcher:
        """Send a request; it must get exactly one valid response."""
        found = await ask(self.daemon.port, request)
        self.assertNotEqual(found.status, 500, (request[:200], found.body[:500]))
        self.assertEqual(found.head.lower().count("http/1."), 1, found.head)
        self.assertNotRegex(found.head.lower(), "(?m)^(x-made|set-cookie):")
        self.assertNotIn(b"Traceback", found.body)
        return found

    async def assert_refused(self, request: str | bytes, *statuses: int) -> Watcher:
        """Check for a refusal that shows nothing of the daemon."""
        found = await self.ask(request)
        self.assertIn(found.status, statuses or (400, 413), request[:200])
        self.assertIn("application/problem+json", found.head)
        self.assertEqual(json.loads(found.body)["status"], found.status)
        self.assertNotIn(str(self.top).encode(), found.body)
        self.assertNotIn(b"site-packages", found.body)
        return found

    async def printed(self, command: str, **params: object) -> list[str]:
        """The parameters as the command received them."""
        found = await self.ask(post(f"/stream/{command}", params))
        self.assertEqual(found.status, 200, (params, found.body))
        return found.body.decode().split("\0")

    async def assert_nothing_ran(self, but: int = 0) -> None:
        """Check the number of started runs, and that no file was made or deleted."""
        listed = await fetch(self.daemon.port, "/runs?limit=1000")
        self.assertEqual(len(json.loads(listed.body)["runs"]), but)
        self.assertEqual(self.files(), self.before)


class ParameterTests(AttackTestCase):
    """Malicious values of parameters."""

    async def test_shell(self) -> None:
        """Shell metacharacters reach the child as they are, or not at all."""
        for command in ("argv", "shell"):
            for text in SHELL:
                found = await self.printed(command, s=text, w=text)
                within = os.path.join(self.root, text)
                defaults = ["é", "0", "0.5", "true"]
                self.assertEqual(found, [text, f"--s={text}", *defaults, within, ""])
                for name in "cinb":
                    await self.assert_refused(post(f"/stream/{command}", {name: text}))
        await self.assert_nothing_ran(2 * len(SHELL))

    async def test_options(self) -> None:
        """No value becomes an option; a text that looks like one stays text."""
        for command in ("argv", "shell"):
            for text in OPTIONS:
                for name in "scinb":
                    await self.assert_refused(post(f"/stream/{command}", {name: text}))
                (*_, path, end) = await self.printed(command, w=text)
                self.assertEqual((path, end), (os.path.join(self.root, text), ""))
            for text in NO_OPTIONS:
                self.assertEqual((await self.printed(command, s=text))[0], text)
        await self.assert_nothing_ran(2 * (len(OPTIONS) + len(NO_OPTIONS)))

    async def test_look_alikes(self) -> None:
        """Look-alikes of numbers, booleans and choices are refused."""
        for name, values in LOOK_ALIKES.items():
            for value in values:
                for command in ("argv", "shell"):
                    request = post(f"/stream/{command}", {name: value})
                    await self.assert_refused(request)
                if isinstance(value, str):
                    query = urlencode({name: value})
                    await self.assert_refused(post(f"/stream/argv?{query}"), 400)
        await self.assert_nothing_ran()

    async def test_json(self) -> None:
        """Members that are repeated, too deep, too many or not text are refused."""
        for body in JSON:
            await self.assert_refused(_body("/stream/argv", body))
            await self.assert_refused(
                _body("/runs", b'{"command": "argv", "params": %b}' % body)
            )
            await self.assert_refused(_body("/runs", body))
        await self.assert_nothing_ran()

    async def test_forms(self) -> None:
        """Forms that are ambiguous, or have a million fields, are refused."""
        kind = b"application/x-www-form-urlencoded"
        for body in FORMS:
            await self.assert_refused(_body("/stream/argv", body, kind))
            if len(body) < 8000:
                request = b"POST /stream/argv?%b HTTP/1.0\r\n\r\n" % body
                await self.assert_refused(request)
        for other in (
            b"multipart/form-data",
            b"text/xml",
            b"",
            b"application/json\xff",
        ):
            await self.assert_refused(_body("/stream/argv", b"s=a", other), 415)
        await self.assert_nothing_ran()

    async def test_headers(self) -> None:
        """No line end that is sent becomes one of the answer's head."""
        made = "a\r\nX-Made: yes\r\n\r\nHTTP/1.1 200 OK\r\n"
        encoded = urlencode({"command": made, "format": made, "after": made})
        await self.ask(post("/runs", {"command": "argv", "params": {"s": made}}))
        await self.ask(post("/runs", {"command": "argv", "params": {"s": made}}))
        for request in (
            post("/runs", {"command": made}),
            post("/runs", {"command": "argv", "params": {made: made}}),
            post("/stream/argv", {"s": made}),
            post(f"/stream/argv?format={quote(made)}"),
            post(f"/stream/{quote(made)}"),
            get(f"/runs/{quote(made)}"),
            get(f"/runs?{encoded}"),
            get(f"/runs?{urlencode({'limit': 1, 'command': made})}"),
            get(f"/runs?{urlencode({'limit': 1, 'command': 'argv'})}"),
            get(f"/doctor?count={quote(made)}"),
            get("/events", Last_Event_ID="4@a\rX-Made: yes"),
            get("/", Accept="text/html\rX-Made: yes"),
            _body("/stream/argv", b"s", b"text/a\rX-Made: yes"),
            b"GET /\rX-Made: yes HTTP/1.0\r\n\r\n",
            b"GET / HTTP/1.0\rX-Made: yes\r\n\r\n",
        ):
            found = await self.ask(request)
            self.assertNotIn("x-made", found.head.lower().replace("%0d%0ax-made", ""))


def _body(path: str, body: bytes, media_type: bytes = b"application/json") -> bytes:
    """A request with any body."""
    head = f"POST {path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n".encode()
    return b"%bContent-Type: %b\r\n\r\n%b" % (head, media_type, body)


class PathTests(AttackTestCase):
    """Malicious names, ids and paths."""

    skip = None if sys.platform == "linux" else "some of it is about /proc"

    def more(self) -> str:
        self.gate = Gate(self)
        self.alias = self.top / "alias"
        self.alias.symlink_to(self.root)
        return f"""
[commands.read]
argv = ["cat", "{{file}}"]
params.file = {{type = "path", roots = ["{self.alias}"]}}
[commands.queued]
shell = '''if [ "$wait" = true ]; then {self.gate.shell}; fi; cat "$file"'''
max_running = 1
when_busy = "queue"
params.wait = {{type = "boolean"}}
params.file = {{type = "path", roots = ["{self.root}"], default = "{self.root}"}}
"""

    async def test_names(self) -> None:
        """A name or an id finds only its own command or run."""
        for path in PATHS:
            for place in (
                f"/commands/{path}",
                f"/runs/{path}",
                f"/runs/{path}/output",
                f"/stream/{path}",
            ):
                request = f"GET {place} HTTP/1.0\r\n\r\n".encode("latin-1")
                await self.assert_refused(request, 400, 404)
                await self.assert_refused(
                    request.replace(b"GET", b"DELETE", 1), 400, 404, 405
                )
                starts = request.replace(b"GET", b"POST", 1)
                await self.assert_refused(starts, 400, 404, 405)
        for path in PATHS:
            await self.assert_refused(post("/runs", {"command": path}), 404)
            await self.assert_refused(get("/runs/x/output", Last_Event_ID=path), 404)
            found = await self.ask(get(f"/runs?{urlencode({'command': path})}"))
            self.assertEqual(json.loads(found.body), {"runs": [], "next": None})
            after = get(f"/runs?{urlencode({'after': path})}")
            if not re.fullmatch("[0-9a-f-]{36}", path):
                await self.assert_refused(after)
        await self.assert_nothing_ran()

    async def test_out(self) -> None:
        """No path leads out of its root: by dots, links, circles or C{/proc}."""
        links: dict[str, str | Path] = {
            "out": self.top,
            "file": self.top / "secret",
            "up": "..",
            "chain": "out/secret",
            "loop": "loop",
            "circle": "elcric",
            "elcric": "circle",
            "behind": "loop/../out/secret",
            "self": "/proc/self/root",
            "cwd": "/proc/self/cwd",
        }
        for name, to in links.items():
            (self.root / name).symlink_to(to)
            self.addCleanup((self.root / name).unlink)  # for tools that walk
        for path in (
            *(
                "..",
                "../secret",
                "sub/../../secret",
                "./../secret",
                "sub/file/../../../secret",
            ),
            *(
                "/etc/passwd",
                "//etc/passwd",
                "/",
                f"{self.top}/secret",
                f"{self.root}x",
            ),
            *(
                "out",
                "out/secret",
                "file",
                "up/secret",
                "chain",
                "behind",
                "self/etc/passwd",
            ),
            *("loop/../out/secret", "loop/../file", "circle/../out/secret"),
            *("missing/../../secret", "missing/../file", f"{'x' * 300}/../../secret"),
            *(
                "/proc/self/root/etc/passwd",
                "/proc/self/cwd",
                f"/proc/self/root{self.top}",
            ),
            *(
                "/dev/fd/0",
                "/dev/stdin",
                "/proc/self/environ",
                f"/proc/self/root{self.root}/file",
            ),
            *(f"{self.alias}/../secret", f"{self.alias}/out/secret"),
        ):
            refused = await self.assert_refused(post("/stream/read", {"file": path}))
            self.assertNotIn(b"SECRET", refused.body)
        for path in ("sub/file", f"{self.alias}/sub/file", "out/root/sub/file"):
            found = await self.ask(post("/stream/read", {"file": path}))
            self.assertEqual(found.body, b"inside", path)

    async def test_swapped(self) -> None:
        """A path that has come to lead elsewhere while its run waited is not used."""
        order: dict[str, Any] = {"command": "queued", "params": {"wait": True}}
        await self.ask(post("/runs", order))
        order["params"] = {"wait": False, "file": "sub/file"}
        waits = json.loads((await self.ask(post("/runs", order))).body)
        self.assertEqual(waits["state"], "queued")
        (self.root / "sub").rename(self.root / "was")
        (self.root / "sub").symlink_to(self.top)
        (self.top / "file").write_text("SECRET")
        for _ in range(Gate.LINES):
            self.gate.let_through()
        output = await self.ask(get(f"/runs/{waits['id']}/output"))
        self.assertEqual(output.body, b"")
        found = json.loads((await self.ask(get(f"/runs/{waits['id']}"))).body)
        self.assertEqual(found["state"], "failed")
        self.assertIn("leads elsewhere", found["failure"])
