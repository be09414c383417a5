"""A daemon over TLS by C{--tls} and C{[tls]}, and which clients it accepts."""

import hashlib
import os
import re
import stat
import sys
from pathlib import Path

import trustme
from twisted.trial.unittest import TestCase

from tests.end_to_end.state_daemons import StateTestCase, refusal
from tests.support.cutting_proxy import start_cutting_proxy
from tests.support.programs import (
    Daemon,
    Gate,
    Program,
    needs,
    run,
    script,
    start_daemon,
)

_ASYNCIO = """
import asyncio, sys
from shellstream.client import AsyncioWire, Client, Output, Trust, http_client

async def main(url, pin):
    policy = Trust(pin=pin).policy()
    wire = AsyncioWire(lambda reactor: http_client(reactor, policy))
    async with Client(url, wire).run() as run:
        async for event in run:
            if isinstance(event, Output):
                print(event.data.decode(), end="", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""

_TWISTED = """
import sys
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from shellstream.client import Client, Output, TreqWire, Trust, http_client

async def main(reactor, url, pin):
    wire = TreqWire(reactor, http_client(reactor, Trust(pin=pin).policy()))
    async with Client(url, wire).run() as run:
        async for event in run:
            if isinstance(event, Output):
                print(event.data.decode(), end="", flush=True)

