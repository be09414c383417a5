"""C{doctor}: finds what holds output back."""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from shellstream.client.cli.messages import print_message
from shellstream.client.cli.settings import Settings, load_settings
from shellstream.client.cli.stdout import OutputWriter
from shellstream.client.doctor.command_trials import check_command
from shellstream.client.doctor.findings import Report
from shellstream.client.doctor.probe_client import ProbeClient
from shellstream.client.doctor.report import as_json, as_text
from shellstream.client.doctor.url_checks import check_urls, may_be_server
from shellstream.client.errors import Usage
from shellstream.client.escape import encode
from shellstream.client.transport.trust import Trust
from shellstream.client.urls import http_url

#: The most seconds to watch or to be silent for: the server's own limit for C{idle}.
MAX_SECONDS = 3600.0


async def doctor(reactor: Any, args: Namespace) -> int:
    """
    Examine a command, a stream or a server, and print the report.

    @return: the exit code: 0 if nothing was found, 1 if something was.
    """
    stdout = OutputWriter(reactor, 1, "standard output")
    settings = load_settings(args, os.environ, args.url and http_url(args.url))
    secrets = {}
    if settings.token is not None:
        secrets = {"Authorization": f"Bearer {settings.token}"}
    trust = trust_for(settings, args.via)
    policy = None if trust is None else trust.policy()
    client = ProbeClient(reactor, policy, secrets)
    report = await examine(args, settings.url, client)
    text = as_json(report).encode() if args.json else encode(as_text(report))
    await stdout.write(text + b"\n")
    return 0 if report.clean else 1


def trust_for(settings: Settings, via: Sequence[str]) -> Trust | None:
    """
    The certificates to use for a server and its proxies.

    @raise Usage: if none of them is asked over TLS, or the options contradict.
    """
    urls = (settings.url, *map(http_url, via))
    secure = next((each for each in urls if each.startswith("https:")), settings.url)
    return settings._replace(url=secure).checked_trust()


async def examine(args: Namespace, server: str, client: ProbeClient) -> Report:
    """
    Examine what the command line names, or else the C{server}.

    @raise Usage: if the options do not fit together.
    @raise ClientError: if it cannot be examined.
    """
    if not 1 <= args.seconds <= MAX_SECONDS:
        raise Usage(f"--seconds takes 1 to {MAX_SECONDS:g}")
    if args.argv is not None:
        if not args.argv:
            raise Usage("write the command after --")
        if args.url or args.via or args.idle is not None:
            raise Usage("--seconds and --json are all that a command can be tried with")
        _announce()
        # It blocks the reactor, which has nothing else to do.
        return check_command(args.argv, args.seconds)
    if args.idle is not None and not 1 <= args.idle <= MAX_SECONDS:
        raise Usage(f"--idle takes 1 to {MAX_SECONDS:g} seconds")
    named = (args.url or f"{server.rstrip('/')}/", *args.via)
    urls = [http_url(each).partition("#")[0] for each in named]
    if args.idle is not None and not may_be_server(urls[0]):
        raise Usage(f"{urls[0]} is not the address of a server: --idle needs one")
    _announce()
    is_server = args.url is None or args.idle is not None
    return await check_urls(client, urls, args.seconds, args.idle, is_server=is_server)


def _announce() -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        print_message("this may take a while")
