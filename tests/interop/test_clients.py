"""Real clients, by every way, see each line before the next one is made."""

import sys
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import TestCase

from tests.support import ROOT, Gate, needs, run, script, start_daemon

from .routes import ROUTES, Route, folder

SCRIPTS = ROOT / "tests" / "interop" / "clients"


def python(name: str, *options: str) -> tuple[str, ...]:
    return sys.executable, str(SCRIPTS / name), *options


#: What somebody would type; the URL comes last.
CLIENTS = {
    "curl": ("curl", "-sN"),
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


class StreamingTests(TestCase):
    """
    The gate: a line is printed once the one before it was seen at the client.

    The tests are those of L{CLIENTS} by L{ROUTES}.
    """

    timeout = 20


def _passes(client: tuple[str, ...], route: Route) -> Callable[..., Any]:
    async def test(self: TestCase) -> None:
        gate = Gate(self)
        daemon = await start_daemon(self, gate.config)
        url = await route.open(self, daemon)
        # HTTPie would leave a process behind that asks for a newer version.
        home = folder(self)
        (home / "config.json").write_text('{"disable_update_warnings": true}')
        env = {"HTTPIE_CONFIG_DIR": str(home)}
        program = run(self, *client, url + "/stream", env=env)
        await gate.passed_by(program)
        self.assertEqual(await program.ended(), 0, program.err)
        self.assertEqual(
            program.out.split(), b"line 1 line 2 line 3 over".split(), program.err
        )

    return test


for name, client in CLIENTS.items():
    for way, route in ROUTES.items():
        test = _passes(client, route)
        test.__name__ = f"test_{name}_{way}"
        test.__doc__ = f"{name} {way} shows each line at once.".replace("_", " ")
        browser = ("chromium",) if name.startswith("chromium") else ()
        if missing := needs(client[0], *browser, *route.needs):
            test.skip = missing
        setattr(StreamingTests, test.__name__, test)
