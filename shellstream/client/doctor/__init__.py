"""
C{shellstream doctor}: who holds output back, and what to change.

What is seen becomes values (L{exchange}), and
these become findings, by functions that know no network and no clock.
"""

import argparse
import asyncio
import io
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shellstream.client.errors import CannotWrite, Usage
from shellstream.client.urls import http_url

if TYPE_CHECKING:
    from .findings import Report
    from .probe_client import ProbeClient

    Examination = Callable[[], Coroutine[Any, Any, Report]]

#: The most that can be asked for: what a server's ticker takes for C{idle}.
MAX_SECONDS = 3600.0


def doctor(
    given: argparse.Namespace,
    server: str,
    asker: "ProbeClient | None" = None,
) -> int:
    """
    Examine, and print what was found.

    @param given: what the command line says.
    @param server: the URL to examine if none is given.
    @param asker: who asks, if it takes more than everybody has.
    @return: the exit code: 0 if nothing was found, 1 if something was.
    @raise ClientError: if it could not be examined.
    """
    if not 1 <= given.seconds <= MAX_SECONDS:
        raise Usage(f"--seconds takes 1 to {MAX_SECONDS:g}")
    if given.argv is None:
        examining = _addresses(given, server, asker)
    else:
        examining = _command(given, given.argv)
    if sys.stderr is not None and sys.stderr.isatty():
        print("shellstream: this may take a while", file=sys.stderr)
    found = asyncio.run(_until_signalled(examining))

    from .report import as_json, as_text

    _print(as_json(found) if given.json else as_text(found))
    return 0 if found.clean else 1


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

    from .command_trials import examine_command

    return lambda: examine_command(argv, given.seconds)


def _addresses(
    given: argparse.Namespace, server: str, asker: "ProbeClient | None"
) -> "Examination":
    if given.idle is not None and not 1 <= given.idle <= MAX_SECONDS:
        raise Usage(f"--idle takes 1 to {MAX_SECONDS:g} seconds")
    asked = (given.url or f"{server.rstrip('/')}/", *given.via)
    urls = [http_url(each).partition("#")[0] for each in asked]
    doctors = []
    if _is_server(urls[0]):
        doctors = [f"{each.removesuffix('doctor').rstrip('/')}/doctor" for each in urls]
    elif given.idle is not None:
        raise Usage(f"{urls[0]} is not the address of a server: --idle needs one")

    async def examine() -> "Report":
        from shellstream.client.doctor import server_checks

        from .probe_client import ProbeClient

        asking = asker or ProbeClient()
        ours = doctors and await server_checks.is_ours(asking, doctors[0])
        if ours or given.url is None or given.idle is not None:
            return await server_checks.examine(
                asking, doctors, given.seconds, given.idle
            )
        return await server_checks.examine_foreign(asking, urls, given.seconds)

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
