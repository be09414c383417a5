"""
How to start each command on this system, found out once.

If the system cannot do what the configuration asks for, that shows when the daemon
starts, not when a client starts a command: no command runs without its limits.
"""

import errno
import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache

from attrs import define, evolve, field, frozen

from shellstream.config.command import Command, Invocation, Unbuffer
from shellstream.model.errors import ShellstreamError

from .confinement import Tool, tools
from .environment import environment, inherited, login
from .executable import CHECK_TIMEOUT, find_loader, find_preload, locate
from .pty import open_output_pty
from .tracking.cgroups import RunCgroup
from .unbuffering import Preload, changes_root, unbuffered


@frozen(kw_only=True)
class LaunchPlan:
    """
    How to start a command.

    @ivar prefix: argv items before the command's own: the programs that confine it.
    @ivar given: its environment, before the operator and the client add to it.
    @ivar owner: the id of the user that it becomes; L{None} for the daemon's own.
    @ivar preload: un-buffers programs that have its loader.
    """

    prefix: tuple[str, ...] = ()
    given: Mapping[str, str] = field(factory=lambda: inherited(os.environ))
    owner: int | None = None
    preload: Preload | None = None

    def resolve(
        self,
        command: Command,
        invocation: Invocation,
        run: str,
        cgroup: RunCgroup | None = None,
    ) -> tuple[str, tuple[str, ...], dict[str, str]]:
        """
        The program to execute, its arguments and its environment.

        @param cgroup: where the program is to begin.
        @raise OSError: if the program does not exist or may not be executed.
        """
        env = environment(self.given, command, invocation, run)
        program = locate(invocation.argv[0], env.get("PATH"), command.cwd)
        loader = find_loader(program)  # fails if a script's interpreter is missing
        preload = self.preload
        if preload is not None and (
            preload.loader != loader or any(map(changes_root, invocation.argv))
        ):
            preload = None
        how = command.unbuffer
        if invocation.tty is not None and how is Unbuffer.PTY:
            how = Unbuffer.AUTO  # it has a real terminal already
        env = unbuffered(how, env, preload, command.color)
        prefix = self.prefix
        if cgroup is not None:
            prefix = (*cgroup.enter(env), *prefix)
        if prefix:
            return prefix[0], (*prefix, *invocation.argv), env
        return program, invocation.argv, env

    def hand_over(self, *fds: int) -> None:
        """
        Give the child's descriptors to the user that the command becomes.

        Without that, only the daemon's own user could open them again by name, as in
        C{echo > /dev/stderr}.
        """
        if self.owner is not None:
            for fd in fds:
                with suppress(PermissionError):  # a daemon with CAP_SETUID alone
                    os.fchown(fd, self.owner, -1)


