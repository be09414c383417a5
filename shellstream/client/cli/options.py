"""The options of the command line that several subcommands have, as data."""

from typing import Any, NamedTuple

#: Seconds for which the client tries to resume a stream, by default.
RETRY_FOR = 60.0

#: Seconds for which the doctor watches a stream, by default: Envoy cuts one after 15.
SECONDS = 20.0

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
        action = self.keywords.get("action", "append")
        return not self.is_positional and action == "append"


def option(*names: str, **keywords: Any) -> Option:
    return Option(names, keywords)


def json_option(format: str = "json") -> Option:  # noqa: A002
    """C{--json}, for the machine's format of a subcommand."""
    what = f"the same as --format {format}"
    keywords = {"action": "store_const", "const": format, "dest": "format"}
    return Option(("--json",), {**keywords, "help": what})


def number(text: str) -> int:
    found = int(text)
    if found < 0:
        raise ValueError
    return found


def seconds(text: str) -> float:
    found = float(text)
    if not 0 <= found < float("inf"):
        raise ValueError
    return found


# argparse's error messages contain the function's name.
number.__name__, seconds.__name__ = "number", "number of seconds"

CONNECTING = (
    option(
        "--server",
        metavar="URL",
        help="the server, or its name in the configuration (default: "
        f"{DEFAULT_SERVER})",
    ),
    option("--token-file", metavar="FILE", help="a file with the token"),
    option("--cacert", metavar="FILE", help="trust these authorities (PEM) only"),
    option(
        "--pin",
        metavar="FINGERPRINT",
        help="trust this certificate only; the daemon prints its fingerprint when "
        "it starts",
    ),
    option("--cert", metavar="FILE", help="the certificate of this client (PEM)"),
    option("--key", metavar="FILE", help="the key of --cert, if it is in another file"),
    option("-q", "--quiet", action="store_true", help="print errors only"),
    option("-v", "--verbose", action="store_true", help="print what happens"),
)

SHOWING = (
    option(
        "--format",
        choices=("plain", "ndjson"),
        default="plain",
        help="the bytes themselves, or a JSON object a line; the last has type end",
    ),
    json_option("ndjson"),
    option(
        "-t",
        "--timestamps",
        action="store_true",
        help="print the time (UTC) before each line",
    ),
    option(
        "--prefix",
        action="store_true",
        help="print the command and the stream before each line",
    ),
    option(
        "--retry-for",
        metavar="SECONDS",
        type=seconds,
        default=RETRY_FOR,
        help="how long to try to resume a stream that was cut (default: %(default)g)",
    ),
)

DETACH = option(
    "--detach-on-int", action="store_true", help="on Ctrl-C leave; the run goes on"
)

PARAM_FILE = option(
    "--param-file",
    action="append",
    default=[],
    metavar="NAME=FILE",
    help="a parameter that a file holds, or standard input (-): what is on a command "
    "line, every user of the machine can see",
)

INPUT = (
    option(
        "--no-stdin",
        action="store_false",
        dest="stdin",
        help="do not read standard input; without this option a command that takes "
        "input gets it, unless it is a terminal",
    ),
    option(
        "--tty",
        action="store_true",
        help="use the command on a terminal; Enter ~ . leaves",
    ),
)

BEGINNING = (
    option("--from", metavar="N", type=number, dest="offset", help="begin at byte N"),
    option(
        *("-n", "--tail"), metavar="N", type=number, help="begin with the last N lines"
    ),
)

DOCUMENT = (
    option(
        "--format",
        choices=("plain", "json"),
        default="plain",
        help="for people or for scripts",
    ),
    json_option(),
)

#: The last option of all that follow runs.
RETRY = SHOWING[-1]
