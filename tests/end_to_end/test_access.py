"""Access to a real daemon: which credentials let a client in, and for how long."""

import json
import sys
from pathlib import Path

import trustme

from tests.support.programs import Gate, Program, needs, run, script, start_daemon
from tests.support.token_daemons import TokensTestCase

CONFIG = """
default = "hold"
[commands.hold]
shell = "echo here; exec sleep 1000"
get = true
on_disconnect = "keep"
"""


class AccessTests(TokensTestCase):
    """Credentials of all kinds."""

    skip = needs("curl")

    def curl(self, *argv: str) -> Program:
        return run(self, "curl", "-sN", *argv)

    async def principal(self, *argv: str) -> str | int:
        """Start a run; returns its owner, or the refusal."""
        client = self.curl(*argv, "--json", "{}")
        self.assertEqual(await client.ended(), 0, client.err)
        answer = json.loads(client.out)
        found: str | int = answer.get("principal") or answer["status"]
        return found

    async def test_revoked(self) -> None:
        """Streams that a token has opened are cut when it is revoked."""
        revoked, kept = await self.make("pi"), await self.make("tv")
        daemon = await start_daemon(self, CONFIG, "--state-dir", str(self.state))
        clients = []
        for form in ("plain", "sse", "ndjson", "frames"):
            url = f"{daemon.url}/stream?format={form}"
            clients.append(self.curl(url, "-u", f":{revoked}"))
        clients.append(self.curl(f"{daemon.url}/events", "-u", f":{revoked}"))
        other = self.curl(f"{daemon.url}/stream", "-u", f":{kept}")
        env = {"SHELLSTREAM_URL": daemon.url, "SHELLSTREAM_TOKEN": revoked}
        ours = run(self, script("shellstream"), "hold", env=env)
        for each in (*clients[:4], other, ours):
            await each.seen(b"here")
        await clients[4].seen(b"retry:")
        await self.tool("revoke", "pi")
        for each in clients:
            self.assertIn(await each.ended(), (18, 56))  # cut short, or reset
        self.assertEqual(await ours.ended(), 65)
        self.assertIn(b"this token is unknown, revoked or expired", ours.err)
        self.assertIsNone(other.status)

    async def test_certificate(self) -> None:
        """A known client certificate needs no token beside it."""
        ca = trustme.CA()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        ca.cert_pem.write_to_path(f"{folder}/ca.pem")
        server = ca.issue_cert("localhost")
        server.private_key_pem.write_to_path(f"{folder}/server.key")
        server.cert_chain_pems[0].write_to_path(f"{folder}/server.pem")
        for name in ("ann", "eve"):
            issued = ca.issue_cert(f"{name}@example.org")
            pem = issued.private_key_and_cert_chain_pem
            pem.write_to_path(f"{folder}/{name}.pem")
        tls = (
            f'[tls]\ncertificate = "{folder}/server.pem"\nkey = "{folder}/server.key"\n'
            f'client_ca = "{folder}/ca.pem"\n'
            '[principals.ann]\ncertificates = ["email:ann@example.org"]\n'
        )
        daemon = await start_daemon(self, CONFIG + tls)
        url = f"https://localhost:{daemon.port}/runs"
        trusting = ("--cacert", f"{folder}/ca.pem", url)
        for name, found in (("ann", "ann"), ("eve", 401)):
            shown = ("--cert", f"{folder}/{name}.pem")
            self.assertEqual(await self.principal(*shown, *trusting), found)
            asked = (*shown, "--cacert", f"{folder}/ca.pem")
            where = ("ps", "--server", f"https://localhost:{daemon.port}")
            program = (sys.executable, "-m", "shellstream.client", *where, *asked)
            client = run(self, *program)
            self.assertEqual(await client.ended(), 0 if found == name else 65)
        self.assertEqual(await self.principal(*trusting), 401)

    async def test_proxy(self) -> None:
        """A header names the user only if a listed proxy sends it."""
        access = (
            '[access]\nproxies = ["127.0.0.1"]\nuser_header = "X-User"\n'
            '[principals.ann]\n[principals."*"]\nactions = ["read"]\n'
        )
        daemon = await start_daemon(self, CONFIG + access)
        url = f"{daemon.url}/runs"
        self.assertEqual(await self.principal("-H", "X-User: ann", url), "ann")
        self.assertEqual(await self.principal("-H", "X-User: bob", url), 403)
        self.assertEqual(await self.principal(url), 401)
        twice = ("-H", "X-User: bob", "-H", "X-User: ann", url)
        self.assertEqual(await self.principal(*twice), 401)
        elsewhere = ("--interface", "127.0.0.2", "-H", "X-User: ann", url)
        self.assertEqual(await self.principal(*elsewhere), 401)

    async def test_names(self) -> None:
        """On loopback, too, another name is refused; one of hosts needs a token."""
        gate = Gate(self)
        daemon = await start_daemon(
            self, gate.config + '[access]\nhosts = ["ci.example.org"]\n'
        )
        for host, found in (
            ("evil.example", 421),
            (f"evil.example:{daemon.port}", 421),
            ("0.0.0.0", 421),
            ("ci.example.org", 401),
            ("[::1]:1", "anonymous"),
        ):
            asked = ("-H", f"Host: {host}", f"{daemon.url}/runs")
            self.assertEqual(await self.principal(*asked), found, host)
