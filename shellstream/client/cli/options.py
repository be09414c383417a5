"""The subcommands and options of the command line, as data, with their help."""

import argparse
from typing import Any, NamedTuple

#: Seconds for which the client tries to resume a stream, by default.
RETRY_FOR = 60.0

#: Seconds for which the doctor watches a stream, by default: Envoy cuts one after 15.
SECONDS = 20.0

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

DESCRIPTION = """\
Runs commands of a shellstream server and shows their output as it is written: stdout
to stdout, stderr to stderr, every byte. It exits as the command did.

  shellstream                      the default command of this machine's daemon
  shellstream build target=all     the command "build", with a parameter
  shellstream http://pi:8000/stream   this URL; other streaming servers work too
  shellstream load < dump          the command "load", which reads standard input
  shellstream --tty sh             a terminal there, as with ssh; Enter ~ . leaves
  shellstream demo                 a daemon and a client, to see it work
  shellstream doctor               find what holds output back

A subcommand comes first, and its options after it. "shellstream run ps" runs a command
that has the name of a subcommand.
"""

DEFAULT_SERVER = "http://127.0.0.1:8000"

ENVIRONMENT = {
    "SHELLSTREAM_URL": f"the server, or its name, instead of {DEFAULT_SERVER}",
    "SHELLSTREAM_TOKEN": "the token for the server",  # nosec B105  # its help
    "SHELLSTREAM_TOKEN_FILE": "a file with the token",  # nosec B105  # its help
    "SHELLSTREAM_PIN": "the fingerprint of its certificate, as for --pin",
}


class Option(NamedTuple):
    """
    An option or a positional argument.

    @ivar keywords: what C{add_argument} of argparse takes beside the names.
    """

    names: tuple[str, ...]
    keywords: dict[str, Any]

    @property
    def is_positional(self) -> bool:
        """Whether it is an argument without a name of its own."""
        return not self.names[0].startswith("-")

    @property
    def destination(self) -> str:
        """The attribute that argparse gives its value."""
        name = self.keywords.get("dest") or self.names[-1].lstrip("-")
        return str(name).replace("-", "_")

    @property
    def takes_value(self) -> bool:
        """Whether the word after it belongs to it."""
        return not self.is_positional and "action" not in self.keywords


def _option(*names: str, **keywords: Any) -> Option:
    return Option(names, keywords)


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


# argparse's error messages contain the function's name.
_offset.__name__, _seconds.__name__ = "number", "number of seconds"

CONNECTING = (
    _option(
        "--server",
        metavar="URL",
        help="the server, or its name in the configuration (default: "
        f"{DEFAULT_SERVER})",
    ),
    _option("--token-file", metavar="FILE", help="a file with the token"),
    _option("--cacert", metavar="FILE", help="trust these authorities (PEM) only"),
    _option(
        "--pin",
        metavar="FINGERPRINT",
        help="trust this certificate only; the daemon prints its fingerprint when "
        "it starts",
    ),
    _option("--cert", metavar="FILE", help="the certificate of this client (PEM)"),
    _option(
        "--key", metavar="FILE", help="the key of --cert, if it is in another file"
    ),
    _option("-q", "--quiet", action="store_true", help="print errors only"),
    _option("-v", "--verbose", action="store_true", help="print what happens"),
)

SHOWING = (
    _option(
        "--format",
        choices=("plain", "ndjson"),
        default="plain",
        help="the bytes themselves, or a JSON object a line; the last has type end",
    ),
    _option(
        "-t",
        "--timestamps",
        action="store_true",
        help="print the time (UTC) before each line",
    ),
    _option(
        "--prefix",
        action="store_true",
        help="print the command and the stream before each line",
    ),
    _option(
        "--retry-for",
        metavar="SECONDS",
        type=_seconds,
        default=RETRY_FOR,
        help="how long to try to resume a stream that was cut (default: %(default)g)",
    ),
)

_DETACH = _option(
    "--detach-on-int", action="store_true", help="on Ctrl-C leave; the run goes on"
)

