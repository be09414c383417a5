"""The daemon behind C{ssl:}, and the client's checks of its certificate."""

import sys
from pathlib import Path

import trustme
from twisted.trial.unittest import TestCase

from tests.support.programs import Daemon, Gate, Program, needs, run, start_daemon


class TLSTests(TestCase):
    """Output streams over TLS to clients that trust the certificate."""

    timeout = 60

    async def serve(self, gate: Gate, *names: str) -> Daemon:
        """A daemon with a certificate of the test's authority for these names."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        self.authority = str(folder / "ca.pem")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        issued = authority.issue_cert(*names)
        issued.private_key_pem.write_to_path(str(folder / "key.pem"))
        issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={folder}/key.pem"
        endpoint += f":certKey={folder}/cert.pem"
        options = ("--listen", endpoint, "--state-dir", ":memory:")
        return await start_daemon(self, gate.config, *options)

    def client(self, daemon: Daemon, *options: str, **env: str) -> Program:
        """The client, at the daemon's own URL."""
        words = (f"{daemon.url}/stream", *options)
        return run(self, sys.executable, "-m", "shellstream.client", *words, env=env)

    async def test_live(self) -> None:
        """Each line arrives before the command may print the next."""
        gate = Gate(self)
        daemon = await self.serve(gate, "127.0.0.1")
        self.assertTrue(daemon.url.startswith("https://"))
        client = self.client(daemon, SSL_CERT_FILE=self.authority)
        await gate.passed_by(client)
        self.assertEqual(await client.ended(), 0)

    async def test_cacert(self) -> None:
        """An authority can be named; then no other is trusted."""
        gate = Gate(self)
        daemon = await self.serve(gate, "127.0.0.1")
        client = self.client(daemon, "--cacert", self.authority)
        await gate.passed_by(client)
        self.assertEqual(await client.ended(), 0)
        await self.serve(Gate(self), "127.0.0.1")
        client = self.client(daemon, "--cacert", self.authority)
        self.assertEqual(await client.ended(), 77, client.err)

    async def test_too_large(self) -> None:
        """A refusal reaches the client over TLS too."""
        daemon = await self.serve(Gate(self), "127.0.0.1")
        url = f"{daemon.url}/stream/gated"
        curl = ("curl", "-s", "--cacert", self.authority, "--data-binary", "@-", url)
        client = run(
            self, "/bin/sh", "-c", f"head -c 300000 /dev/zero | {' '.join(curl)}"
        )
        await client.ended()
        self.assertIn(b'"status": 413', client.out)

    test_too_large.skip = needs("curl")

    async def test_not_trusted(self) -> None:
        """A certificate of an unknown authority or another host is refused."""
        for name, trusted, why in (
            ("127.0.0.1", False, b"an authority that is not trusted here"),
            ("127.0.0.2", True, b"for another host"),
            ("other.test", True, b"for another host"),
        ):
            daemon = await self.serve(Gate(self), name)
            env = {"SSL_CERT_FILE": self.authority} if trusted else {}
            client = self.client(daemon, **env)
            self.assertEqual(await client.ended(), 77, client.err)
            self.assertEqual(len(client.err.splitlines()), 1, client.err)
            self.assertIn(b"TLS failed", client.err)
            self.assertIn(why, client.err)
