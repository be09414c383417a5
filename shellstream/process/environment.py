"""The environment of a command."""

from collections.abc import Mapping, Sequence

from shellstream.config.command import Command, Invocation


def inherited(daemon: Mapping[str, str]) -> dict[str, str]:
    """What of the daemon's environment a child gets: an allow-list, never all."""
    return {
        name: value
        for name, value in daemon.items()
        if name in PASSED or name.startswith("LC_")
    }


def environment(
    given: Mapping[str, str], command: Command, invocation: Invocation, run: str
) -> dict[str, str]:
    """
    What a child's environment holds.

    @param given: what it has before the operator and the client say anything.
    @param run: the run's id, by which a daemon that was killed finds again, when
        it is back, what it had started.
    """
    term = {} if invocation.tty is None else {"TERM": invocation.tty.term}
    return {**given, **term, **command.env, **invocation.env, RUN: run}


#: The variable that tells a command, and all that it starts, the id of its run.
RUN = "SHELLSTREAM_RUN"


#: Variables of the daemon's own that a child needs to find programs, files,
#: the time and a language; C{LC_*} too. All else comes from C{env}.
PASSED: Sequence[str] = (
    "HOME",
    "LANG",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TMPDIR",
    "TZ",
    "USER",
)
