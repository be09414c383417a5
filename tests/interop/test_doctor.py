"""
C{shellstream doctor} finds delays at real proxies and servers. These tests measure
nothing themselves; they read the report.
"""

import json
import sys
from typing import Any

import trustme
from twisted.trial.unittest import TestCase

from tests.interop.real_clients import folder, start_bottle
from tests.interop.routes import (
    BARE_SITE,
    haproxy_config,
    haproxy_with,
    nginx_with,
)
from tests.interop.timed_proxy import start_delaying_proxy, start_timed_proxy
from tests.support.programs import Lifeline, needs, run, start_daemon
from tests.support.proxies import free_port

#: A location that keeps output until it ends, whatever the server says.
BUFFERING = BARE_SITE.replace(
    "proxy_pass", "proxy_ignore_headers X-Accel-Buffering; proxy_pass"
)
#: One that compresses it.
ZIPPING = BARE_SITE.replace(
    "proxy_pass",
    "proxy_http_version 1.1; gzip_types text/plain; gzip_min_length 1; proxy_pass",
)

Report = Any


class DoctorTestCase(TestCase):
    """Runs the doctor."""

    timeout = 60

    async def examine(
        self, *argv: str, code: int, env: dict[str, str] = {}, seconds: str = "1"
    ) -> Report:
        """The report; C{code} is the expected exit code."""
        asked = (sys.executable, "-m", "shellstream.client", "doctor")
        options = ("--json", "--seconds", seconds)
        doctor = run(self, *asked, *options, *argv, env=env)
        status = await doctor.ended()
        self.assertEqual(status, code, doctor.out + doctor.err)
        self.assertEqual(doctor.err, b"")
        return json.loads(doctor.out)

    def named(self, report: Report) -> list[tuple[str, str]]:
        """The kinds of the findings, and where."""
        return [
            (each["kind"], each["where"].removesuffix("/doctor"))
            for each in report["findings"]
        ]


class ProxyTests(DoctorTestCase):
    """A shellstream server behind proxies; L{test_proxies} has those with our files."""

    async def test_proxies(self) -> None:
        """HAProxy with its defaults, an nginx that compresses, one that keeps all."""
        daemon = await start_daemon(self, None, "--insecure")
        config = haproxy_config().replace("    option http-no-delay\n", "")
        late = await haproxy_with(self, daemon, config)
        zipping = await nginx_with(self, daemon, ZIPPING)
        keeping = await nginx_with(self, daemon, BUFFERING)
        vias = (word for way in (late, zipping, keeping) for word in ("--via", way))
        report = await self.examine(daemon.url, *vias, code=1)
        expected = [
            ("late", late),
            ("compressed", zipping),
            ("no-chunks-behind", keeping),
            ("at-the-end", keeping),
        ]
        self.assertEqual(self.named(report), expected)
        cures = [" ".join(each["cure"]) for each in report["findings"]]
        for cure, line in zip(
            cures,
            (
                "option http-no-delay",
                "gzip off;",
                "proxy_http_version 1.1;",
                "proxy_buffering off;",
            ),
            strict=True,
        ):
            self.assertIn(line, cure)

    test_proxies.skip = needs("haproxy", "nginx")

    async def test_constant(self) -> None:
        """A proxy that delays all that a server sends by the same time."""
        daemon = await start_daemon(self)
        proxy = start_delaying_proxy(self, daemon, 0.5)
        for words in ((daemon.url, "--via", proxy), (proxy,)):
            report = await self.examine(*words, code=1)
            self.assertEqual(self.named(report), [("late", proxy)])

    async def test_cuts(self) -> None:
        """Proxies that cut silent streams, or, as Envoy does, all after a time."""
        daemon = await start_daemon(self)
        idle = start_timed_proxy(self, daemon, 2.0, idle=True)
        whole = start_timed_proxy(self, daemon, 3.0)
        vias = ("--via", idle, "--via", whole)
        report = await self.examine(daemon.url, *vias, "--idle", "3", code=1)
        expected = [("cut-when-idle", idle), ("cut", whole)]
        self.assertEqual(self.named(report), expected)

    async def test_tls(self) -> None:
        """A certificate of another, untrusted issuer is found."""
        where = folder(self)
        listen = []
        for name in ("real", "corporate"):
            authority = trustme.CA(organization_name=name)
            authority.cert_pem.write_to_path(str(where / f"{name}.pem"))
            issued = authority.issue_cert("127.0.0.1")
            issued.private_key_pem.write_to_path(str(where / f"{name}.key"))
            issued.cert_chain_pems[0].write_to_path(str(where / f"{name}.crt"))
            keys = f"privateKey={where}/{name}.key:certKey={where}/{name}.crt"
            listen += ["--listen", f"ssl:0:interface=127.0.0.1:{keys}"]
        daemons = [await start_daemon(self, None, *listen[n : n + 2]) for n in (0, 2)]
        urls = [each.url for each in daemons]
        env = {"SSL_CERT_FILE": str(where / "real.pem")}
        report = await self.examine(urls[0], "--via", urls[1], code=1, env=env)
        expected = [("tls-untrusted", urls[1]), ("tls-replaced", urls[1])]
        self.assertEqual(self.named(report), expected)
        self.assertIn("corporate", report["findings"][0]["seen"])
        self.assertIn("real", report["findings"][1]["seen"])


