"""The subcommands of the command line, as data, with their options and help."""

import argparse
from typing import Any, NamedTuple

from .options import (
    BEGINNING,
    CONNECTING,
    DETACH,
    DOCUMENT,
    INPUT,
    PARAM_FILE,
    RETRY,
    SECONDS,
    SHOWING,
    Option,
    json_option,
    number,
    option,
    seconds,
)
from .times import since

DESCRIPTION = """\
Runs commands of a shellstream server and shows their output as it is written: stdout
to stdout, stderr to stderr, every byte. It exits as the command did.

  shellstream                      the default command of this machine's daemon
  shellstream build target=all     the command "build", with a parameter
  shellstream http://pi:8000/stream   this URL; other streaming servers work too
  shellstream load < dump          the command "load", which reads standard input
  shellstream --tty sh             a terminal there, as with ssh; Enter ~ . leaves
  shellstream logs -f @build       the last run of "build", live
  shellstream demo                 a daemon and a client, to see it work
  shellstream doctor               find what holds output back

A subcommand comes first, and its options after it. "shellstream run ps" runs a command
that has the name of a subcommand.

A run is named by its id, by the beginning or the end of its id, by @last (your newest
run), or by @NAME (the newest run of a command).
"""

DOCTOR = """\
  shellstream doctor http://pi:8000                     a shellstream server
  shellstream doctor http://pi:8000 --via https://pi.example.org
                                                        and a proxy in front of it
  shellstream doctor http://host/their/stream           any other stream, by GET
  shellstream doctor -- make -C /srv/app                a command of this machine: it
                                                        is run up to six times

Exit codes: 0 if nothing holds output back, 1 if something does, 64 and above if it
cannot be examined.
"""

#: What Ctrl-C does, for the help of the subcommands that follow a run.
_CTRL_C = """\
Ctrl-C goes to the command; the second cancels the run, the third leaves.
"""

_CTRL_C_LEAVES = """\
Ctrl-C leaves, and says what becomes of the run: a run that is kept goes on, and this
subcommand follows it again; any other is ended soon, unless another client watches it.
"""

_WORDS = option("words", nargs="*", metavar="NAME=VALUE", help="parameters")
_RUN = option(
    "run",
    metavar="ID",
    help="the id of a run, its beginning or end, @last, or @NAME of a command",
)
_RUNS = option("run", nargs="+", metavar="ID", help=_RUN.keywords["help"])

_SIGNAL_ON_INT = option(
    "--signal-on-int",
    action="store_true",
    help="on Ctrl-C interrupt the run, as its starter does; without this option Ctrl-C "
    "only leaves",
)

#: The states of a run, as the server names them.
STATES = ("queued", "running", "exited", "signaled", "failed", "cancelled", "lost")

SHELLS = ("bash", "zsh", "fish")


class Subcommand(NamedTuple):
    """
    A subcommand.

    @ivar help: what it does, in one line.
    @ivar usage: if argparse's own would mislead.
    @ivar details: further help.
    @ivar aliases: its other names, which people know from other programs.
    """

    help: str
    options: tuple[Option, ...] = ()
    usage: str | None = None
    details: str = ""
    aliases: tuple[str, ...] = ()

    def keywords(self, called: str) -> dict[str, Any]:
        """What a parser for it takes, by the name that the user knows it by."""
        main = next(name for name, each in SUBCOMMANDS.items() if each is self)
        others = [name for name in (main, *self.aliases) if name != called]
        also = f"Also called: {', '.join(others)}" if others else ""
        parts = (self.help, self.details.rstrip(), also)
        return {
            "usage": self.usage,
            "description": "\n\n".join(filter(None, parts)),
            "formatter_class": argparse.RawDescriptionHelpFormatter,
        }


