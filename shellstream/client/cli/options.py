"""What a command line may hold."""

import argparse
from typing import Any, NamedTuple

#: Seconds for which a cut stream is tried to be taken up, if nobody says.
RETRY_FOR = 60.0

#: Seconds for which the doctor watches, if nobody says: Envoy cuts after 15.
SECONDS = 20.0

DOCTOR = """\
  shellstream doctor http://pi:8000                     a shellstream server
  shellstream doctor http://pi:8000 --via https://pi.example.org
                                                        and a proxy before it
  shellstream doctor http://host/their/stream           any other stream, by GET
  shellstream doctor -- make -C /srv/app                a command of this machine: it
                                                        is run up to five times

It exits with 0 if it is clean, and with 1 if something was found; 64 and above mean
that it could not be examined.
"""

DESCRIPTION = """\
Runs commands of a shellstream server and shows their output as it is written:
stdout to stdout, stderr to stderr, every byte, and exits as the command did.

  shellstream                      the default command of this machine's daemon
  shellstream build target=all     the command "build", with a parameter
  shellstream http://pi:8000/stream   this URL; any other streaming server will do
  shellstream load < dump          what comes in by standard input goes to "load"
  shellstream --tty sh             a terminal there, as with ssh; Enter ~ . leaves
  shellstream demo                 everything at once: a daemon, and a client
  shellstream doctor               who holds output back
"""

_SERVER = "http://127.0.0.1:8000"

ENVIRONMENT = {
    "SHELLSTREAM_URL": f"the server, or its name, instead of {_SERVER}",
    "SHELLSTREAM_TOKEN": "the token that it asks for",  # nosec B105  # is none
    "SHELLSTREAM_TOKEN_FILE": "a file that holds it",  # nosec B105  # nor is this
    "SHELLSTREAM_PIN": "the fingerprint of its certificate, as for --pin",
}


class Option(NamedTuple):
    """An option, as argparse takes it."""

    names: tuple[str, ...]
    given: dict[str, Any]

    @property
    def is_word(self) -> bool:
        """Whether it is no option at all, but a word at its place."""
        return not self.names[0].startswith("-")

    @property
    def takes_value(self) -> bool:
        """Whether what follows it belongs to it."""
        return not self.is_word and "action" not in self.given


def _option(*names: str, **given: Any) -> Option:
    return Option(names, given)


