"""The programs that confine a command: nice, prlimit and setpriv."""

from collections.abc import Iterator, Mapping

from attrs import frozen

from shellstream.config.confinement import Confinement


@frozen
class Account:
    """A line of passwd(5): whom a command runs as."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str

    @property
    def variables(self) -> Mapping[str, str]:
        """What a login as this user sets (POSIX, XBD 8.3)."""
        return {
            "HOME": self.home,
            "LOGNAME": self.name,
            "SHELL": self.shell,
            "USER": self.name,
        }


@frozen
class Tool:
    """
    A program that changes something of its own process and executes another.

    So a command has it before its first instruction, and Python need not be forked.

    @ivar keys: those of the configuration that ask for it.
    """

    name: str
    options: tuple[str, ...]
    keys: tuple[str, ...]


def tools(confinement: Confinement, become: Account | None) -> Iterator[Tool]:
    """
    What has to be executed, one by the other, to confine a command.

    The user comes last: before that, root may go beyond what the daemon has.

    @param become: the account to change to, with its C{gid} as asked for; L{None} if
        it is the daemon's own.
    """
    if confinement.nice:
        yield Tool("nice", ("-n", str(confinement.nice)), ("nice",))
    limits = _limits(confinement)
    if limits:
        yield Tool("prlimit", tuple(limits.values()), tuple(limits))
    privileges = _privileges(confinement, become)
    if privileges:
        options = tuple(option for each in privileges.values() for option in each)
        yield Tool("setpriv", options, tuple(privileges))


def _limits(confinement: Confinement) -> dict[str, str]:
    """Options for prlimit(1), by the keys that ask for them."""
    asked = {
        "memory": ("as", confinement.memory),
        "processes": ("nproc", confinement.processes),
        "open_files": ("nofile", confinement.open_files),
        "file_size": ("fsize", confinement.file_size),
    }
    found = {key: f"--{name}={n}" for key, (name, n) in asked.items() if n is not None}
    soft = confinement.cpu_seconds
    if soft is not None:
        # At the first number XCPU, which a program can catch, at the second KILL.
        found["cpu_seconds"] = f"--cpu={soft}:{soft + 1}"
    return found


def _privileges(
    confinement: Confinement, become: Account | None
) -> dict[str, tuple[str, ...]]:
    """Options for setpriv(1), likewise."""
    found: dict[str, tuple[str, ...]] = {}
    if become is not None and confinement.user is not None:
        # A daemon that is not root, but has capabilities, hands none of them on.
        caps = "--inh-caps=-all"
        found["user"] = (f"--reuid={confinement.user}", "--init-groups", caps)
    if become is not None:
        key = "user" if confinement.group is None else "group"
        keep = () if confinement.user else ("--keep-groups",)
        found[key] = (*found.get(key, ()), f"--regid={become.gid}", *keep)
    if confinement.no_new_privileges:
        found["no_new_privileges"] = ("--no-new-privs",)
    if confinement.die_with_daemon:
        found["die_with_daemon"] = ("--pdeathsig=KILL",)
    return found
