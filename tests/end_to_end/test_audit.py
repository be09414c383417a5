"""The audit of a real daemon has each change, and no secret."""

import json
import os
from pathlib import Path
from typing import Any

from shellstream.storage.token_file import account
from tests.end_to_end.state_daemons import StateTestCase, refusal
from tests.support.http_watcher import ask, fetch, get, post, watch
from tests.support.programs import Daemon, run, script, start_daemon

SECRET = "tr0ub4dor"
TOKEN = "shs_0123abcd_" + "5" * 64

CONFIG = """
default = "true"
[commands.true]
argv = ["true"]
get = true
[commands.wait]
shell = 'echo "$SHELLSTREAM_RUN"; exec sleep 1000'
max_running = 1
params.x = { type = "integer", default = 1 }
[commands.login]
shell = 'printf %s "$password" | sha256sum; printf %s "$password" > "$file"'
get = true
params.file = { type = "string" }
params.password = { type = "string", secret = true }
"""


class AuditTestCase(StateTestCase):
    """The audit of a daemon."""

    @property
    def path(self) -> Path:
        return self.state / "audit.jsonl"

    def lines(self) -> list[dict[str, Any]]:
        """The lines, each without its time, of which it is certain that it has one."""
        found = [json.loads(each) for each in self.path.read_text("ascii").splitlines()]
        times = [each.pop("time") for each in found]
        self.assertEqual(times, sorted(times))
        return found


