"""
The files of C{deploy/proxies}, each with its real proxy: TLS, tokens, live output.

Each test starts all proxies at once, before one daemon.
"""

import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import trustme
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from shellstream.security.authorization import EVERYTHING
from shellstream.security.tokens import create_token
from shellstream.storage.token_file import TokenFile
from tests.interop.real_clients import folder, pass_gate
from tests.support.programs import (
    Gate,
    Program,
    needs,
    run,
    socket_path,
    start_daemon,
)
from tests.support.proxies import (
    NAME,
    PROXIES,
    Place,
    Proxy,
    changed,
    free_port,
    uncommented,
)
from tests.support.tokens import unrecorded

#: An address of this machine, as that of a client that is elsewhere.
ELSEWHERE = "127.0.0.9"

#: More than fits into the buffers between a command and its viewer.
NUMBERS = b"".join(b"%d\n" % number for number in range(1, 200_001))

LONG = f'[commands.numbers]\nargv = ["seq", "{NUMBERS.count(10)}"]\n'

PROXY_IS_HERE = 'proxies = ["127.0.0.1"]\n'


class Site:
    """A proxy that runs, and a token for the daemon behind it."""

    def __init__(self, proxy: Proxy, place: Place, program: Program) -> None:
        self.proxy = proxy
        self.place = place
        self.program = program


