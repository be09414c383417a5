"""The clients that nobody here wrote."""

import sys

from twisted.trial.unittest import TestCase

from tests.support.programs import ROOT, Program, run, script

SERVER = ROOT / "tests" / "interop" / "bottle_server.py"


async def bottle(test: TestCase, shell: str) -> tuple[Program, str]:
    """Start the server of then; gives the URL of its stream, too."""
    server = run(test, sys.executable, str(SERVER), shell)
    await server.seen(b"\n")
    return server, server.out.decode().strip() + "/stream"


SCRIPTS = ROOT / "tests" / "interop" / "clients"


def python(name: str, *options: str) -> tuple[str, ...]:
    return sys.executable, str(SCRIPTS / name), *options


#: What somebody would type; the URL comes last.
CLIENTS = {
    "curl": ("curl", "-sN"),
    # It would run the command once more if its connection broke.
    "wget": ("wget", "-qO-", "--tries=1"),
    "httpie": (script("http"), "--ignore-stdin", "--stream"),
    "requests_iter_lines": python("requests_iter_lines.py"),
    "requests_iter_content": python("requests_iter_content.py"),
    "urllib_read1": python("urllib_read1.py"),
    "urllib_lines": python("urllib_lines.py"),
    "httpx_iter_text": python("httpx_iter_text.py"),
    "httpx_iter_raw": python("httpx_iter_raw.py"),
    "aiohttp": python("aiohttp_iter_any.py"),
    "node_fetch": ("node", str(SCRIPTS / "fetch.mjs")),
    "chromium_address_bar": python("chromium.py", "address-bar"),
    "chromium_fetch": python("chromium.py", "fetch"),
    "shellstream": (sys.executable, "-m", "shellstream.client"),
}
