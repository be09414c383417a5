"""The files of C{deploy/} that systemd and the daemon read."""

import shlex
import shutil
import socket
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.support.programs import (
    ROOT,
    Program,
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

    def setUp(self) -> None:
        unit = ConfigParser(strict=False, interpolation=None)
        unit.read(DEPLOY / "shellstream.service")
        line = unit["Service"]["ExecStart"]
        line = line.replace("shellstreamd", script("shellstreamd"), 1)
        example = str(DEPLOY / "shellstream.toml.example")
        self.argv = shlex.split(
            line.replace("/etc/shellstream/shellstream.toml", example)
        )

    async def units(self) -> Path:
        """A folder with the units and their drop-ins, as they stand on this machine."""
        folder = Path(self.mktemp()).absolute()
        shutil.copytree(DEPLOY, folder)
        version = await self.systemd("systemctl", "--version")
        service = folder / "shellstream.service"
        text = service.read_text()
        text = text.replace("=shellstreamd ", f"={script('shellstreamd')} ")
        if int(version.split()[1]) < 253:  # what the drop-in replaces
            text = text.replace("Type=notify-reload\n", "")
        else:
            (folder / "shellstream.service.d" / "systemd-252.conf").unlink()
        service.write_text(text)
        return folder

    async def systemd(self, *argv: str) -> str:
        """What a program of systemd prints; it must not complain."""
        program = run(self, "/usr/bin/env", *argv)
        self.assertEqual(await program.ended(), 0, program.out + program.err)
        self.assertEqual(program.err, b"")
        return program.out.decode()

    async def test_verified(self) -> None:
        """systemd finds nothing wrong with the units and the drop-ins."""
        folder = await self.units()
        units = [str(folder / f"shellstream.{each}") for each in ("service", "socket")]
        await self.systemd("systemd-analyze", "verify", "--man=no", *units)

    async def test_hardened(self) -> None:
        """The service is at most 2.5 of 10 exposed, by systemd's own count."""
        service = await self.units() / "shellstream.service"
        # With the drop-ins, each of which opens a door, it would be more.
        shutil.rmtree(service.with_name("shellstream.service.d"))
        most = ("--offline=true", "--threshold=25", "--no-pager")
        await self.systemd("systemd-analyze", "security", *most, str(service))

    async def test_service_runs(self) -> None:
        """The daemon of the service streams, with the example configuration."""
        daemon = run(self, *self.argv, "--port", "0", end_with="TERM")
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
        """The service takes over the sockets of the socket unit, of any kind."""
        path = socket_path(self)
        activate = ("systemd-socket-activate", "--fdname=http", "-l", path)
        program = run(self, "/usr/bin/env", *activate, *self.argv, end_with="TERM")
        await program.seen(b"Listening on ")
        client = run(
            self, "curl", "-sNf", "--unix-socket", path, "http://localhost/stream"
        )
        self.assertEqual(await client.ended(), 0)
        self.assertIn(b"Filesystem", client.out)

    async def test_restart(self) -> None:
        """A client that comes while the daemon restarts waits, and is served."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/stream"

        def start() -> Program:
            # The variable names the daemon's own process, whose number the shell has.
            line = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=x exec "
            fds: dict[int, int | str] = {0: "w", 1: "r", 2: "r", 3: listening.fileno()}
            argv = ("/bin/sh", "-c", line + shlex.join(self.argv))
            return run(self, *argv, child_fds=fds, end_with="TERM")

        daemon = start()
        await daemon.seen(url.encode())
        daemon.signal("TERM")
        await daemon.ended()
        client = run(self, "curl", "-sNf", url)
        await start().seen(url.encode())
        self.assertEqual(await client.ended(), 0, client.err)
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