class CannotPrepare(ShellstreamError):
    """The system cannot do what commands ask for; the text has a line for each."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        lines = "\n".join(f"  {reason}" for reason in self.reasons)
        super().__init__(f"this system does not do what commands ask for:\n{lines}")


#: The package that a tool is in, and what its refusal usually means.
_PACKAGES = {"nice": "coreutils", "prlimit": "util-linux", "setpriv": "util-linux"}
_HINTS = {
    "nice": "only root may go below the daemon's own niceness",
    "prlimit": "a limit may not be above the daemon's own hard one (ulimit -Ha), and "
    "must leave a program enough to start",
    "setpriv": "only root may run commands as another user, and setpriv must be that "
    "of util-linux, 2.33 or newer",
}


def prepare(commands: Iterable[Command]) -> dict[str, LaunchPlan]:
    """
    Find out how to start each of these commands, by name.

    It runs a few programs and waits for them: call it before the reactor runs.

    @raise CannotPrepare: with all that the system cannot do.
    """
    commands = tuple(commands)
    buffered = all(each.unbuffer is Unbuffer.OFF for each in commands)
    preload = None if buffered else find_preload()
    plans: dict[str, LaunchPlan] = {}
    reasons: list[str] = []
    why_not = cache(_why_not)  # many commands ask for the same
    for command in commands:
        builder = _PlanBuilder(command, why_not)
        plans[command.name] = evolve(builder.build(), preload=preload)
        reasons += [f"command {command.name!r}: {why}" for why in builder.unmet]
    if reasons:
        raise CannotPrepare(reasons)
    return plans


@define
class _PlanBuilder:
    """
    Tries what one command asks for, and collects what the system cannot do.

    @ivar why_not: see L{_why_not}.
    """

    command: Command
    why_not: Callable[[tuple[str, ...]], str]
    unmet: list[str] = field(factory=list, init=False)

    def build(self) -> LaunchPlan:
        """The plan; of use only if C{unmet} is empty."""
        asked = self.command.confine
        given = inherited(os.environ)
        # In a container the daemon's user may have no line in passwd(5): not needed.
        own = uid, gid = os.geteuid(), os.getegid()
        if asked.user is not None and (account := self._account(asked.user)):
            uid, gid = account.pw_uid, account.pw_gid
            given |= login(account)
        if asked.group is not None:
            gid = self._group(asked.group, gid)
        if asked.processes is not None and uid == 0 and not self.unmet:
            self.unmet.append("processes: root may have any number; name a user")
        if self.command.tty or self.command.unbuffer is Unbuffer.PTY:
            self._try_terminal("tty" if self.command.tty else "unbuffer")
        other = gid if (uid, gid) != own else None
        chain = tuple(tools(asked, other))
        for tool in chain:
            self._try_tool(tool)
        if len(chain) > 1 and not self.unmet:  # each tool works alone: try all together
            # Without the limit of processes: how many the user has now says nothing.
            why = self.why_not(_prefix(tools(evolve(asked, processes=None), other)))
            if why:
                keys = ", ".join(key for tool in chain for key in tool.keys)
                self.unmet.append(f"{keys}: not together: {why}")
        owner = uid if uid != own[0] else None
        return LaunchPlan(prefix=_prefix(chain), given=given, owner=owner)

    def _account(self, name: str) -> pwd.struct_passwd | None:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            self.unmet.append(f"user: there is no {name!r} here; create it")
            return None

    def _group(self, name: str, default: int) -> int:
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            self.unmet.append(
                f"group: there is no {name!r} here; create it; or use heading, to list "
                "commands together on the page for browsers"
            )
            return default

    def _try_terminal(self, key: str) -> None:
        try:
            for fd in open_output_pty():
                os.close(fd)
        except OSError as error:
            if error.errno != errno.ENOSPC:  # all taken: there may be one later
                self.unmet.append(
                    f"{key}: there are no terminals here ({error.strerror}); mount "
                    "/dev/pts, or do without"
                )

    def _try_tool(self, tool: Tool) -> None:
        keys = ", ".join(tool.keys)
        if shutil.which(tool.name) is None:
            self.unmet.append(
                f"{keys}: needs the program {tool.name} (of {_PACKAGES[tool.name]}), "
                "which is not here; install it, or do without"
            )
            return
        why = self.why_not(_prefix([tool]))
        if why:
            self.unmet.append(f"{keys}: {why}; {_HINTS[tool.name]}")


def _prefix(chain: Iterable[Tool]) -> tuple[str, ...]:
    found: list[str] = []
    for tool in chain:
        # By the daemon's own PATH: the command's may be another.
        found += (shutil.which(tool.name) or tool.name, *tool.options, "--")
    return tuple(found)


def _why_not(prefix: tuple[str, ...]) -> str:
    """Why true(1) cannot be started with this prefix; an empty string if it can."""
    nothing = shutil.which("true") or "/bin/true"
    env: Mapping[str, str] = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603
            [*prefix, nothing],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    said = done.stderr.decode(errors="replace").strip().partition("\n")[0]
    # nice(1) only warns when it fails.
    if done.returncode == 0 and "nice: " not in said:
        return ""
    return said or f"no program survives it (status {done.returncode})"