_INPUT = (
    _option(
        "--no-stdin",
        action="store_false",
        dest="stdin",
        help="do not read standard input; without this option a command that takes "
        "input gets it, unless it is a terminal",
    ),
    _option(
        "--tty",
        action="store_true",
        help="use the command on a terminal; Enter ~ . leaves",
    ),
)

_BEGINNING = (
    _option("--from", metavar="N", type=_offset, dest="offset", help="begin at byte N"),
    _option("--tail", metavar="N", type=_offset, help="begin with the last N lines"),
)

_DOCUMENT = _option(
    "--format",
    choices=("plain", "json"),
    default="plain",
    help="for people or for scripts",
)

_WORDS = _option("words", nargs="*", metavar="NAME=VALUE", help="parameters")
_RUN = _option("run", metavar="ID", help="the id of a run")


class Subcommand(NamedTuple):
    """
    A subcommand.

    @ivar help: what it does, in one line.
    @ivar usage: if argparse's own would mislead.
    @ivar details: further help.
    """

    help: str
    options: tuple[Option, ...]
    usage: str | None = None
    details: str = ""

    @property
    def keywords(self) -> dict[str, Any]:
        """What a parser for it takes."""
        return {
            "usage": self.usage,
            "description": f"{self.help}\n\n{self.details}".strip(),
            "formatter_class": argparse.RawDescriptionHelpFormatter,
        }


SUBCOMMANDS = {
    "run": Subcommand(
        "run a command and follow it; the word run may be left out",
        (
            _option(
                "words",
                nargs="*",
                metavar="[NAME | URL] [NAME=VALUE ...]",
                help="a command of the server, or a URL to GET; parameters",
            ),
            *SHOWING,
            *_INPUT,
            _DETACH,
            *CONNECTING,
        ),
        "shellstream [run] [OPTIONS] [NAME | URL] [NAME=VALUE ...]",
    ),
    "start": Subcommand(
        "start a run without following it; prints its id",
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
            *_BEGINNING,
            *SHOWING,
            _option(
                "--signal-on-int",
                action="store_true",
                help="on Ctrl-C interrupt the run, as its starter does; without this "
                "option Ctrl-C only leaves",
            ),
            *CONNECTING,
        ),
    ),
    "output": Subcommand(
        "show what a run has written until now",
        (_RUN, *_BEGINNING, *SHOWING, *CONNECTING),
    ),
    "ps": Subcommand(
        "list the runs that are active",
        (
            _option("-a", "--all", action="store_true", help="list ended runs too"),
            _option(
                "--failed",
                action="store_true",
                help="list ended runs that did not exit with 0",
            ),
            _option(
                "-n",
                "--limit",
                metavar="N",
                type=_offset,
                help="only the N newest",
            ),
            _option("--command", metavar="NAME", help="only runs of this command"),
            _option(
                "--format",
                choices=("plain", "ndjson", "json"),
                default="plain",
                help="for people or for scripts; with -q only ids",
            ),
            *CONNECTING,
        ),
    ),
    "show": Subcommand("show all about a run", (_RUN, _DOCUMENT, *CONNECTING)),
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
        "list the commands of the server, and their parameters",
        (_DOCUMENT, *CONNECTING),
    ),
    "doctor": Subcommand(
        "find what holds output back, and what to change",
        (
            _option("url", nargs="?", metavar="URL", help="the server, or a stream"),
            _option(
                "--via",
                action="append",
                default=[],
                metavar="URL",
                help="the same through a proxy; give several from the server outwards",
            ),
            _option("--json", action="store_true", help="print JSON, for programs"),
            _option(
                "--seconds",
                type=_seconds,
                default=SECONDS,
                metavar="N",
                help="how long to watch the longest stream, or the command "
                "(default: %(default)g)",
            ),
            _option(
                "--idle",
                type=_seconds,
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
    "demo": Subcommand("start a daemon, and show its demo with this client", ()),
    "completion": Subcommand(
        "print the completions of this command line for a shell",
        (_option("shell", choices=("bash", "zsh", "tcsh"), help="which shell"),),
    ),
}