react(lambda *args: Deferred.fromCoroutine(main(*args)), sys.argv[1:])
"""

#: More than sockets and TLS hold together, and its digest.
LINES = 400_000
WHOLE = hashlib.sha256(b"".join(b"%d\n" % k for k in range(1, LINES + 1))).hexdigest()

COUNT = f"""
[commands.count]
argv = ["seq", "1", "{LINES}"]
get = true
"""


class OwnTests(StateTestCase):
    """A self-signed certificate, and clients that pin it."""

    async def serve(self, config: str, *options: str) -> Daemon:
        """A daemon with C{--tls}, and the line that it has for other machines."""
        state = () if "--state-dir" in options else ("--state-dir", str(self.state))
        daemon = await start_daemon(self, config, "--tls", *state, *options)
        said = daemon.program.out.decode()
        match = re.search(r"type: shellstream (.+) --pin (SHA256:[0-9a-f]{64})", said)
        assert match is not None, said
        self.shown, self.pin = match.groups()
        self.assertIn(f"fingerprint {self.pin}", said)
        self.assertTrue(daemon.url.startswith("https://"))
        return daemon

    @property
    def certificate(self) -> str:
        """Return the path of the certificate."""
        return str(self.state / "tls" / "certificate.pem")

    def client(self, *words: str, **env: str) -> Program:
        return run(self, sys.executable, "-m", "shellstream.client", *words, env=env)

    async def test_made_once(self) -> None:
        """The certificate is made at the first start, private, and kept."""
        gate = Gate(self)
        daemon = await self.serve(gate.config)
        self.assertEqual(self.shown, f"{daemon.url}/stream")
        first = self.pin
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (self.state / "tls").iterdir()
        }
        self.assertEqual(modes, {"key.pem": 0o600, "certificate.pem": 0o644})
        await self.stop(daemon)
        await self.serve(gate.config)
        self.assertEqual(self.pin, first)

    async def test_in_memory(self) -> None:
        """A daemon in memory makes a new certificate at each start, and says so."""
        gate = Gate(self)
        daemon = await self.serve(gate.config, "--state-dir", ":memory:")
        self.assertIn(b"clients have to pin anew", daemon.program.out)
        first = self.pin
        await self.serve(gate.config, "--state-dir", ":memory:")
        self.assertNotEqual(self.pin, first)

    async def test_damaged(self) -> None:
        """A damaged certificate stops the daemon, since clients have pinned it."""
        await self.stop(await self.serve(Gate(self).config))
        (self.state / "tls" / "key.pem").write_bytes(b"")
        options = ("--tls", "--port", "0", "--state-dir", str(self.state))
        program = run(self, script("twistd"), "-n", "shellstream", *options)
        self.assertNotEqual(await program.ended(), 0)
        self.assertIn("key.pem: it holds no key in PEM; repair", refusal(program))

    async def test_pinned(self) -> None:
        """A client with the fingerprint, in any form, sees each line at once."""
        gate = Gate(self)
        daemon = await self.serve(gate.config)
        digits = self.pin.removeprefix("SHA256:").upper()
        pairs = ":".join(digits[at : at + 2] for at in range(0, 64, 2))
        module = ("-m", "shellstream.client")
        for words, env in (
            ((*module, f"{daemon.url}/stream", "--pin", self.pin), {}),
            ((*module, "--server", daemon.url), {"SHELLSTREAM_PIN": pairs}),
            (("-c", _ASYNCIO, daemon.url, self.pin), {}),
            (("-c", _TWISTED, daemon.url, self.pin), {}),
        ):
            client = run(self, sys.executable, *words, env=env)
            await gate.passed_by(client)
            self.assertEqual(await client.ended(), 0, client.err)

    async def test_other(self) -> None:
        """Another certificate is refused with both fingerprints, and nothing runs."""
        daemon = await self.serve(Gate(self).config)
        pin = f"SHA256:{'ab' * 32}"
        client = self.client(f"{daemon.url}/stream", "--pin", pin)
        self.assertEqual(await client.ended(), 77, client.err)
        (line,) = client.err.decode().splitlines()
        self.assertIn(f"its certificate is {self.pin}, not {pin} as pinned", line)
        client = self.client("ps", "-aq", "--server", daemon.url, "--pin", self.pin)
        self.assertEqual(await client.ended(), 0, client.err)
        self.assertEqual(client.out, b"")

    async def test_unpinned(self) -> None:
        """A client without the pin does not connect, and shows what to compare."""
        daemon = await self.serve(Gate(self).config)
        client = self.client(f"{daemon.url}/stream")
        self.assertEqual(await client.ended(), 77, client.err)
        (line,) = client.err.decode().splitlines()
        self.assertIn(f"its certificate, {self.pin}, is signed by no authority", line)
        self.assertIn("--pin", line)

    async def test_shown(self) -> None:
        """The line that the daemon shows works, where no command is the default."""
        await self.serve('[commands.ps]\nargv = ["echo", "hello"]')
        client = self.client(*self.shown.split(), "--pin", self.pin)
        self.assertEqual(await client.ended(), 0, client.err)
        self.assertEqual(client.out, b"hello\n")

    async def test_taken_up(self) -> None:
        """A stream that is cut, in its handshake or later, is resumed."""
        daemon = await self.serve(COUNT)
        proxy = await start_cutting_proxy(self, daemon, [100, 3_000, 50_000, 1_000_000])
        url = proxy.url.replace("http:", "https:")
        client = self.client("count", "--server", url, "--pin", self.pin)
        self.assertEqual(await client.ended(), 0, client.err)
        self.assertEqual(hashlib.sha256(client.out).hexdigest(), WHOLE)
        self.assertEqual(proxy.cuts, 4)

    async def test_curl(self) -> None:
        """Any client that has the certificate itself believes it, live and whole."""
        gate = Gate(self)
        daemon = await self.serve(gate.config + COUNT)
        curl = ("curl", "-sSN", "--cacert", self.certificate)
        client = run(self, *curl, f"{daemon.url}/stream")
        await gate.passed_by(client)
        self.assertEqual(await client.ended(), 0, client.err)
        client = run(self, *curl, f"https://localhost:{daemon.port}/stream/count")
        self.assertEqual(await client.ended(), 0, client.err)
        self.assertEqual(hashlib.sha256(client.out).hexdigest(), WHOLE)

    async def test_plain(self) -> None:
        """
        A request by http:// gets the advice to use https://, in curl and in our client.
        """
        daemon = await self.serve(Gate(self).config)
        url = f"http://127.0.0.1:{daemon.port}/stream"
        for client in (run(self, "curl", "-s", url), self.client(url)):
            await client.ended()
            said = client.out + client.err
            self.assertIn(b"this port speaks https", said)

    test_curl.skip = test_plain.skip = needs("curl")


class FilesTests(TestCase):
    """A certificate of the operator's, and clients that may show one."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.authority = trustme.CA()
        self.ca = self.path("ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        self.issue("server", "127.0.0.1")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def issue(self, name: str, host: str, authority: trustme.CA | None = None) -> None:
        """A certificate and its key, in NAME.pem and NAME.key."""
        issued = (authority or self.authority).issue_cert(host)
        issued.cert_chain_pems[0].write_to_path(self.path(f"{name}.pem"))
        issued.private_key_pem.write_to_path(self.path(f"{name}.key"))

    def config(self, gate: Gate, more: str = "") -> str:
        server = self.path("server")
        files = f'certificate = "{server}.pem"\nkey = "{server}.key"\n'
        return f"{gate.config}[tls]\n{files}{more}"

    def curl(self, url: str, ca: str, *options: str) -> Program:
        return run(self, "curl", "-sSN", "--cacert", ca, *options, url)

    async def test_reload(self) -> None:
        """New files are for new connections; a stream goes on with the old ones."""
        gate = Gate(self)
        daemon = await start_daemon(self, self.config(gate))
        url = f"{daemon.url}/stream"
        first = self.curl(url, self.ca)
        await first.seen(b"line 1")
        other = trustme.CA()
        other.cert_pem.write_to_path(self.path("other.pem"))
        self.issue("new", "127.0.0.1", other)
        os.replace(self.path("new.pem"), self.path("server.pem"))
        os.replace(self.path("new.key"), self.path("server.key"))
        await daemon.program.seen(b"from now on TLS with the certificate in")
        await gate.passed_by(first)
        self.assertEqual(await first.ended(), 0, first.err)
        second = self.curl(url, self.path("other.pem"))
        await gate.passed_by(second)
        self.assertEqual(await second.ended(), 0, second.err)
        third = self.curl(url, self.ca)
        self.assertEqual(await third.ended(), 60, third.err)

    async def test_versions(self) -> None:
        """TLS 1.1 is always refused, and 1.2 if C{min_version} is 1.3."""
        for more, refused, spoken in (
            ("", "-tls1_1", "-tls1_2"),
            ('minimum = "1.3"\n', "-tls1_2", "-tls1_3"),
        ):
            config = self.config(Gate(self), more)
            daemon = await start_daemon(self, config, "--state-dir", ":memory:")
            where = ("-connect", f"127.0.0.1:{daemon.port}", "-CAfile", self.ca)
            for version, code in ((refused, 1), (spoken, 0)):
                argv = ("openssl", "s_client", *where, version)
                old = ("-cipher", "ALL:@SECLEVEL=0", "-verify_return_error")
                client = run(self, *argv, *old, child_fds={0: "w", 1: "r", 2: "r"})
                client.transport.closeStdin()
                self.assertEqual(await client.ended(), code, client.err)
            client = self.curl(f"{daemon.url}/healthz", self.ca, "--http2")
            self.assertEqual(await client.ended(), 0, client.err)

    async def test_client_certificates(self) -> None:
        """Client certificates of the authority are accepted, others are not."""
        self.issue("ann", "ann@example.org")
        self.issue("eve", "eve@example.org", trustme.CA())
        for wanted, anybody in (("optional", 0), ("required", 56)):
            gate = Gate(self)
            more = f'client_ca = "{self.ca}"\nclient_certificate = "{wanted}"\n'
            config = self.config(gate, more)
            daemon = await start_daemon(self, config, "--state-dir", ":memory:")
            url = f"{daemon.url}/commands"
            for name, code in (("ann", 0), ("eve", 56)):
                files = (f"{self.path(name)}.pem", f"{self.path(name)}.key")
                shown = ("--cert", files[0], "--key", files[1])
                client = self.curl(url, self.ca, *shown)
                self.assertEqual(await client.ended(), code, client.err)
                words = ("commands", "--server", daemon.url, "--cacert", self.ca)
                program = (sys.executable, "-m", "shellstream.client", *words, *shown)
                client = run(self, *program)
                self.assertEqual(await client.ended(), 77 if code else 0, client.err)
            client = self.curl(url, self.ca)
            self.assertEqual(await client.ended(), anybody, client.err)

    async def test_unreadable(self) -> None:
        """A file that cannot be read stops the daemon, which names it."""
        os.unlink(self.path("server.key"))
        path = Path(self.path("config.toml"))
        path.write_text(self.config(Gate(self)))
        options = ("--port", "0", "--config", str(path))
        program = run(self, script("twistd"), "-n", "shellstream", *options)
        self.assertNotEqual(await program.ended(), 0)
        said = f"{self.path('server.key')}: No such file or directory"
        self.assertEqual(refusal(program), said)

    for test in (test_reload, test_client_certificates):
        test.skip = needs("curl")
    test_versions.skip = needs("openssl", "curl")