class ForeignTests(DoctorTestCase):
    """Servers of other projects."""

    async def test_bottle(self) -> None:
        """Bottle's server is named, with its HTTP/1.0."""
        shell = "for k in 1 2 3; do echo $k; sleep 0.3; done"
        _, url = await start_bottle(self, shell)
        report = await self.examine(url, code=1, seconds="5")
        self.assertEqual(self.named(report), [("no-chunks", url)])
        (finding,) = report["findings"]
        self.assertIn("Bottle", finding["what"])
        self.assertIn("512", finding["what"])
        self.assertIn("HTTP/1.0", finding["seen"])
        self.assertIn("poll()", " ".join(report["notes"]))

    async def test_nobody(self) -> None:
        """A closed port and a missing program cannot be examined."""
        free = f"http://127.0.0.1:{free_port()}"
        refused = f"{free}: connection refused; start a daemon here: ".encode()
        for words, code, said in (
            ([free], 69, refused),
            ([f"{free}/stream"], 69, refused),
            (["--", "no-such-program"], 66, b"there is no such program"),
        ):
            doctor = (sys.executable, "-m", "shellstream.client", "doctor")
            client = run(self, *doctor, *words)
            self.assertEqual(await client.ended(), code)
            self.assertIn(said, client.err)
            self.assertEqual(len(client.err.splitlines()), 1)

    async def test_not_ours(self) -> None:
        """A 404 is no finding: it cannot be examined."""
        _, url = await start_bottle(self, "true")
        doctor = (sys.executable, "-m", "shellstream.client", "doctor")
        client = run(self, *doctor, url.removesuffix("/stream"))
        self.assertEqual(await client.ended(), 65)
        self.assertIn(b"the answer is 404", client.err)


class CommandTests(DoctorTestCase):
    """Commands on this machine."""

    async def test_cured(self) -> None:
        """A Python program holds its output back on a pipe; a variable cures it."""
        script = "import time\nfor k in range(3): print(k); time.sleep(0.3)"
        argv = ("--", sys.executable, "-c", script)
        env = {"PYTHONUNBUFFERED": ""}
        report = await self.examine(*argv, code=1, env=env, seconds="9")
        (finding,) = report["findings"]
        self.assertEqual(finding["kind"], "command-buffers")
        self.assertIn("PYTHONUNBUFFERED cures it", finding["seen"])
        self.assertIn('unbuffer = "auto"', finding["cure"])

    async def test_pipeline(self) -> None:
        """The stage that holds back is named, where a terminal makes no difference."""
        shell = "for k in 1 2 3 4; do echo $k; sleep 0.4; done | tr 1 2 | cat"
        argv = ("--", "sh", "-c", shell)
        report = await self.examine(*argv, code=1, seconds="9")
        (finding,) = report["findings"]
        self.assertIn("tr, which sh starts, holds output back", finding["what"])
        self.assertIn("stdbuf cures it", finding["seen"])

    async def test_clean(self) -> None:
        """The shell's echo writes at once."""
        shell = "for k in 1 2 3; do echo $k; sleep 0.3; done"
        report = await self.examine("--", "sh", "-c", shell, code=0, seconds="9")
        self.assertEqual([each["goes"] for each in report["examined"]], [3, 3])

    async def test_left(self) -> None:
        """A doctor that gets TERM ends the command, with all its processes."""
        line = Lifeline(self)
        shell = f"exec 3> '{line.path}'; sleep 600 & trap '' TERM; "
        shell += "echo here >&3; sleep 600"
        doctor = (sys.executable, "-m", "shellstream.client", "doctor")
        client = run(self, *doctor, "--seconds", "600", "--", "sh", "-c", shell)
        await line.spoken()
        client.signal("TERM")
        self.assertEqual(await client.ended(), 143)
        await line.cut()
