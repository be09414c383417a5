"""Real clients, on every route, show each line before the next is printed."""

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import TestCase

from tests.interop.real_clients import CLIENTS, GateHeld, pass_gate, start_client
from tests.interop.routes import ROUTES, Route
from tests.support.programs import Gate, needs, script, start_daemon

#: Clients that hold lines back themselves, and how.
HOLDING = {
    "curl_without_N": (("curl", "-s"), "curl keeps what goes to a pipe; -N"),
    "httpie_without_stream": (
        (script("http"), "--ignore-stdin"),
        "HTTPie keeps what goes to a pipe; --stream",
    ),
    "chromium_address_bar_at_full_speed": (
        CLIENTS["chromium_address_bar"],
        "Chromium keeps what comes too soon until more comes: see SlowGate",
    ),
}


class SlowGate(Gate):
    """
    A gate whose command waits before each line.

    Chromium 156 holds a piece of a text document back until the next one comes, if it
    came too soon after the last one shown. How long "too soon" is doubles from piece to
    piece, from a few milliseconds up to two seconds.
    """

    @property
    def shell(self) -> str:
        return super().shell.replace("read go;", "read go; sleep 0.5;")


class StreamingTests(TestCase):
    """
    A command prints each line after the client has shown the line before.

    There is a test for each of L{CLIENTS} on each of L{ROUTES}, and for each of
    L{HOLDING}.
    """

    timeout = 60


def _streams(name: str, route: Route) -> Callable[..., Any]:
    async def test(self: StreamingTests) -> None:
        gate = (SlowGate if name == "chromium_address_bar" else Gate)(self)
        daemon = await start_daemon(self, gate.config, "--insecure")
        url = await route.open(self, daemon)
        client = start_client(self, *CLIENTS[name], url + "/stream")
        await gate.passed_by(client)
        self.assertEqual(await client.ended(), 0, client.err)
        self.assertEqual(client.out.split(), b"line 1 line 2 line 3 over".split())

    return test


def _holds(client: tuple[str, ...]) -> Callable[..., Any]:
    async def test(self: StreamingTests) -> None:
        gate = Gate(self)
        gate.LINES = 8  # after so many Chromium holds some back
        daemon = await start_daemon(self, gate.config)
        await pass_gate(gate, start_client(self, *client, daemon.url + "/stream"))

    return test


def _add(
    name: str, way: str, test: Callable[..., Any], *programs: str, **attributes: Any
) -> None:
    test.__name__ = f"test_{name}_{way}"
    test.__doc__ = f"{name} {way} shows each line at once.".replace("_", " ")
    browser = ("chromium",) if name.startswith("chromium") else ()
    attributes["skip"] = needs(*programs, *browser)
    vars(test).update(attributes)
    setattr(StreamingTests, test.__name__, test)


for name, client in CLIENTS.items():
    for way, route in ROUTES.items():
        _add(name, way, _streams(name, route), client[0], *route.needs)
for name, (client, why) in HOLDING.items():
    _add(name, "directly", _holds(client), client[0], todo=([GateHeld], why))
