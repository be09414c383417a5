"""The programs that confine a command: nice, prlimit and setpriv."""

from collections.abc import Iterator

from attrs import frozen

from shellstream.config.confinement import Confinement


@frozen
class Tool:
    """
    A program that confines its own process, then executes another program in it.

    So the command is confined from its first instruction on, without forking Python.

    @ivar keys: the keys of the configuration that ask for it.
    """

    name: str
    options: tuple[str, ...]
    keys: tuple[str, ...]


def tools(confinement: Confinement, gid: int | None) -> Iterator[Tool]:
    """
    The programs that confine a command, in the order in which they execute each other.

    The user changes last: before that, root may raise limits above the daemon's own.

    @param gid: the group to change to; L{None} if user and group stay the daemon's own.
    """
    if confinement.nice:
        yield Tool("nice", ("-n", str(confinement.nice)), ("nice",))
    limits = _limits(confinement)
    if limits:
        yield Tool("prlimit", tuple(limits.values()), tuple(limits))
    privileges = _privileges(confinement, gid)
    if privileges:
        options = tuple(option for each in privileges.values() for option in each)
        yield Tool("setpriv", options, tuple(privileges))


def _limits(confinement: Confinement) -> dict[str, str]:
    """Options for prlimit(1), by the keys of the configuration."""
    asked = {
        "memory": ("as", confinement.memory),
        "processes": ("nproc", confinement.processes),
        "open_files": ("nofile", confinement.open_files),
        "file_size": ("fsize", confinement.file_size),
    }
    found = {key: f"--{name}={n}" for key, (name, n) in asked.items() if n is not None}
    soft = confinement.cpu_seconds
    if soft is not None:
        # At the first number comes XCPU, which can be caught; a second later KILL.
        found["cpu_seconds"] = f"--cpu={soft}:{soft + 1}"
    return found


def _privileges(
    confinement: Confinement, gid: int | None
) -> dict[str, tuple[str, ...]]:
    """Options for setpriv(1), by the keys of the configuration."""
    found: dict[str, tuple[str, ...]] = {}
    if gid is not None and confinement.user is not None:
        # A daemon that is not root but has capabilities must not pass them on.
        caps = "--inh-caps=-all"
        found["user"] = (f"--reuid={confinement.user}", "--init-groups", caps)
    if gid is not None:
        key = "user" if confinement.group is None else "group"
        keep = () if confinement.user else ("--keep-groups",)
        found[key] = (*found.get(key, ()), f"--regid={gid}", *keep)
    if confinement.no_new_privileges:
        found["no_new_privileges"] = ("--no-new-privs",)
    if confinement.die_with_daemon:
        found["die_with_daemon"] = ("--pdeathsig=KILL",)
    return found