class AuditTests(AuditTestCase):
    """Each action has its audit line."""

    async def test_everything(self) -> None:
        """Start, refusal, signal, cancel, end, deletion: a line each."""
        daemon = await self.start(CONFIG)
        here = {"who": "anonymous", "credential": "none", "from": "127.0.0.1"}
        watcher = await watch(daemon.port, post("/stream/wait?x=2"))
        await watcher.seen(b"-")
        run_id = watcher.run
        assert run_id is not None
        of = {"command": "wait", "run": run_id}
        expected: list[dict[str, Any]] = [
            {"what": "start", **here, **of, "params": {"x": "2"}, "state": "running"}
        ]
        self.assertEqual(self.lines(), expected)
        for request, path, status, more, logged in (
            (
                post("/stream/wait?y=1"),
                "/stream/wait",
                400,
                {"command": "wait"},
                "a name that is unknown",
            ),
            (
                post("/stream/nothing"),
                "/stream/***",
                404,
                {},
                "there is no such command",
            ),
            (
                post("/runs", {"command": "wait", "params": {"x": 3}}),
                "/runs",
                503,
                {"command": "wait", "params": {"x": "3"}},
                "",
            ),
        ):
            answer = await ask(daemon.port, request)
            reason = logged or json.loads(answer.body)["detail"]
            expected.append(
                {
                    **{"what": "refused", **here, **more},
                    **{"request": f"POST {path}", "status": status, "reason": reason},
                }
            )
        steer = {**here, **of}
        await ask(daemon.port, post(f"/runs/{run_id}/signal", {"signal": "CONT"}))
        expected.append({"what": "signal", **steer, "signal": "CONT"})
        await ask(daemon.port, post(f"/runs/{run_id}/cancel"))
        await watcher.gone
        expected.append({"what": "cancel", **steer})
        expected.append(
            {
                **{"what": "end", "who": "anonymous", **of, "state": "signaled"},
                **{"signal": "TERM", "reason": "cancelled"},
            }
        )
        delete = get(f"/runs/{run_id}").replace("GET", "DELETE", 1)
        await ask(daemon.port, delete)
        expected.append({"what": "delete", **steer})
        self.assertEqual(self.lines(), expected)
        await self.stop(daemon)
        self.assertEqual(self.lines(), expected)

    async def test_killed(self) -> None:
        """A run that is lost with its daemon has its end from the next one."""
        daemon = await self.start(CONFIG)
        watcher = await watch(daemon.port, post("/stream/wait"))
        await watcher.seen(b"-")
        await self.stop(daemon, "KILL")
        daemon = await self.start(CONFIG)
        # The end is in the audit once the process is gone, which TERM has ended.
        while len(self.lines()) < 2:
            await ask(daemon.port, get("/healthz"))
        first, last = self.lines()
        self.assertEqual((first["what"], first["run"]), ("start", watcher.run))
        self.assertEqual((last["what"], last["run"]), ("end", watcher.run))
        self.assertEqual(last["state"], "lost")

    async def test_flood(self) -> None:
        """A flood of refusals has few lines, and in the end their number."""
        daemon = await self.start(CONFIG)
        count = 150
        head = "HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        asked = (f"POST /stream/nothing{n} {head}" for n in range(count))
        request = "".join(asked)
        watcher = await watch(daemon.port, request)
        await watcher.seen(b"nothing%d" % (count - 1))
        watcher.leave()
        await fetch(daemon.port, "/stream")
        await self.stop(daemon)
        lines = self.lines()
        *refused, last = [each for each in lines if each["what"] == "refused"]
        self.assertEqual(len(refused) + last["times"], count)
        self.assertEqual(last["from"], "127.0.0.1")
        self.assertEqual(len(lines), len(refused) + 3)  # and a run
        self.assertLess(len(refused), count / 2)

    async def test_rotated(self) -> None:
        """The audit is in the operator's file, rotated, and private."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        table = f"[audit]\nfile = '{folder}/a'\nmax_size = 300\nkeep = 2\n"
        daemon = await self.umasked(CONFIG + table)
        for _ in range(5):
            await fetch(daemon.port, "/stream")
        found = {each.name: each.stat() for each in folder.iterdir()}
        self.assertEqual(set(found), {"a", "a.1", "a.2"})
        self.assertEqual({each.st_mode & 0o777 for each in found.values()}, {0o600})
        self.assertLessEqual(max(each.st_size for each in found.values()), 300)
        self.assertFalse(self.path.exists())

    async def umasked(self, config: str) -> Daemon:
        """Return a daemon with a umask that would make its files public."""
        path = Path(self.mktemp()).absolute()
        path.write_text(config)
        options = ("--port", "0", "--config", str(path), "--state-dir", str(self.state))
        shell = 'umask 0 && exec "$@"'
        twistd = (script("twistd"), "-n", "--umask=0", "shellstream", *options)
        program = run(self, "/bin/sh", "-c", shell, "sh", *twistd, end_with="INT")
        await program.seen(b"/stream")
        return Daemon(program)

    async def test_moved_away(self) -> None:
        """After logrotate has moved the file away, a new one is begun."""
        daemon = await self.start(CONFIG)
        await fetch(daemon.port, "/stream")
        self.path.rename(self.state / "moved")
        await fetch(daemon.port, "/stream")
        self.assertEqual([each["what"] for each in self.lines()], ["start", "end"])

    async def test_full(self) -> None:
        """Runs go on while the audit cannot be written; later it names the gap."""
        daemon = await self.start(CONFIG)
        self.path.unlink()
        self.path.mkdir()
        for _ in range(3):
            answer = await fetch(daemon.port, "/stream")
            self.assertIn(" 200 ", answer.head)
        said = daemon.program.out.decode()
        self.assertEqual(said.count("the audit cannot be written"), 1, said)
        self.path.rmdir()
        await fetch(daemon.port, "/stream")
        gap, *rest = self.lines()
        self.assertEqual(gap, {"what": "gap", "times": 6})
        self.assertEqual([each["what"] for each in rest], ["start", "end"])

    async def test_cannot_be_written(self) -> None:
        """A daemon that could not keep it does not start, and says why."""
        path = Path(self.mktemp()).absolute()
        path.write_text(f"{CONFIG}[audit]\nfile = '/nowhere/audit.jsonl'\n")
        options = ("--port", "0", "--config", str(path), "--state-dir", str(self.state))
        program = run(self, script("twistd"), "-n", "shellstream", *options)
        self.assertEqual(await program.ended(), 1)
        said = "the audit cannot be kept in /nowhere/audit.jsonl: No such file"
        self.assertIn(said, refusal(program))

    async def test_in_memory(self) -> None:
        """A daemon in memory writes the audit to its log."""
        daemon = await start_daemon(self, CONFIG, "--state-dir", ":memory:")
        await fetch(daemon.port, "/stream")
        self.assertRegex(daemon.program.out, rb'audit \{"time":.*"what":"start"')


class SecretTests(AuditTestCase):
    """A secret reaches the command that it is for."""

    async def test_nowhere(self) -> None:
        """A secret appears in no file, log or answer of the daemon."""
        daemon = await self.start(CONFIG)
        file = Path(self.mktemp()).absolute()
        news = await watch(daemon.port, get("/events"))
        await news.headed
        where = f"/stream/login?file={file}&password={SECRET}&format=ndjson"
        key = post(where, Idempotency_Key="k", User_Agent=f"x {TOKEN}")
        answer = await ask(daemon.port, key)
        self.assertEqual(file.read_text(), SECRET)
        for path in ("/runs", f"/runs/{answer.run}", f"{where}&x={TOKEN}", "/commands"):
            found = await fetch(daemon.port, path)
            self.assertNotIn(SECRET.encode(), found.body)
        await news.seen(b'"ended"')
        self.assertNotIn(SECRET.encode(), news.body)
        await self.stop(daemon)
        self.assertIn(b"password=***", daemon.program.out)
        for word in (SECRET.encode(), TOKEN.encode()):
            self.assertNotIn(word, daemon.program.out + daemon.program.err)
            for folder, _, names in os.walk(self.state):
                for name in names:
                    self.assertNotIn(word, Path(folder, name).read_bytes(), name)
        start = next(each for each in self.lines() if each["what"] == "start")
        self.assertEqual(start["params"], {"file": str(file), "password": "***"})


class TokenTests(AuditTestCase):
    """Each change of a token is recorded once, with its author, daemon or not."""

    async def tool(self, *argv: str) -> None:
        """C{twistd shellstream tokens}, as alice types it after sudo."""
        twistd = (script("twistd"), "shellstream", "--state-dir", str(self.state))
        program = run(self, *twistd, "tokens", *argv, env={"SUDO_USER": "alice"})
        self.assertEqual(await program.ended(), 0, program.err)

    def tokens(self) -> list[tuple[str, str]]:
        """The changes of tokens: action, owner and author."""
        who = account({"SUDO_USER": "alice"})
        found = self.lines() if self.path.exists() else []
        for each in found:
            self.assertEqual((each["who"], each["credential"]), (who, "account"))
        return [(each["what"], each["name"]) for each in found]

    async def test_tokens(self) -> None:
        """Each change has one line, and takes effect in a running daemon."""
        await self.tool("make", "pi")
        await self.tool("make", "ci")
        expected = [("token-made", "pi"), ("token-made", "ci")]
        for signal in ("KILL", "INT"):
            daemon = await self.start(CONFIG)
            self.assertEqual(self.tokens(), expected)
            await self.stop(daemon, signal)
        daemon = await self.start(CONFIG)
        await self.tool("revoke", "pi")
        expected.append(("token-revoked", "pi"))
        self.assertEqual(self.tokens(), expected)
        await self.stop(daemon, "KILL")
        await self.stop(await self.start(CONFIG))
        self.assertEqual(self.tokens(), expected)
