"""HTTP clients and servers of other projects, started as a user would start them."""

import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.trial.unittest import TestCase

from tests.support.programs import ROOT, Gate, Program, run, script

#: Seconds after which a line that a client has not shown counts as held back.
PATIENCE = 5

SERVER = ROOT / "tests" / "interop" / "bottle_server.py"
SCRIPTS = ROOT / "tests" / "interop" / "clients"


def _python(name: str, *options: str) -> tuple[str, ...]:
    return sys.executable, str(SCRIPTS / name), *options


#: Command lines; the URL comes last.
CLIENTS = {
    "curl": ("curl", "-sN"),
    # By default it would run the command once more if its connection broke.
    "wget": ("wget", "-qO-", "--tries=1"),
    "httpie": (script("http"), "--ignore-stdin", "--stream"),
    "requests_iter_lines": _python("requests_iter_lines.py"),
    "requests_iter_content": _python("requests_iter_content.py"),
    "urllib_read1": _python("urllib_read1.py"),
    "urllib_lines": _python("urllib_lines.py"),
    "httpx_iter_text": _python("httpx_iter_text.py"),
    "httpx_iter_raw": _python("httpx_iter_raw.py"),
    "aiohttp": _python("aiohttp_iter_any.py"),
    "node_fetch": ("node", str(SCRIPTS / "fetch.mjs")),
    "ruby": ("ruby", str(SCRIPTS / "net_http.rb")),
    "perl": ("perl", str(SCRIPTS / "http_tiny.pl")),
    "php": ("php", str(SCRIPTS / "fopen.php")),
    "chromium_address_bar": _python("chromium.py", "address-bar"),
    "chromium_fetch": _python("chromium.py", "fetch"),
    "shellstream": (sys.executable, "-m", "shellstream.client"),
}


class GateHeld(Exception):
    """A client did not show a line while the command waited for that."""


def folder(test: TestCase) -> Path:
    """A new folder for a test."""
    path = Path(test.mktemp()).absolute()
    path.mkdir(parents=True)
    return path


async def start_bottle(test: TestCase, shell: str) -> tuple[Program, str]:
    """Start Bottle's server with a command; returns the URL of its stream, too."""
    server = run(test, sys.executable, str(SERVER), shell)
    await server.seen(b"\n")
    return server, server.out.decode().strip() + "/stream"


def start_client(test: TestCase, *argv: str) -> Program:
    """Start a client with its defaults, in a clean environment."""
    home = folder(test)
    # HTTPie would leave a process behind that asks for a newer version.
    (home / "config.json").write_text('{"disable_update_warnings": true}')
    env = {"HTTPIE_CONFIG_DIR": str(home), "PYTHONUNBUFFERED": ""}
    return run(test, *argv, env=env)


async def pass_gate(gate: Gate, client: Program) -> None:
    """
    Let the command through the gate, line by line, as long as the client shows each.

    @raise GateHeld: if the client does not show a line for L{PATIENCE} seconds.
    """
    passed = Deferred.fromCoroutine(gate.passed_by(client))
    passed.addTimeout(PATIENCE, reactor)
    try:
        await passed
    except DeferredTimeout:
        raise GateHeld(f"{client.name} showed only {client.out!r}") from None
