"""OpenSSH: a daemon of our own on loopback, with keys of its own."""

import getpass
import os
import shutil
import subprocess
from pathlib import Path

from tests.benchmarks import machine
from tests.benchmarks.client import Pipe, Source
from tests.benchmarks.peers.base import Kind, Peer
from tests.benchmarks.workloads import Workload

# SHLVL: without it bash, started by sshd, reads ~/.bashrc, which may do anything.
CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM {pam}
PrintMotd no
MaxStartups 4096
MaxSessions 4096
SetEnv SHLVL=1
LogLevel ERROR
"""

#: The folder that Debian's sshd requires; its service makes it.
PRIVILEGE_SEPARATION = Path("/run/sshd")


class Ssh(Peer):
    """A connection for each run."""

    name = "OpenSSH"
    kind = Kind.OTHER
    programs = ("sshd", "ssh", "ssh-keygen")
    many = False
    measurable = False  # the processes that serve a stream end with it
    _made = False

    def launch(self) -> None:
        for key in ("host", "user"):
            path = str(self.folder / key)
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path]
            subprocess.run(make, check=True)
        root = not os.geteuid()
        if root:
            self._made = not PRIVILEGE_SEPARATION.exists()
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        config = self.folder / "sshd_config"
        pam = "yes" if root else "no"
        config.write_text(CONFIG.format(port=self.port, folder=self.folder, pam=pam))
        sshd = shutil.which("sshd")
        assert sshd is not None  # it wants to be called by its full path
        self.run(sshd, "-D", "-e", "-f", str(config))

    def stop(self) -> None:
        super().stop()
        if self._made:
            PRIVILEGE_SEPARATION.rmdir()
            self._made = False

    def ssh(self, *words: str) -> tuple[str, ...]:
        """The command line of the client for this server."""
        options = (
            f"Port={self.port}",
            f"IdentityFile={self.folder}/user",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            f"UserKnownHostsFile={self.folder}/known",
            "BatchMode=yes",
            "LogLevel=ERROR",
        )
        given = [word for option in options for word in ("-o", option)]
        where = f"{getpass.getuser()}@127.0.0.1"
        return ("ssh", "-F", "none", "-T", *given, *words[:-1], where, *words[-1:])

    def source(self, workload: Workload) -> Source:
        return Pipe(self.ssh(workload.shell))


class MultiplexedSsh(Ssh):
    """All runs use one connection that is open already."""

    name = "OpenSSH, multiplexed"
    many = True
    measurable = True

    def wait(self) -> None:
        super().wait()
        control = self.folder / "control"
        options = ("-M", "-N", "-S", str(control))
        daemon = self._started[0].pid
        self.run(*self.ssh(*options, "")[:-1])
        self.wait_for(control.exists)
        # Since 9.8 another program serves the accepted connections.
        self._own |= {machine.program_of(each) for each in machine.tree([daemon])}

    def source(self, workload: Workload) -> Source:
        return Pipe(self.ssh("-S", str(self.folder / "control"), workload.shell))