def _offset(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError
    return number


# argparse names a type that it cannot convert to by its function.
_offset.__name__, _seconds.__name__ = "number", "number of seconds"

CONNECTING = (
    _option(
        "--server",
        metavar="URL",
        help=f"the server, or its name in the configuration (default: {_SERVER})",
    ),
    _option("--token-file", metavar="FILE", help="holds the token for the server"),
    _option("--cacert", metavar="FILE", help="trust these authorities (PEM), only"),
    _option(
        "--pin",
        metavar="FINGERPRINT",
        help="trust this certificate, only; its daemon prints it at its start",
    ),
    _option("--cert", metavar="FILE", help="show this certificate (PEM)"),
    _option("--key", metavar="FILE", help="the key of --cert, if it is not in it"),
    _option("-q", "--quiet", action="store_true", help="say nothing but errors"),
    _option("-v", "--verbose", action="store_true", help="say what happens"),
)

SHOWING = (
    _option(
        "--format",
        choices=("plain", "ndjson"),
        default="plain",
        help="the bytes themselves, or an object a line, the last of type end",
    ),
    _option("-t", "--timestamps", action="store_true", help="each line's time (UTC)"),
    _option("--prefix", action="store_true", help="each line's command and stream"),
    _option(
        "--retry-for",
        metavar="SECONDS",
        type=_seconds,
        default=RETRY_FOR,
        help="try so long to take up a stream that was cut (default: %(default)g)",
    ),
)

_DETACH = _option(
    "--detach-on-int", action="store_true", help="Ctrl-C leaves the run going"
)

_INPUT = (
    _option(
        "--no-stdin",
        action="store_false",
        dest="stdin",
        help="leave standard input alone; else, if it is no terminal, it goes to a "
        "command that takes some",
    ),
    _option(
        "--tty",
        action="store_true",
        help="sit down at the command, on a terminal; Enter ~ . leaves",
    ),
)

_DOCUMENT = _option(
    "--format",
    choices=("plain", "json"),
    default="plain",
    help="for people, or for scripts",
)

_WORDS = _option("words", nargs="*", metavar="NAME=VALUE", help="parameters")
_RUN = _option("run", metavar="ID", help="the id of a run")


class Subcommand(NamedTuple):
    """
    What is done with a command line that begins with its name.

    @ivar more: what its help says beyond C{help}.
    """

    help: str
    options: tuple[Option, ...]
    usage: str | None = None
    more: str = ""

    @property
    def given(self) -> dict[str, Any]:
        """For the parser of its part."""
        return {
            "usage": self.usage,
            "description": f"{self.help}\n\n{self.more}" if self.more else self.help,
            "formatter_class": argparse.RawDescriptionHelpFormatter,
        }


SUBCOMMANDS = {
    "run": Subcommand(
        "run a command and follow it; the word may be left out",
        (
            _option(
                "words",
                nargs="*",
                metavar="[NAME | URL] [NAME=VALUE ...]",
                help="a command of the server, or what to GET; and parameters",
            ),
            *SHOWING,
            *_INPUT,
            _DETACH,
            *CONNECTING,
        ),
        "shellstream [run] [OPTIONS] [NAME | URL] [NAME=VALUE ...]",
    ),
    "start": Subcommand(
        "start a run that nobody need watch; prints its id",
        (
            _option("name", metavar="NAME", nargs="?", help="a command of the server"),
            _WORDS,
            _DOCUMENT,
            *CONNECTING,
        ),
        "shellstream start [OPTIONS] [NAME] [NAME=VALUE ...]",
    ),
    "attach": Subcommand(
        "follow a run to its end, and exit as it does",
        (
            _RUN,
            _option(
                "--from",
                metavar="N",
                type=_offset,
                dest="offset",
                help="from byte N on",
            ),
            _option(
                "--tail", metavar="N", type=_offset, help="from the last N lines on"
            ),
            *SHOWING,
            _DETACH,
            *CONNECTING,
        ),
    ),
    "output": Subcommand(
        "show what a run has written until now",
        (
            _RUN,
            _option(
                "--from",
                metavar="N",
                type=_offset,
                dest="offset",
                help="from byte N on",
            ),
            _option("--tail", metavar="N", type=_offset, help="the last N lines"),
            *SHOWING,
            *CONNECTING,
        ),
    ),
    "ps": Subcommand(
        "list the runs that are active",
        (
            _option("-a", "--all", action="store_true", help="those that ended, too"),
            _option(
                "-n",
                "--limit",
                metavar="N",
                type=_offset,
                help="no more than so many, the newest",
            ),
            _option("--command", metavar="NAME", help="those of this command"),
            _option(
                "--format",
                choices=("plain", "ndjson", "json"),
                default="plain",
                help="for people, or for scripts; with -q only ids",
            ),
            *CONNECTING,
        ),
    ),
    "show": Subcommand("tell all about a run", (_RUN, _DOCUMENT, *CONNECTING)),
    "cancel": Subcommand("end a run: TERM, then KILL", (_RUN, _DOCUMENT, *CONNECTING)),
    "signal": Subcommand(
        "send a signal to all processes of a run",
        (
            _RUN,
            _option("signal", metavar="SIG", help="such as INT, HUP or USR1"),
            _DOCUMENT,
            *CONNECTING,
        ),
    ),
    "commands": Subcommand(
        "list what may be run, and with which parameters",
        (_DOCUMENT, *CONNECTING),
    ),
    "doctor": Subcommand(
        "find out who holds output back, and what to change",
        (
            _option("url", nargs="?", metavar="URL", help="the server, or a stream"),
            _option(
                "--via",
                action="append",
                default=[],
                metavar="URL",
                help="the same by way of a proxy; of several, first the one next to "
                "the server",
            ),
            _option("--json", action="store_true", help="for programs"),
            _option(
                "--seconds",
                type=_seconds,
                default=SECONDS,
                metavar="N",
                help="how long the longest stream, or the command, is watched "
                "(default: %(default)g)",
            ),
            _option(
                "--idle",
                type=_seconds,
                metavar="N",
                help="try whether a stream survives so many silent seconds, and take "
                "as long; 70 finds the limits that proxies have by themselves",
            ),
            *CONNECTING,
        ),
        "shellstream doctor [OPTIONS] [URL] [--via URL ...]\n"
        "       shellstream doctor [OPTIONS] -- COMMAND [ARGUMENT ...]",
        DOCTOR,
    ),
    "demo": Subcommand("start a daemon, and show its demo", ()),
    "completion": Subcommand(
        "print what makes a shell complete this command line",
        (_option("shell", choices=("bash", "zsh", "tcsh"), help="which shell"),),
    ),
}
