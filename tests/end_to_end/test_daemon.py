"""Starting, checking and stopping the daemon, as an operator does."""

import os
import shutil
import signal
import socket
import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

from shellstream import __version__
from tests.support.programs import (
    ROOT,
    Gate,
    Lifeline,
    Program,
    needs,
    run,
    script,
    socket_path,
    start_daemon,
)


class DaemonTests(TestCase):
    """C{twistd shellstream} starts, says where it is, and stops."""

    timeout = 60

    def twistd(self, *options: str, cwd: str | None = None) -> Program:
        """twistd in the foreground, with these options for shellstream."""
        return run(self, script("twistd"), "-n", "shellstream", *options, cwd=cwd)

    async def test_without_twistd(self) -> None:
        """
        C{shellstreamd} runs the same service, writes no PID file and no plugin cache,
        and an error of its command line is one line.
        """
        folder = self.folder()
        told = run(self, script("shellstreamd"), "--prot", "0", cwd=str(folder))
        self.assertEqual(await told.ended(), 1)
        self.assertEqual(
            told.err.decode(),
            "shellstream: option --prot not recognized (did you mean --port?); see "
            "shellstreamd --help\n",
        )
        daemon = run(self, script("shellstreamd"), "--port", "0", cwd=str(folder))
        await daemon.seen(b"curl -N http://127.0.0.1:")
        self.assertEqual(os.listdir(folder), [])
        daemon.signal("TERM")
        self.assertEqual(await daemon.ended(), -15)

    async def test_interrupted_early(self) -> None:
        """Ctrl-C while C{shellstreamd} loads its modules shows no traceback."""
        interrupt = (
            "import os, signal, sys\n"
            "class Interrupt:\n"
            "    def find_spec(self, name, *_):\n"
            "        if name == 'shellstream.tap':\n"
            "            os.kill(os.getpid(), signal.SIGINT)\n"
            "sys.meta_path.insert(0, Interrupt())\n"
            "from shellstream.daemon.__main__ import main\n"
            "main()\n"
        )
        program = run(self, sys.executable, "-c", interrupt)
        self.assertEqual(await program.ended(), -signal.SIGINT)
        self.assertEqual(program.out + program.err, b"")

    def folder(self) -> Path:
        """A new folder."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        return folder

    async def test_says_where_to_look(self) -> None:
        """
        The banner tells what to open, and what to type on this and another machine.
        """
        daemon = await start_daemon(self)
        said = daemon.program.out.decode()
        self.assertIn(f"open {daemon.url}/", said)
        self.assertIn(f"curl -N {daemon.url}/stream", said)
        self.assertIn(f"ssh -NL {daemon.port}:127.0.0.1:{daemon.port}", said)

    async def test_other_encoding(self) -> None:
        """
        Commands get UTF-8 in arguments, variables, scripts and paths, also where the
        daemon's locale has another encoding.
        """
        folder = self.folder() / "caf\u00e9 \u2192"
        folder.mkdir()
        (folder / "\u2713").write_text("found\n")
        tables = f'''
[commands.argv]
argv = ["printf", "%s", "{{text}} \u2713"]
params.text = {{ type = "string" }}
[commands.shell]
shell = 'printf "%s \u2713" "$text $VAR $PWD"'
cwd = "{folder}"
env.VAR = "\u2192"
params.text = {{ type = "string" }}
[commands.path]
argv = ["cat", "{{text}}"]
params.text = {{ type = "path", roots = ["{folder}"] }}
'''
        legacy = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        daemon = await start_daemon(self, tables, env=legacy)
        expected = {
            "argv": "\u2713 \u2713",
            "shell": f"\u2713 \u2192 {folder} \u2713",
            "path": "found\n",
        }
        for name, output in expected.items():
            sent = "--data-urlencode", "text=\u2713"
            client = run(self, "curl", "-sN", *sent, f"{daemon.url}/stream/{name}")
            await client.ended()
            self.assertEqual(client.out.decode(), output)

    test_other_encoding.skip = needs("curl")

    async def test_all_interfaces(self) -> None:
        """Bound to every address, it names one that others can type."""
        everywhere = ("--port", "0", "--interface", "0.0.0.0")
        program = self.twistd(*everywhere, "--insecure")
        await program.seen(b"anyone who can reach")
        self.assertRegex(
            program.out, rb"another machine, type: shellstream http://\S+/"
        )
        self.assertNotIn(b"http://0.0.0.0", program.out)

    async def test_port_taken(self) -> None:
        """A taken port stops it with one line that says so."""
        daemon = await start_daemon(self)
        second = self.twistd("--port", str(daemon.port))
        self.assertEqual(await second.ended(), 1)
        said = (second.out + second.err).decode()
        self.assertIn("cannot listen on 127.0.0.1:", said)
        self.assertIn("Address already in use", said)
        self.assertNotIn("Traceback", said)

    async def test_port_taken_in_the_background(self) -> None:
        """A background daemon reports it to its terminal, and leaves no PID file."""
        daemon = await start_daemon(self)
        folder = self.folder()
        second = run(
            self,
            script("twistd"),
            "shellstream",
            "--port",
            str(daemon.port),
            cwd=str(folder),
        )
        self.assertEqual(await second.ended(), 1)
        self.assertIn(f"cannot listen on 127.0.0.1:{daemon.port}", second.err.decode())
        log = (folder / "twistd.log").read_text()
        self.assertIn("Address already in use", log)
        self.assertNotIn("Traceback", log)
        self.assertFalse((folder / "twistd.pid").exists())

    async def test_two_in_one_folder(self) -> None:
        """In the foreground, without a PID file, a second daemon does not start."""
        folder = str(self.folder())
        for _ in range(2):
            program = self.twistd("--port", "0", cwd=folder)
            await program.seen(b"curl -N")
        self.assertEqual(os.listdir(folder), [])

    async def test_several_endpoints(self) -> None:
        """Each --listen is served: TCP on IPv6 and a UNIX socket here."""
        path = socket_path(self)
        program = self.twistd(
            "--listen", f"unix:{path}", "--listen", r"tcp:0:interface=\:\:1"
        )
        await program.seen(b"curl -N http://[::1]:")
        client = run(
            self, "curl", "-s", "--unix-socket", path, "http://localhost/commands"
        )
        self.assertEqual(await client.ended(), 0)
        self.assertIn(b'"count"', client.out)

    async def test_socket_activation(self) -> None:
        """The daemon serves a socket that systemd hands over (sd_listen_fds(3))."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        # LISTEN_PID must be the daemon's own, which only the shell knows.
        command = (
            f"export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http; "
            f"exec '{script('twistd')}' -n shellstream "
            "--listen systemd:domain=INET:index=0"
        )
        program = run(
            self,
            "/bin/sh",
            "-c",
            command,
            child_fds={0: "w", 1: "r", 2: "r", 3: listening.fileno()},
        )
        await program.seen(b"curl -N")
        port = listening.getsockname()[1]
        client = run(self, "curl", "-s", f"http://127.0.0.1:{port}/commands")
        self.assertEqual(await client.ended(), 0)

    async def test_bad_endpoint(self) -> None:
        """A malformed endpoint is reported in one clear line."""
        for endpoint, named in (
            ("tcp", "--listen tcp: "),
            ("nonsense:1", "--listen nonsense:1: "),
            ("ssl:0:privateKey=/nonexistent", "/nonexistent"),
            ("tcp:0:interface=192.0.2.1", "192.0.2.1:0"),
            ("unix:/nonexistent/sock", "/nonexistent/sock"),
            ("systemd:domain=INET:index=0", "not handed over by systemd"),
        ):
            program = self.twistd("--listen", endpoint)
            self.assertEqual(await program.ended(), 1, endpoint)
            said = (program.out + program.err).decode()
            self.assertIn(named, said)
            self.assertNotIn("Traceback", said)

    async def test_bad_port(self) -> None:
        """An invalid port is reported in one clear line."""
        program = self.twistd("--port", "80000")
        self.assertEqual(await program.ended(), 1)
        self.assertIn(b"--port 80000", program.err)

    async def test_check(self) -> None:
        """--check accepts a valid configuration, and starts nothing."""
        path = self.folder() / "good.toml"
        path.write_text('[commands.x]\nargv = ["true"]\n')
        program = self.twistd("--check", "--config", str(path))
        self.assertEqual(await program.ended(), 0)
        self.assertIn(b"good.toml: ok", program.out)

    async def test_version(self) -> None:
        """--version is this program's, not Twisted's."""
        program = self.twistd("--version")
        self.assertEqual(await program.ended(), 0)
        self.assertEqual(program.out, f"shellstream {__version__}\n".encode())

    async def test_mistakes(self) -> None:
        """Every mistake of a configuration is a line, and it does not start."""
        path = self.folder() / "bad.toml"
        path.write_text('defualt = "x"\n[commands.x]\nargv = []\ntimeout = "1"\n')
        for options in (("--check",), ("--port", "0")):
            program = self.twistd("--config", str(path), *options)
            self.assertEqual(await program.ended(), 1)
            lines = program.err.decode().splitlines()
            self.assertIn("bad.toml has 3 mistakes", lines[0])
            self.assertEqual(len(lines), 4)
            self.assertIn("did you mean 'default'?", program.err.decode())

    async def test_no_configuration(self) -> None:
        """A configuration that cannot be read is one clear line."""
        folder = self.folder()
        (folder / "latin").write_bytes(b"# \xff")
        for name in ("missing.toml", ".", "latin"):
            program = self.twistd("--config", str(folder / name))
            self.assertEqual(await program.ended(), 1)
            self.assertEqual(len(program.err.splitlines()), 1, program.err)

    async def test_stop(self) -> None:
        """SIGTERM ends runs, cuts off their viewers, and stops the daemon."""
        lifeline = Lifeline(self)
        daemon = await start_daemon(
            self,
            'default = "x"\n[commands.x]\n'
            f"shell = \"exec 3> '{lifeline.path}'; echo here; sleep 1000 & wait\"\n",
        )
        client = run(self, "curl", "-sN", f"{daemon.url}/stream")
        old = run(self, "curl", "-sN", "--http1.0", f"{daemon.url}/stream")
        await client.seen(b"here")
        await old.seen(b"here")
        daemon.program.signal("TERM")
        self.assertEqual(await daemon.program.ended(), -15)
        await lifeline.cut()
        self.assertEqual(await client.ended(), 18)  # a transfer that is not whole
        self.assertEqual(await old.ended(), 56)  # a connection that was reset

    async def test_stops_though_a_viewer_does_not_read(self) -> None:
        """A viewer that does not read does not keep the daemon from stopping."""
        daemon = await start_daemon(
            self, 'default = "x"\n[commands.x]\nargv = ["yes"]\ngrace = 0.2\n'
        )
        stuck = socket.create_connection(("127.0.0.1", daemon.port))
        self.addCleanup(stuck.close)
        stuck.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertTrue(stuck.recv(1))
        daemon.program.signal("TERM")
        self.assertEqual(await daemon.program.ended(), -15)

    async def test_bare_checkout(self) -> None:
        """twistd finds the plugin in a checkout that is not installed."""
        checkout = self.folder()
        for name in ("shellstream", "twisted"):
            shutil.copytree(
                ROOT / name,
                checkout / name,
                ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"),
            )
        # -S and a path of our own: all that is installed here except shellstream.
        libraries = self.folder()
        for each in map(Path, sys.path):
            if each.name == "site-packages":
                for entry in each.iterdir():
                    if "shellstream" not in entry.name and entry.suffix != ".pth":
                        (libraries / entry.name).symlink_to(entry)
        program = run(
            self,
            sys.executable,
            "-S",
            "-c",
            "from twisted.scripts.twistd import run; run()",
            "-n",
            "shellstream",
            "--port",
            "0",
            env={"PYTHONPATH": str(libraries), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=str(checkout),
        )
        await program.seen(b"curl -N")

    async def test_daemonized(self) -> None:
        """Without -n twistd goes into the background, and streams from there."""
        folder = self.folder()
        gate = Gate(self)
        (folder / "c.toml").write_text(gate.config)
        path = socket_path(self)
        program = run(
            self,
            script("twistd"),
            "shellstream",
            "--config",
            "c.toml",
            "--listen",
            f"unix:{path}",
            cwd=str(folder),
        )
        self.assertEqual(await program.ended(), 0, program.err)
        pid = int((folder / "twistd.pid").read_text())
        self.addCleanup(os.kill, pid, 15)
        client = run(
            self, "curl", "-sN", "--unix-socket", path, "http://localhost/stream"
        )
        await gate.passed_by(client)

    for each in (
        test_several_endpoints,
        test_socket_activation,
        test_stop,
        test_daemonized,
    ):
        each.skip = needs("curl")
