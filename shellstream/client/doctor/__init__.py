"""
C{shellstream doctor}: who holds output back, and what to change.

What is seen becomes values (L{exchange<shellstream.client.doctor.exchange>}), and
these become findings, by functions that know no network and no clock.
"""

import argparse
import asyncio
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from shellstream.client.errors import CannotWrite, Usage

if TYPE_CHECKING:
    from .asking import Asker
    from .findings import Report

    Examination = Callable[[], Coroutine[Any, Any, Report]]

#: Seconds for which a stream is watched, if nobody says: Envoy cuts after 15.
SECONDS = 20.0

#: The most that can be asked for: what a server's ticker takes for C{idle}.
MAX_SECONDS = 3600.0

HELP = """\
Finds out who holds output back, and says what to change.

  shellstream doctor http://pi:8000                     a shellstream server
  shellstream doctor http://pi:8000 --via https://pi.example.org
                                                        and a proxy before it
  shellstream doctor http://host/their/stream           any other stream, by GET
  shellstream doctor -- make -C /srv/app                a command of this machine: it
                                                        is run up to five times
"""

EPILOG = """\
exit codes:
  0    clean: nothing was found
  1    something was found
  64 and above: it could not be examined, and why; 66: the command cannot be run,
       75: nothing was written while it was watched; else as of shellstream itself
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message}; see shellstream doctor --help")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What a command line may hold before a C{--}."""
    parser.add_argument("url", nargs="?", metavar="URL", help="the server, or a stream")
    parser.add_argument(
        "--via",
        action="append",
        default=[],
        metavar="URL",
        help="the same by way of a proxy; of several, first the one next to the server",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=SECONDS,
        metavar="N",
        help="how long the longest stream, or the command, is watched (%(default)g)",
    )
    parser.add_argument(
        "--idle",
        type=_seconds,
        metavar="N",
        help="try whether a stream survives so many silent seconds, and take as long; "
        "70 finds the limits that proxies have by themselves",
    )


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text, re.ASCII):
        raise ValueError
    return float(text)


_seconds.__name__ = "number of seconds"  # argparse says so


def main(argv: Sequence[str], server: str) -> int:
    """
    The whole command line; see L{doctor}.

    @raise ClientError: if it makes no sense, or nothing could be examined.
    """
    parser = _Parser(
        "shellstream doctor",
        usage="shellstream doctor [OPTIONS] [URL] [--via URL ...]\n"
        "       shellstream doctor [OPTIONS] -- COMMAND [ARGUMENT ...]",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser)
    words, command = split(argv)
    return doctor(parser.parse_args(words), command, server)


def split(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """A command line, and the command behind its first C{--} if there is one."""
    words = list(argv)
    if "--" not in words:
        return words, None
    dashes = words.index("--")
    return words[:dashes], words[dashes + 1 :]


def doctor(
    given: argparse.Namespace,
    command: list[str] | None,
    server: str,
    asker: "Asker | None" = None,
) -> int:
    """
    Examine, and print what was found.

    @param given: what the options say: see L{add_options}.
    @param command: what to run, if it is a command that is to be examined.
    @param server: the URL to examine if none is given.
    @param asker: who asks, if it takes more than everybody has.
    @return: the exit code: 0 if nothing was found, 1 if something was.
    @raise ClientError: if it could not be examined.
    """
    if not 1 <= given.seconds <= MAX_SECONDS:
        raise Usage(f"--seconds takes 1 to {MAX_SECONDS:g}")
    if command is None:
        examining = _addresses(given, server, asker)
    else:
        examining = _command(given, command)
    if sys.stderr is not None and sys.stderr.isatty():
        print("shellstream: this may take a while", file=sys.stderr)
    report = asyncio.run(_until_signalled(examining))

    from . import telling

    _print(telling.as_json(report) if given.json else telling.as_text(report))
    return 0 if report.clean else 1


def _print(text: str) -> None:
    if sys.stdout is None:
        raise CannotWrite("standard output is closed")
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):  # its encoding may be ASCII
            sys.stdout.reconfigure(errors="backslashreplace")
        print(text, flush=True)
    except BrokenPipeError:
        # Or it would be tried again, and be told of, when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        raise CannotWrite(f"standard output: {error.strerror}") from None


def _command(given: argparse.Namespace, argv: list[str]) -> "Examination":
    if not argv:
        raise Usage("write the command after --")
    if given.url or given.via or given.idle is not None:
        raise Usage("--seconds and --json are all that a command can be tried with")

    from .running import examine_command

    return lambda: examine_command(argv, given.seconds)


def _addresses(
    given: argparse.Namespace, server: str, asker: "Asker | None"
) -> "Examination":
    if given.idle is not None and not 1 <= given.idle <= MAX_SECONDS:
        raise Usage(f"--idle takes 1 to {MAX_SECONDS:g} seconds")
    urls = [_url(each) for each in (given.url or f"{server.rstrip('/')}/", *given.via)]
    doctors = []
    if _is_server(urls[0]):
        doctors = [f"{each.removesuffix('doctor').rstrip('/')}/doctor" for each in urls]
    elif given.idle is not None:
        raise Usage(f"{urls[0]} is not the address of a server: --idle needs one")

    async def examine() -> "Report":
        from . import examining
        from .asking import Asker

        asking = asker or Asker()
        ours = doctors and await examining.is_ours(asking, doctors[0])
        if ours or given.url is None or given.idle is not None:
            return await examining.examine(asking, doctors, given.seconds, given.idle)
        return await examining.examine_foreign(asking, urls, given.seconds)

    return examine


async def _until_signalled(examining: "Examination") -> "Report":
    """Examine; when we are to leave, end first what was begun."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(examining())
    left: list[int] = []

    def leave(number: int) -> None:
        left.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup(1)
            loop.add_signal_handler(number, leave, number)
    try:
        return await task
    except asyncio.CancelledError:
        if left:
            sys.exit(128 + left[0])
        raise


def _is_server(url: str) -> bool:
    """Whether a URL is that of a server, not of a stream."""
    parts = urlsplit(url)
    path = parts.path or "/"
    return not parts.query and (path.endswith(("/", "/doctor")))


def _url(text: str) -> str:
    url = text if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) else f"http://{text}"
    try:
        parts = urlsplit(url)
        wrong = not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong or not (url.isascii() and url.isprintable()) or " " in url:
        raise Usage(f"{text!r} is no URL; write http://HOST:PORT")
    if parts.scheme not in ("http", "https"):
        raise Usage(f"{text!r}: only http:// and https:// are spoken here")
    if parts.username is not None:
        raise Usage("a URL is no place for a password")
    return url.partition("#")[0]
