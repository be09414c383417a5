"""
C{shellstream doctor}: finds out who holds output back, and what to change.

L{url_checks} and L{command_trials} ask and run; what they see becomes values
(L{exchange}), and these become findings by functions that know no network and no clock.
"""

import argparse
import asyncio
import io
import os
import signal
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shellstream.client.errors import CannotWrite, Usage
from shellstream.client.urls import http_url

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from .findings import Report
    from .probe_client import ProbeClient

#: The most seconds to watch or to be silent for: the server's own limit for C{idle}.
MAX_SECONDS = 3600.0


def doctor(given: argparse.Namespace, server: str, client: "ProbeClient") -> int:
    """
    Examine, and print the report.

    @param given: the parsed command line.
    @param server: the URL to examine if C{given} names none.
    @return: the exit code: 0 if nothing was found, 1 if something was.
    @raise ClientError: if it could not be examined.
    """
    if not 1 <= given.seconds <= MAX_SECONDS:
        raise Usage(f"--seconds takes 1 to {MAX_SECONDS:g}")
    if given.argv is not None:
        _check_command_line(given)
    else:
        urls = _urls(given, server)
    if sys.stderr is not None and sys.stderr.isatty():
        print("shellstream: this may take a while", file=sys.stderr)
    if given.argv is not None:
        from .command_trials import check_command

        report = check_command(given.argv, given.seconds)
    else:
        report = asyncio.run(_until_signalled(_check_urls(given, urls, client)))

    from .report import as_json, as_text

    _print(as_json(report) if given.json else as_text(report))
    return 0 if report.clean else 1


def _check_command_line(given: argparse.Namespace) -> None:
    if not given.argv:
        raise Usage("write the command after --")
    if given.url or given.via or given.idle is not None:
        raise Usage("--seconds and --json are all that a command can be tried with")


def _urls(given: argparse.Namespace, server: str) -> list[str]:
    """The addresses to examine, from the server outwards."""
    if given.idle is not None and not 1 <= given.idle <= MAX_SECONDS:
        raise Usage(f"--idle takes 1 to {MAX_SECONDS:g} seconds")
    named = (given.url or f"{server.rstrip('/')}/", *given.via)
    urls = [http_url(each).partition("#")[0] for each in named]
    if given.idle is not None and not _may_be_server(urls[0]):
        raise Usage(f"{urls[0]} is not the address of a server: --idle needs one")
    return urls


def _may_be_server(url: str) -> bool:
    """Whether a URL may be that of a server; with any other path it is a stream."""
    parts = urlsplit(url)
    path = parts.path or "/"
    return not parts.query and path.endswith(("/", "/doctor"))


async def _check_urls(
    given: argparse.Namespace, urls: list[str], client: "ProbeClient"
) -> "Report":
    from .url_checks import check_server, check_stream, is_ours

    if _may_be_server(urls[0]):
        doctors = [f"{each.removesuffix('doctor').rstrip('/')}/doctor" for each in urls]
        certain = given.url is None or given.idle is not None
        if certain or await is_ours(client, doctors[0]):
            return await check_server(client, doctors, given.seconds, given.idle)
    return await check_stream(client, urls, given.seconds)


async def _until_signalled(checking: "Coroutine[Any, Any, Report]") -> "Report":
    """Examine; when we are to leave, end first what was begun."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(checking)
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


def _print(text: str) -> None:
    """@raise CannotWrite: if standard output does not take it."""
    if sys.stdout is None:
        raise CannotWrite("standard output is closed")
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):  # its encoding may be ASCII
            sys.stdout.reconfigure(errors="backslashreplace")
        print(text, flush=True)
    except BrokenPipeError:
        # Python flushes once more when it exits, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        raise CannotWrite(f"standard output: {error.strerror}") from None