SUBCOMMANDS = {
    "run": Subcommand(
        "run a command and follow it; the word run may be left out",
        (
            option(
                "words",
                nargs="*",
                metavar="[NAME | URL] [NAME=VALUE ...]",
                help="a command of the server, or a URL to GET; parameters",
            ),
            PARAM_FILE,
            *SHOWING,
            *INPUT,
            DETACH,
            *CONNECTING,
        ),
        "shellstream [run] [OPTIONS] [NAME | URL] [NAME=VALUE ...]",
        _CTRL_C,
    ),
    "start": Subcommand(
        "start a run without following it; prints its id",
        (
            option("name", metavar="NAME", nargs="?", help="a command of the server"),
            _WORDS,
            PARAM_FILE,
            option(
                *("-i", "--stdin"),
                action="store_true",
                help="let the run have input, which shellstream send gives it",
            ),
            *DOCUMENT,
            *CONNECTING,
        ),
        "shellstream start [OPTIONS] [NAME] [NAME=VALUE ...]",
    ),
    "attach": Subcommand(
        "follow a run to its end, and exit as it does",
        (_RUN, *BEGINNING, *SHOWING, _SIGNAL_ON_INT, *CONNECTING),
        details=_CTRL_C_LEAVES,
    ),
    "output": Subcommand(
        "show what a run has written until now",
        (
            _RUN,
            option(
                *("-f", "--follow"),
                action="store_true",
                help="follow it to its end, as attach does",
            ),
            *BEGINNING,
            *SHOWING,
            *CONNECTING,
        ),
        details=f"With -f, as with attach:\n{_CTRL_C_LEAVES}",
        aliases=("logs",),
    ),
    "wait": Subcommand(
        "wait for runs to end, and exit as the first one that failed did",
        (_RUNS, *DOCUMENT, RETRY, *CONNECTING),
        details="It prints nothing; with --json the runs.",
    ),
    "send": Subcommand(
        "send input to a run: a line, or standard input",
        (
            _RUN,
            option(
                "text",
                nargs="*",
                metavar="TEXT",
                help="a line to send; without it standard input is sent",
            ),
            option(
                "--eof",
                action="store_true",
                help="then end the input of the run; without this option more can be "
                "sent later",
            ),
            RETRY,
            *CONNECTING,
        ),
    ),
    "ps": Subcommand(
        "list the runs that are active",
        (
            option("-a", "--all", action="store_true", help="list ended runs too"),
            option(
                "--failed",
                action="store_true",
                help="list ended runs that did not exit with 0",
            ),
            option("--state", choices=STATES, help="list the runs in this state"),
            option(
                "--since",
                metavar="WHEN",
                type=since,
                help="list the runs, ended ones too, of the last 30min, 2h or 1d, or "
                "since a date: 2026-12-01 or 2026-12-01T08:00",
            ),
            option(
                *("-n", "--limit"), metavar="N", type=number, help="only the N newest"
            ),
            option("--command", metavar="NAME", help="only runs of this command"),
            option(
                "--format",
                choices=("plain", "ndjson", "json"),
                default="plain",
                help="for people or for scripts; with -q only ids",
            ),
            json_option(),
            *CONNECTING,
        ),
        details="On a terminal it fits the screen; elsewhere ids and times are whole.",
    ),
    "show": Subcommand(
        "show all about a run", (_RUN, *DOCUMENT, *CONNECTING), aliases=("inspect",)
    ),
    "events": Subcommand(
        "show runs as they are created, start and end",
        (
            option("--command", metavar="NAME", help="only runs of this command"),
            option(
                "--format",
                choices=("plain", "ndjson"),
                default="plain",
                help="for people, or a JSON object a line",
            ),
            json_option("ndjson"),
            RETRY,
            *CONNECTING,
        ),
        details="It ends with Ctrl-C.",
    ),
    "cancel": Subcommand(
        "end runs: TERM, then KILL",
        (_RUNS, *DOCUMENT, *CONNECTING),
        aliases=("stop",),
    ),
    "signal": Subcommand(
        "send a signal to all processes of a run",
        (
            _RUN,
            option("signal", metavar="SIG", help="such as INT, HUP or USR1"),
            *DOCUMENT,
            *CONNECTING,
        ),
    ),
    "delete": Subcommand(
        "forget ended runs and their output",
        (_RUNS, *CONNECTING),
        aliases=("rm",),
    ),
    "commands": Subcommand(
        "list the commands of the server, and their parameters",
        (
            option("name", nargs="?", metavar="NAME", help="show only this one"),
            *DOCUMENT,
            *CONNECTING,
        ),
    ),
    "doctor": Subcommand(
        "find what holds output back, and what to change",
        (
            option("url", nargs="?", metavar="URL", help="the server, or a stream"),
            option(
                "--via",
                action="append",
                default=[],
                metavar="URL",
                help="the same through a proxy; give several from the server outwards",
            ),
            option("--json", action="store_true", help="print JSON, for programs"),
            option(
                "--seconds",
                type=seconds,
                default=SECONDS,
                metavar="N",
                help="how long to watch the longest stream, or the command "
                "(default: %(default)g)",
            ),
            option(
                "--idle",
                type=seconds,
                metavar="N",
                help="also test whether a stream survives N silent seconds; 70 finds "
                "the default limits of proxies",
            ),
            *CONNECTING,
        ),
        "shellstream doctor [OPTIONS] [URL] [--via URL ...]\n"
        "       shellstream doctor [OPTIONS] -- COMMAND [ARGUMENT ...]",
        DOCTOR,
    ),
    "login": Subcommand(
        "save a server and its token, and ask it by default from now on",
        (
            option(
                "url", nargs="?", metavar="URL", help="the server, or its saved name"
            ),
            option(
                "--name",
                metavar="NAME",
                help="a short name for --server (default: the first part of its host)",
            ),
            *CONNECTING,
        ),
        details="It asks for the token on the terminal, or reads it from standard "
        "input\nor --token-file, and tries it. It offers to pin a certificate that "
        "no\nauthority has signed.",
    ),
    "logout": Subcommand(
        "forget a saved server and its token",
        (
            option(
                "name", nargs="?", metavar="NAME", help="which (default: the default)"
            ),
        ),
    ),
    "servers": Subcommand(
        "list the servers that have a name here; * marks the default", DOCUMENT
    ),
    "demo": Subcommand("start a daemon, and show its demo with this client"),
    "completion": Subcommand(
        "print what makes a shell complete this command line",
        (option("shell", choices=SHELLS, help="which shell"),),
        details="""\
  bash   eval "$(shellstream completion bash)"            in ~/.bashrc
  zsh    eval "$(shellstream completion zsh)"             in ~/.zshrc, after compinit
  fish   shellstream completion fish | source             in config.fish
""",
    ),
    "help": Subcommand(
        "show the help of all, or of a subcommand",
        (option("topic", nargs="?", metavar="SUBCOMMAND", help="of which"),),
    ),
    "version": Subcommand("print the version of this client", DOCUMENT),
}

_CANONICAL = {
    name: main for main, sub in SUBCOMMANDS.items() for name in (main, *sub.aliases)
}

#: All words that name a subcommand.
NAMES = tuple(_CANONICAL)


def canonical(word: str) -> str | None:
    """The main name of a subcommand; L{None} if this names none."""
    return _CANONICAL.get(word)
