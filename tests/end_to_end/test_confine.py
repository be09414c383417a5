"""Confined commands of a real daemon."""

import grp
import json
import os
import pwd
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from tests.end_to_end.state_daemons import processes_gone
from tests.support.programs import Program, needs, run, script, start_daemon

NOT_ROOT = None if os.geteuid() == 0 else "only root may become another user"
TOOLS = needs("curl", "nice", "prlimit", "setpriv")


class ConfineTests(TestCase):
    """Confinement holds before a command's first instruction."""

    timeout = 60

    async def start(self, **commands: tuple[str, ...]) -> None:
        """A daemon with these commands, each of a script and further keys."""
        tables = (
            "\n".join((f"[commands.{name}]", f"shell = {json.dumps(shell)}", *keys, ""))
            for name, (shell, *keys) in commands.items()
        )
        self.daemon = await start_daemon(self, "".join(tables))

    def stream(self, name: str) -> Program:
        """A client that runs a command."""
        url = f"{self.daemon.url}/stream/{name}?format=ndjson"
        return run(self, "curl", "-sN", "-X", "POST", url)

    async def ran(self, name: str) -> tuple[str, Any]:
        """Run a command; returns its output and how it ended."""
        client = self.stream(name)
        self.assertEqual(await client.ended(), 0)
        *records, end = map(json.loads, client.out.splitlines())
        return "".join(each["text"] for each in records if "text" in each), end

    async def printed(self, name: str) -> list[str]:
        """The words that a command wrote, which ended well."""
        text, end = await self.ran(name)
        self.assertEqual(end["code"], 0, text)
        return text.split()

    async def test_users(self) -> None:
        """A command runs as its user, with that user's groups, variables and rights."""
        nobody, daemon = 'user = "nobody"', 'group = "daemon"'
        by_name = "echo out > /dev/stdout && echo err > /dev/stderr"
        who = "id -un; id -gn"
        await self.start(
            account=("echo $HOME $USER $LOGNAME $SHELL; id -Gn", nobody),
            env=("echo $HOME $USER", nobody, 'env = { USER = "me" }'),
            capabilities=("grep ^Cap /proc/self/status", nobody),
            user=(who, nobody),
            group=(who, daemon),
            both=(who, nobody, daemon),
            pipe=(by_name, nobody),
            pty=(by_name, nobody, 'unbuffer = "pty"'),
        )
        known = pwd.getpwnam("nobody")
        home, own = known.pw_dir, grp.getgrgid(known.pw_gid).gr_name
        account = [home, "nobody", "nobody", known.pw_shell, own]
        self.assertEqual(await self.printed("account"), account)
        self.assertEqual(await self.printed("env"), [home, "me"])
        self.assertEqual(await self.printed("user"), ["nobody", own])
        self.assertEqual(await self.printed("group"), ["root", "daemon"])
        self.assertEqual(await self.printed("both"), ["nobody", "daemon"])
        found = await self.printed("capabilities")
        sets = dict(zip(found[::2], found[1::2], strict=True))
        held = {sets[f"Cap{name}:"] for name in ("Inh", "Prm", "Eff", "Amb")}
        self.assertEqual(held, {"0" * 16})
        # It may open its output again by name, a terminal too.
        for name in ("pipe", "pty"):
            self.assertEqual(sorted(await self.printed(name)), ["err", "out"])

    async def test_limits(self) -> None:
        """Each limit is set, and cannot be raised."""
        both = "ulimit -S{0}; ulimit -H{0}; "
        file = Path(self.mktemp()).absolute()
        file.parent.mkdir(parents=True, exist_ok=True)
        await self.start(
            all=(
                "umask; nice; " + "".join(map(both.format, "vtfn")),
                'umask = "027"',
                "nice = 5",
                'memory = "1 GiB"',
                "cpu_seconds = 60",
                'file_size = "1 MiB"',
                "open_files = 50",
            ),
            none=("sleep 0.01; ulimit -Sn; ulimit -Hn",),
            nice=("sleep 0.01; ulimit -Sn; ulimit -Hn", "nice = 1"),
            memory=(
                f"exec '{sys.executable}' -c 'bytes(1 << 30)'",
                'memory = "500 MiB"',
            ),
            cpu=("while :; do :; done", "cpu_seconds = 1"),
            file=(f"head -c 9999 /dev/zero > '{file}'", "file_size = 1000"),
            new=("grep ^NoNewPrivs /proc/self/status", "no_new_privileges = true"),
        )
        nice = os.getpriority(os.PRIO_PROCESS, 0) + 5
        limits = ["1048576"] * 2 + ["60", "61"] + ["2048"] * 2 + ["50"] * 2
        self.assertEqual(await self.printed("all"), ["0027", str(nice), *limits])
        self.assertEqual(await self.printed("nice"), await self.printed("none"))
        text, end = await self.ran("memory")
        self.assertIn("MemoryError", text)
        self.assertEqual(end["code"], 1)
        _, end = await self.ran("cpu")
        self.assertEqual((end["state"], end["signal"]), ("signaled", "XCPU"))
        await self.ran("file")
        self.assertEqual(file.stat().st_size, 1000)
        self.assertEqual(await self.printed("new"), ["NoNewPrivs:", "1"])

    async def test_processes(self) -> None:
        """A command of a user with no processes left cannot start one."""
        shell = "trap 'kill -9 0' EXIT; sleep 99 & sleep 99 & sleep 99 & wait"
        await self.start(x=(shell, 'user = "games"', "processes = 3"))
        text, end = await self.ran("x")
        self.assertIn("fork", text)
        self.assertEqual(end["signal"], "KILL")

    async def test_dies_with_daemon(self) -> None:
        """A command ends with its killed daemon, also as another user."""
        shell, key = "echo $SHELLSTREAM_RUN; exec sleep 9999", "die_with_daemon = true"
        users = () if NOT_ROOT else ('user = "nobody"',)
        await self.start(one=(shell, key), other=(shell, key, *users))
        runs = set()
        for client in (self.stream("one"), self.stream("other")):
            await client.seen(b"\n")
            runs.add(json.loads(client.out.splitlines()[0])["text"].strip())
        self.daemon.program.signal("KILL")
        await processes_gone(runs)

    async def test_missing_program(self) -> None:
        """A missing program is reported as missing, although a tool executes it."""
        config = '[commands.x]\nargv = ["no-such-program"]\nnice = 1\n'
        self.daemon = await start_daemon(self, config)
        client = self.stream("x")
        await client.ended()
        self.assertIn(b"its program was not found", client.out)

    async def test_refused(self) -> None:
        """Impossible confinement stops the daemon at its start, with all reasons."""
        path = Path(self.mktemp()).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            '[commands.a]\nargv = ["a"]\nuser = "no-such-user"\n'
            '[commands.b]\nargv = ["b"]\nmemory = 4096\n'
        )
        twistd = script("twistd"), "-n", "shellstream", "--config", str(path)
        program = run(self, *twistd, "--port", "0")
        self.assertEqual(await program.ended(), 1)
        said = (program.out + program.err).decode()
        self.assertIn("command 'a': user: there is no 'no-such-user' here", said)
        self.assertIn("command 'b': memory: no program survives it", said)
        self.assertNotIn("Traceback", said)
        checking = run(self, *twistd, "--check")
        self.assertEqual(await checking.ended(), 1)
        self.assertIn(
            f"{path}:3: error: commands.a.user: there is no user 'no-such-user' here",
            checking.err.decode(),
        )

    for each in (test_users, test_processes):
        each.skip = TOOLS or NOT_ROOT
    for each in (
        test_limits,
        test_dies_with_daemon,
        test_missing_program,
        test_refused,
    ):
        each.skip = TOOLS