class ProxiesTestCase(TestCase):
    """All proxies before one daemon."""

    timeout = 60
    skip = needs("curl", *(each.program for each in PROXIES))

    def setUp(self) -> None:
        self.folder = folder(self)
        authority = trustme.CA()
        self.authority = str(self.folder / "authority.pem")
        authority.cert_pem.write_to_path(self.authority)
        self.certificate = authority.issue_cert(NAME, "localhost")

    async def daemon(
        self, config: str, access: str = PROXY_IS_HERE, *options: str
    ) -> None:
        """Start the daemon, and make its token."""
        state = self.folder / "state"
        state.mkdir(mode=0o700)
        token, self.token = create_token("pi", EVERYTHING, time.time_ns() // 1000)
        TokenFile(state).change(lambda kept: {**kept, token.id: token}, unrecorded)
        given = ("--state-dir", str(state), *options)
        config += f'[access]\nhosts = ["{NAME}"]\n{access}'
        self.server = await start_daemon(self, config, *given)
        self.audit = state / "audit.jsonl"

    async def start(self, proxy: Proxy, text: str, name: str, upstream: str) -> Site:
        """Start a proxy with this text as its file, in a folder of this name."""
        place = Place(self.folder / name, self.certificate, upstream)
        return Site(proxy, place, await proxy.start(self, place, text))

    async def each(
        self,
        check: Callable[[Site], Awaitable[None]],
        change: Callable[[Proxy], str | None] = lambda proxy: proxy.text,
    ) -> None:
        """
        Start each proxy with its file as changed, L{None} to leave it out, and check it
        while the others are checked.
        """

        async def one(proxy: Proxy, text: str) -> None:
            upstream = f"127.0.0.1:{self.server.port}"
            await check(await self.start(proxy, text, proxy.name, upstream))

        texts = {proxy: change(proxy) for proxy in PROXIES}
        checks = [
            Deferred.fromCoroutine(one(proxy, text))
            for proxy, text in texts.items()
            if text is not None
        ]
        await gatherResults(checks, consumeErrors=True)

    def curl(self, site: Site, path: str, *options: str) -> Program:
        """Run curl as somebody elsewhere would, who has the name of the host."""
        port = site.place.https
        tls = ("--cacert", self.authority, "--interface", ELSEWHERE)
        resolve = ("--resolve", f"{NAME}:{port}:127.0.0.1")
        url = f"https://{NAME}:{port}{path}"
        return run(self, "curl", "-sSN", *tls, *resolve, *options, url)

    async def got(self, site: Site, path: str, *options: str) -> str:
        """The status and the body of a response."""
        client = self.curl(site, path, "-w", "\n%{http_code}", *options)
        self.assertEqual(await client.ended(), 0, (site.proxy.name, client.err))
        return client.out.decode()

    def client(self, site: Site, *words: str) -> Program:
        """Run our client, which tells of cuts."""
        env = {
            "SHELLSTREAM_URL": site.place.url,
            "SHELLSTREAM_TOKEN": self.token,
            "SSL_CERT_FILE": self.authority,
        }
        asked = (sys.executable, "-m", "shellstream.client", *words)
        return run(self, *asked, env=env)

    def assert_from_elsewhere(self, count: int) -> None:
        """Check that so many runs were started, and from where and by whom."""
        lines = self.audit.read_text().splitlines()
        starts = [each for each in map(json.loads, lines) if each["what"] == "start"]
        who = [(each["from"], each["who"]) for each in starts]
        self.assertEqual(who, [(ELSEWHERE, "pi")] * count)

    @property
    def auth(self) -> tuple[str, str]:
        return ("-u", f":{self.token}")


class ShippedTests(ProxiesTestCase):
    """The files as they are."""

    async def test_first(self) -> None:
        """
        Who follows a file has a first request that works, is asked for a token, and
        sees all output, each line before the next is written.
        """
        gates = {proxy.name: Gate(self) for proxy in PROXIES}
        gated = "".join(
            f'[commands.gate-{name}]\nshell = """{gate.shell}"""\n'
            for name, gate in gates.items()
        )
        await self.daemon(LONG + gated)
        forged = ("-H", "X-Forwarded-For: 192.0.2.1", "-H", "Forwarded: for=192.0.2.2")

        async def check(site: Site) -> None:
            name = site.proxy.name
            refused = await self.got(site, "/runs", *forged)
            self.assertTrue(refused.endswith("\n401"), (name, refused))
            posted = ("-d", "", *self.auth, *forged)
            client = self.curl(site, f"/stream/gate-{name}", *posted)
            await pass_gate(gates[name], client)
            self.assertEqual(await client.ended(), 0, name)
            client = self.curl(site, "/stream/numbers", *posted)
            self.assertEqual(await client.ended(), 0, name)
            self.assertEqual(client.out, NUMBERS, name)

        await self.each(check)
        self.assert_from_elsewhere(2 * len(PROXIES))

    async def test_restart(self) -> None:
        """A client goes on where it was when its proxy was killed and is back."""
        gates = {proxy.name: Gate(self) for proxy in PROXIES}
        half = NUMBERS.count(10) // 2
        await self.daemon(
            "".join(
                f'[commands.half-{name}]\nshell = """seq {half}; read go < '
                f'\'{gate.path}\'; seq {half + 1} {2 * half}"""\n'
                for name, gate in gates.items()
            )
        )

        async def check(site: Site) -> None:
            name = site.proxy.name
            client = self.client(site, "-v", f"half-{name}")
            await client.seen(b"\n%d\n" % half)
            # Caddy would wait for its clients. Others have processes of their own.
            site.program.signal("KILL" if name == "caddy" else "TERM")
            await site.program.ended()
            await client.seen(b"reconnecting")
            await site.proxy.start(self, site.place, site.proxy.text)
            gates[name].let_through()
            self.assertEqual(await client.ended(), 0, (name, client.err))
            self.assertEqual(client.out, NUMBERS, name)

        await self.each(check)

    async def test_cut(self) -> None:
        """Output that is cut because the daemon is killed does not look whole."""
        await self.daemon("[commands.cut]\nshell = 'echo begun; sleep 600'\n")
        begun = []
        # Caddy 2.6 ends every answer properly.
        proxies = [proxy for proxy in PROXIES if proxy.name != "caddy"]

        async def check(site: Site) -> None:
            client = self.curl(site, "/stream/cut", "-d", "", *self.auth)
            await client.seen(b"begun")
            begun.append(site)
            if len(begun) == len(proxies):
                self.server.program.signal("KILL")
            self.assertNotEqual(await client.ended(), 0, site.proxy.name)

        texts = {proxy: proxy.text for proxy in proxies}
        await self.each(check, texts.get)

    async def test_doctor(self) -> None:
        """The doctor finds each of them live."""
        await self.daemon(LONG)
        sites: list[Site] = []

        async def begun(site: Site) -> None:
            sites.append(site)

        await self.each(begun)
        vias = [word for site in sites for word in ("--via", site.place.url)]
        file = self.folder / "token"
        file.touch(mode=0o600)
        file.write_text(self.token)
        options = ("--token-file", str(file), "--seconds", "1", "--json")
        words = ("doctor", self.server.url, *vias, *options)
        client = self.client(sites[0], *words)
        self.assertEqual(await client.ended(), 0, client.out + client.err)
        report = json.loads(client.out)
        self.assertEqual((report["clean"], report["findings"]), (True, []))
        self.assertEqual(len(report["examined"]), 1 + len(PROXIES))


class ChangedTests(ProxiesTestCase):
    """The files with the changes that their comments name."""

    async def test_prefix(self) -> None:
        """Below a prefix the page asks for the token, is whole, and is live."""
        await self.daemon(LONG)

        async def check(site: Site) -> None:
            name = site.proxy.name
            browser = ("-H", "Accept: text/html")
            page = await self.got(site, "/shell/", *browser)
            self.assertTrue(page.endswith("\n401"), (name, page))
            jar = str(site.place.folder / "cookies")
            origin = ("-H", f"Origin: https://{NAME}:{site.place.https}")
            form = ("-c", jar, "-d", f"token={self.token}", "-d", "next=/", "-L")
            page = await self.got(site, "/shell/login", *browser, *origin, *form)
            self.assertTrue(page.endswith("\n200"), (name, page))
            cookies = Path(jar).read_text()
            self.assertIn("TRUE\t0\tshellstream_", cookies)  # Secure, and a session's
            again = await self.got(site, "/shell/", "-b", jar, *browser)
            assets = re.findall(r'(?:src|href)="(assets/[^"]+)"', again)
            self.assertGreater(len(assets), 2, name)
            paths = ",".join(sorted({*assets}))
            head = ("-I", "-o", os.devnull, "-w", "%{http_code} ")
            found = self.curl(site, f"/shell/{{{paths}}}", *head)
            await found.ended()
            self.assertEqual(found.out, b"200 " * len({*assets}), name)
            events = self.curl(site, "/shell/events", "-b", jar)
            await events.seen(b"retry")
            await self.got(site, "/shell/stream/numbers", "-d", "", *self.auth)
            await events.seen(b'"state": "exited"')
            events.signal("TERM")

        await self.each(check, lambda proxy: changed(proxy.text, proxy.prefix))

    async def test_silence(self) -> None:
        """
        The settings that keep a silent stream are those of the file: with a second in
        place of a day the proxy cuts it, and the client goes on.
        """
        gates = {proxy.name: Gate(self) for proxy in PROXIES}
        await self.daemon(
            "".join(
                f'[commands.silent-{name}]\nshell = """echo begun; read go < '
                f'\'{gate.path}\'; echo over"""\n'
                for name, gate in gates.items()
            )
        )

        async def check(site: Site) -> None:
            name = site.proxy.name
            client = self.client(site, "-v", f"silent-{name}")
            await client.seen(b"reconnecting")
            gates[name].let_through()
            self.assertEqual(await client.ended(), 0, (name, client.err))
            self.assertEqual(client.out, b"begun\nover\n", name)

        def low(proxy: Proxy) -> str | None:
            return changed(proxy.text, proxy.silence) if proxy.silence else None

        await self.each(check, low)

    async def test_users(self) -> None:
        """With users of the proxy, it names them, and no client names another."""
        await self.name_users("X-Remote-User", {"nginx", "haproxy", "caddy", "apache2"})

    async def test_users_forwarded(self) -> None:
        """lighttpd does it in C{Forwarded}."""
        await self.name_users("Forwarded", {"lighttpd"})

    async def name_users(self, header: str, names: set[str]) -> None:
        principal = "[principals.alice]\n"
        await self.daemon(LONG, f'{PROXY_IS_HERE}user_header = "{header}"\n{principal}')
        passwords = self.folder / "passwords"
        passwords.write_text(f"alice:{APR1}\n")

        def with_users(proxy: Proxy) -> str | None:
            text = uncommented(proxy.text, *proxy.users)
            text = re.sub(r"/etc/\w+/shellstream.htpasswd", str(passwords), text)
            text = text.replace("$5$…", SHA256).replace("alice HASH", f"alice {BCRYPT}")
            return text if proxy.name in names else None

        async def check(site: Site) -> None:
            name = site.proxy.name
            forged = (
                *("-H", "X-Remote-User: bob"),
                *("-H", 'Forwarded: for=192.0.2.1;remote_user="bob"'),
            )
            for credential in self.auth, ("-u", "alice:wrong"), ():
                refused = await self.got(site, "/runs", *credential, *forged)
                self.assertTrue(refused.endswith("\n401"), (name, refused))
            posted = ("-H", "Content-Type: application/json", "-d", RUN_NUMBERS)
            user = ("-u", "alice:secret", *forged)
            made = await self.got(site, "/runs", *user, *posted)
            self.assertTrue(made.endswith("\n201"), (name, made))
            self.assertIn('"principal": "alice"', made, name)

        await self.each(check, with_users)

    async def test_other_ways(self) -> None:
        """
        HAProxy names the client in a PROXY header, of either version, where the daemon
        expects one; nginx comes by a UNIX socket, and is known by its account.
        """
        path = socket_path(self)
        port = free_port()
        access = f'proxies = ["127.0.0.1", "unix:{os.getuid()}"]\n'
        listen = (
            *("--listen", "tcp:0:interface=127.0.0.1", "--listen", f"unix:{path}"),
            *("--listen", f"haproxy:tcp:{port}:interface=127.0.0.1"),
        )
        await self.daemon(LONG, access, *listen)
        nginx, haproxy, *_ = PROXIES
        server = "server local 127.0.0.1:8000"
        named = "    http-request set-header X-Forwarded-For %[src]\n"
        without = changed(haproxy.text, {named: ""})
        ways = {
            "first": (haproxy, f"{server} send-proxy", f"127.0.0.1:{port}"),
            "second": (haproxy, f"{server} send-proxy-v2", f"127.0.0.1:{port}"),
            "socket": (nginx, "", f"unix:{path}:"),
        }

        async def asked(name: str, proxy: Proxy, line: str, upstream: str) -> None:
            text = changed(without, {server: line}) if line else proxy.text
            site = await self.start(proxy, text, name, upstream)
            got = await self.got(site, "/stream/numbers", "-d", "", *self.auth)
            self.assertTrue(got.endswith("\n200"), (name, got[:200]))

        asking = (asked(name, *way) for name, way in ways.items())
        await gatherResults(map(Deferred.fromCoroutine, asking), consumeErrors=True)
        self.assert_from_elsewhere(3)


#: The password of alice, "secret", as htpasswd and openssl passwd write it.
APR1 = "$apr1$itQdzdV1$deS.O5Y0QyyOFHyBVCI6Z."
SHA256 = "$5$G8pcDmurNd8qYKmN$BD7d3/zs3ZVgele.m2.iaoFs55IB/9i3ftWHyWf/vn8"
BCRYPT = "$2y$04$VAgXZEgbwwh14XG2siG.Be11Z4fAIVtcyi8dT.jXydyWSrla9Dhdi"

RUN_NUMBERS = '{"command": "numbers"}'
