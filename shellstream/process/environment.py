"""The environment of a command."""

from collections.abc import Mapping
from pwd import struct_passwd

from shellstream.config.command import Command, Invocation

from .tracking.process_table import RUN

#: Variables of the daemon's own that a child needs to find programs, files, the time
#: and a language; C{LC_*} too. All else comes from C{env}.
PASSED = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")


def inherited(daemon: Mapping[str, str]) -> dict[str, str]:
    """The part of the daemon's environment that a child gets: an allow-list."""
    return {
        name: value
        for name, value in daemon.items()
        if name in PASSED or name.startswith("LC_")
    }


def login(account: struct_passwd) -> dict[str, str]:
    """The variables that a login sets for this user (POSIX, XBD 8.3)."""
    return {
        "HOME": account.pw_dir,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell,
        "USER": account.pw_name,
    }


def environment(
    given: Mapping[str, str], command: Command, invocation: Invocation, run: str
) -> dict[str, str]:
    """
    The environment of a child.

    @param given: the variables to which those of the operator and the client are added.
    @param run: the run's id. After a daemon was killed, the next one finds the
        processes of its runs by this variable.
    """
    term = {} if invocation.tty is None else {"TERM": invocation.tty.term}
    return {**given, **term, **command.env, **invocation.env, RUN: run}
