"""A proxy must pass on ends, cuts, departures and connections, besides output."""

import os
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import TestCase

from tests.interop.real_clients import GateHeld, pass_gate
from tests.interop.routes import BARE_SITE, ROUTES, nginx_with
from tests.support.programs import (
    Daemon,
    Gate,
    Lifeline,
    Program,
    needs,
    run,
    start_daemon,
)

CUT = 18  #: curl's exit status for a response that was cut.

SEVEN = "echo over; exit 7"


def config(shell: str) -> str:
    """A configuration whose default command is this script."""
    return f'default = "it"\n[commands.it]\nshell = """{shell}"""\n'


class CutHidden(Exception):
    """A client took a cut output for the whole."""


class TrailersDropped(Exception):
    """A response came whole, but without its trailers."""


class RouteTests(TestCase):
    """C{curl} on each of L{ROUTES}; the tests are added below."""

    timeout = 60

    async def open(self, way: str, config: str) -> tuple[Daemon, str]:
        """A daemon, and the URL of its default command on this route."""
        daemon = await start_daemon(self, config, "--insecure")
        return daemon, await ROUTES[way].open(self, daemon) + "/stream"

    async def curl(self, *options: str) -> Program:
        """Run curl to its end."""
        client = run(self, "curl", *options)
        await client.ended()
        return client


async def _cut(self: RouteTests, way: str) -> None:
    """{way}, output that is cut because the daemon is killed does not look whole."""
    gate = Gate(self)
    daemon, url = await self.open(way, gate.config)
    client = run(self, "curl", "-sN", url)
    await client.seen(b"line 1")
    os.kill(daemon.pid, 9)
    if await client.ended() == 0:
        raise CutHidden(client.out)
    self.assertEqual(client.status, CUT)


async def _left(self: RouteTests, way: str) -> None:
    """{way}, a silent command ends when its viewer leaves."""
    line = Lifeline(self)
    shell = f"exec 3> '{line.path}'; echo here; exec sleep 600"
    _, url = await self.open(way, config(shell))
    client = run(self, "curl", "-sN", url)
    await client.seen(b"here")
    client.signal("KILL")
    await line.cut()


async def _trailers(self: RouteTests, way: str) -> None:
    """{way}, curl shows the exit code that follows the output."""
    gate = Gate(self)
    _, url = await self.open(way, config(f"echo over; read go < '{gate.path}'; exit 7"))
    client = run(self, "curl", "-siN", url)
    await client.seen(b"over")  # of a run that has ended, headers say how
    gate.let_through()
    self.assertEqual(await client.ended(), 0)
    _, _, rest = client.out.lower().partition(b"\r\n\r\n")
    body, *trailers = rest.splitlines()
    self.assertEqual(body, b"over")
    if not trailers:
        raise TrailersDropped
    expected = [b"shellstream-exit-code: 7", b"shellstream-state: exited"]
    self.assertEqual(sorted(trailers), expected)


async def _connection(self: RouteTests, way: str) -> None:
    """{way}, the connection that a stream came by serves the next request."""
    _, url = await self.open(way, config(SEVEN))
    client = await self.curl("-s", "-w", " %{http_code} %{num_connects}\n", url, url)
    self.assertEqual(client.out, b"over\n 200 1\nover\n 200 0\n")


async def _head(self: RouteTests, way: str) -> None:
    """{way}, HEAD answers at once and starts nothing."""
    gate = Gate(self)
    _, url = await self.open(way, gate.config)
    head = await self.curl("-sI", url)
    self.assertEqual(head.status, 0)
    self.assertIn(b"\r\ncontent-type: text/plain; charset=utf-8\r\n", head.out.lower())
    self.assertNotIn(b"shellstream-run", head.out.lower())
    # A second command at the gate would take the lines meant for this one.
    await gate.passed_by(run(self, "curl", "-sN", url))


async def _old(self: RouteTests, way: str) -> None:
    """{way}, an HTTP/1.0 client sees each line at once, and the end as a close."""
    gate = Gate(self)
    _, url = await self.open(way, gate.config)
    client = run(self, "curl", "-siN", "--http1.0", url)
    await gate.passed_by(client)
    self.assertEqual(await client.ended(), 0)
    headers, _, body = client.out.partition(b"\r\n\r\n")
    self.assertNotIn(b"transfer-encoding", headers.lower())
    self.assertEqual(body, b"line 1\nline 2\nline 3\nover\n")


#: What is known to fail: the exception that is raised, and the cause.
KNOWN = {
    ("_cut", "through_bare_nginx"): (
        [CutHidden],
        "nginx asks in HTTP/1.0, where the end of the connection is the end",
    ),
    ("_cut", "through_caddy"): ([CutHidden], "Caddy 2.6 ends a cut answer properly"),
    ("_trailers", "through_bare_nginx"): (
        [TrailersDropped],
        "nginx asks in HTTP/1.0, which has none",
    ),
    ("_trailers", "through_nginx"): ([TrailersDropped], "nginx 1.22 drops them"),
}


def _by(check: Callable[..., Any], way: str) -> Callable[..., Any]:
    async def test(self: RouteTests) -> None:
        await check(self, way)

    return test


for check in (_cut, _left, _trailers, _connection, _head, _old):
    for way, route in ROUTES.items():
        test = _by(check, way)
        test.__name__ = f"test{check.__name__}_{way}"
        test.__doc__ = (check.__doc__ or "").format(
            way=way.replace("_", " ").capitalize()
        )
        if known := KNOWN.get((check.__name__, way)):
            test.todo = known
        test.skip = needs("curl", *route.needs)
        setattr(RouteTests, test.__name__, test)


class ControlTests(TestCase):
    """The tests notice a proxy that holds output back."""

    timeout = 60
    skip = needs("curl", "nginx")

    async def test_nginx_without_the_header(self) -> None:
        """nginx holds lines back if C{X-Accel-Buffering} does not reach it."""
        deaf = "{ proxy_ignore_headers X-Accel-Buffering; "
        site = BARE_SITE.replace("{ proxy_pass", f"{deaf}proxy_pass")
        gate = Gate(self)
        daemon = await start_daemon(self, gate.config, "--insecure")
        url = await nginx_with(self, daemon, site)
        with self.assertRaises(GateHeld):
            await pass_gate(gate, run(self, "curl", "-sN", url + "/stream"))
