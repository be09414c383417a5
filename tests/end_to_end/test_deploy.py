"""The files of C{deploy/} that systemd and the daemon read."""

import shlex
import socket
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.support.programs import (
    ROOT,
    needs,
    readable,
    run,
    script,
    socket_path,
    start_daemon,
)

DEPLOY = ROOT / "deploy"


class SystemdTests(TestCase):
    """The units are valid, and their services run."""

    timeout = 60
    skip = needs("curl", "systemd-analyze", "systemd-socket-activate")

    def exec_start(self, text: str) -> list[str]:
        """The command line of a unit, with paths of this machine."""
        line = next(
            each.partition("ExecStart=")[2]
            for each in text.splitlines()
            if "ExecStart=/" in each
        )
        line = line.replace("/opt/shellstream/bin/shellstreamd", script("shellstreamd"))
        example = str(DEPLOY / "shellstream.toml.example")
        return shlex.split(line.replace("/etc/shellstream.toml", example))

    async def test_verified(self) -> None:
        """systemd finds nothing wrong with the service and the socket."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        for name in ("shellstream.service", "shellstream.socket"):
            text = (DEPLOY / name).read_text()
            daemon = script("shellstreamd")
            text = text.replace("/opt/shellstream/bin/shellstreamd", daemon)
            (folder / name).write_text(text)
        units = [str(each) for each in folder.iterdir()]
        program = run(self, "/usr/bin/env", "systemd-analyze", "verify", *units)
        self.assertEqual(await program.ended(), 0, program.err)
        self.assertEqual(program.err, b"")

    async def test_service_runs(self) -> None:
        """The daemon of the service streams, with the example configuration."""
        unit = ConfigParser(strict=False, interpolation=None)
        unit.read(DEPLOY / "shellstream.service")
        argv = self.exec_start("ExecStart=" + unit["Service"]["ExecStart"])
        argv[argv.index("--port") + 1] = "0"
        daemon = run(self, *argv, end_with="TERM")
        await daemon.seen(b"/stream -- ")
        url = daemon.out.partition(b"curl -N ")[2].split()[0].decode()
        client = run(self, "curl", "-sNf", url)
        self.assertEqual(await client.ended(), 0)
        self.assertIn(b"Filesystem", client.out)

    async def test_service_manager(self) -> None:
        """systemd is told when the daemon is ready, stops, and what it does."""
        path = socket_path(self)
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(path)
        daemon = await start_daemon(self, env={"NOTIFY_SOCKET": path})
        await readable(manager.fileno())
        self.assertEqual(manager.recv(4096), b"READY=1")
        await readable(manager.fileno())
        self.assertEqual(manager.recv(4096), b"STATUS=active runs: 0")
        daemon.program.signal("TERM")
        await readable(manager.fileno())
        self.assertEqual(manager.recv(4096), b"STOPPING=1")

    async def test_socket_activation(self) -> None:
        """The socket unit's drop-in hands over systemd's socket."""
        argv = self.exec_start((DEPLOY / "shellstream.socket").read_text())
        path = socket_path(self)
        argv[-1] = argv[-1].replace("INET", "UNIX")
        activate = ("systemd-socket-activate", "--fdname=http", "-l", path)
        program = run(self, "/usr/bin/env", *activate, *argv, end_with="TERM")
        await program.seen(b"Listening on ")
        client = run(
            self, "curl", "-sNf", "--unix-socket", path, "http://localhost/stream"
        )
        self.assertEqual(await client.ended(), 0)
        self.assertIn(b"Filesystem", client.out)


class ExampleTests(TestCase):
    """The example configuration is right, and its commands work."""

    timeout = 60
    skip = needs("curl")

    async def test_runs(self) -> None:
        """The script of the example greets."""
        example = (DEPLOY / "shellstream.toml.example").read_text()
        daemon = await start_daemon(self, example)
        client = run(
            self,
            "curl",
            "-sNf",
            *("-d", "name=$(id) O'Hara", "-d", "shout=true"),
            f"{daemon.url}/stream/greet",
        )
        self.assertEqual(await client.ended(), 0)
        self.assertEqual(client.out, b"Hello, $(id) O'Hara!\nHELLO!\n")
