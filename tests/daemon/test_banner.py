"""Tests for L{shellstream.daemon.banner}: the operator's text at the start."""

import os
import socket
from ipaddress import ip_network
from typing import Any

from attrs import evolve
from ifaddr import IP, Adapter
from twisted.application.service import IService
from twisted.internet.address import (
    HostnameAddress,
    IPv4Address,
    IPv6Address,
    UNIXAddress,
)
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from shellstream.config.live import LiveConfig
from shellstream.config.loader import Config
from shellstream.daemon import listen_address
from shellstream.daemon.auth_policy import AuthPolicy
from shellstream.daemon.banner import (
    StartupBanner,
    StartupTerminal,
    banner,
    command_to_name,
    first_token_text,
)
from shellstream.daemon.listen_address import ListenAddress, own_names
from shellstream.daemon.service import Daemon
from shellstream.storage.token_store import TokenStore
from tests.support.fakes import SAY
from tests.support.registries import CONFIG

HERE = IPv4Address("TCP", "127.0.0.1", 8000)
WIDE = IPv4Address("TCP", "192.0.2.7", 8000)
TOKEN = "shs_0123abcd_" + "5e" * 32


class ListenAddressTests(SynchronousTestCase):
    """The listen address decides whether other machines can connect."""

    def test_wide(self) -> None:
        """All but loopback and UNIX sockets are exposed; so are unknown kinds."""
        for address, exposed in (
            (HERE, False),
            (IPv4Address("TCP", "127.9.9.9", 1), False),
            (IPv6Address("TCP", "::1", 1), False),
            (UNIXAddress("/run/x.sock"), False),
            (UNIXAddress(None), False),
            (WIDE, True),
            (IPv4Address("TCP", "0.0.0.0", 1), True),
            (IPv6Address("TCP", "::", 1), True),
            (IPv6Address("TCP", "fe80::1%eth0", 1), True),
            (HostnameAddress(b"localhost", 1), True),
        ):
            self.assertEqual(ListenAddress(address).is_exposed, exposed, address)


class NameTests(SynchronousTestCase):
    """The names of this machine."""

    def test_own(self) -> None:
        """
        A host has its full name, its first part, and that name on the local network.
        """
        for host, names in (
            ("Laptop", ["laptop", "laptop.local"]),
            ("ci.example.org", ["ci.example.org", "ci", "ci.local"]),
            ("pi.local", ["pi.local", "pi"]),
        ):
            self.patch(socket, "gethostname", lambda host=host: host)
            self.assertCountEqual(own_names(), names)


class LineTests(SynchronousTestCase):
    """The commands that the banner suggests."""

    def test_loopback(self) -> None:
        """On loopback the banner shows the address, and two ways to let others in."""
        for address, url in (
            (IPv4Address("TCP", "127.0.0.1", 8000), "http://127.0.0.1:8000"),
            (IPv4Address("TCP", "127.0.0.2", 1), "http://127.0.0.2:1"),
            (IPv6Address("TCP", "::1", 9), "http://[::1]:9"),
        ):
            said = "\n".join(banner(ListenAddress(address)))
            self.assertIn(f"{url}/ ", said)
            self.assertIn(f"curl -N {url}/stream", said)
            self.assertIn("--interface 0.0.0.0", said)
            netloc = url.removeprefix("http://")
            self.assertRegex(
                said, rf"ssh -\w*L {address.port}:{netloc.replace('[', '.')[:5]}"
            )
            self.assertIn(f"{address.port}:{netloc} ", said)
            self.assertNotIn("anyone", said)

    def test_pinned(self) -> None:
        """The fingerprint of a self-signed certificate is in the line to paste."""
        for host in ("127.0.0.1", "192.0.2.7"):
            place = ListenAddress(IPv4Address("TCP", host, 443), "https", "SHA256:x")
            line = f"shellstream https://{host}:443/stream --pin SHA256:x"
            for said in ("\n".join(banner(place)), first_token_text(place, TOKEN)):
                self.assertIn(line, said)
                self.assertNotIn("curl", said)

    def test_network(self) -> None:
        """On the network the banner shows the line for the other machine."""
        (said,) = banner(ListenAddress(WIDE))
        self.assertIn("type: shellstream http://192.0.2.7:8000/stream", said)
        self.assertNotIn("ssh", said)
        self.assertNotIn("TOKEN", said)

    def test_no_default(self) -> None:
        """Without a default command the lines run one that is there, by POST."""
        command = command_to_name(Config(commands={"say": SAY}))
        (said,) = banner(ListenAddress(WIDE), command=command)
        url = "http://192.0.2.7:8000"
        self.assertIn(f"curl -N -X POST {url}/stream/say ", said)
        self.assertIn(f"type: shellstream run say --server {url} ", said)
        said = first_token_text(ListenAddress(WIDE), TOKEN, command)
        self.assertIn(f" shellstream run say --server {url}\n", said)
        self.assertIsNone(command_to_name(Config(commands={"say": SAY}, default="say")))

    def test_required(self) -> None:
        """If authentication is required, the lines have a place for a token."""
        (said,) = banner(ListenAddress(WIDE), required=True)
        url = "http://192.0.2.7:8000/stream"
        self.assertIn(f"curl -N {url} -u :TOKEN", said)
        self.assertIn(f"type: SHELLSTREAM_TOKEN=TOKEN shellstream {url}", said)
        for address in (HERE, UNIXAddress("/run/x.sock")):
            said = banner(ListenAddress(address), required=True)[0]
            self.assertIn("/stream -u :TOKEN", said)

    def test_everywhere(self) -> None:
        """For a wildcard address the banner shows one that others can use."""
        for kind, host in ((IPv4Address, "0.0.0.0"), (IPv6Address, "::")):
            said = "\n".join(banner(ListenAddress(kind("TCP", host, 80))))
            self.assertNotIn(f"//{host}:", said)
            self.assertNotIn("//[::]", said)
            self.assertRegex(said, r"shellstream http://[^/]+:80/stream")

    def test_all_addresses(self) -> None:
        """
        A wildcard address stands for those of all interfaces, the routed one first:
        not for loopback, nor for link-local ones, which need a name of an interface.
        """
        adapters: list[tuple[Any, ...]] = [
            ("lo", "127.0.0.1", ("::1", 0, 0)),
            ("eth0", "192.0.2.9", ("2001:db8::9", 0, 0), ("fe80::1", 0, 2)),
            ("wlan0", "198.51.100.3"),
        ]
        self.patch(
            listen_address.ifaddr,
            "get_adapters",
            lambda: [
                Adapter(name, name, [IP(ip, 24, name) for ip in ips])
                for name, *ips in adapters
            ],
        )
        self.patch(listen_address, "_routed", lambda v6: None if v6 else "198.51.100.3")
        self.patch(socket, "gethostname", lambda: "pi")
        place = ListenAddress(IPv4Address("TCP", "0.0.0.0", 80))
        self.assertEqual(place.hosts(), ["198.51.100.3", "192.0.2.9"])
        both = ListenAddress(IPv6Address("TCP", "::", 80))
        self.assertEqual(
            both.hosts(), ["pi", "192.0.2.9", "2001:db8::9", "198.51.100.3"]
        )
        other = "this machine's other addresses: 192.0.2.9"
        self.assertEqual(banner(place)[-1], other)
        self.assertIn(other, first_token_text(place, TOKEN))
        self.assertNotIn("other addresses", "".join(banner(ListenAddress(WIDE))))

    def test_tls(self) -> None:
        """The URL of a TLS listener says C{https}."""
        said = banner(ListenAddress(IPv4Address("TCP", "192.0.2.7", 443), "https"))
        self.assertIn("curl -N https://192.0.2.7:443/stream", said[0])
        self.assertNotIn("http://", "\n".join(said))

    def test_unix(self) -> None:
        """A socket has no URL, but a path."""
        said = "\n".join(banner(ListenAddress(UNIXAddress("/run/x.sock"))))
        self.assertIn("curl -N --unix-socket /run/x.sock http://localhost/stream", said)

    def test_other(self) -> None:
        """An address of an unknown kind is shown as it is."""
        (said,) = banner(ListenAddress(HostnameAddress(b"x", 1)))
        self.assertIn("HostnameAddress", said)


class FirstTokenTests(SynchronousTestCase):
    """The text for the other machine, with the first token."""

    def test_lines(self) -> None:
        """A line for the client and one for curl, each with the token and the URL."""
        lines = [
            each.strip()
            for each in first_token_text(ListenAddress(WIDE), TOKEN).splitlines()
        ]
        url = "http://192.0.2.7:8000/stream"
        self.assertIn(f"SHELLSTREAM_TOKEN={TOKEN} shellstream {url}", lines)
        self.assertIn(f"curl -N {url} -u :{TOKEN}", lines)

    def test_no_url(self) -> None:
        """An address without a URL still gets a token."""
        self.assertIn(
            TOKEN, first_token_text(ListenAddress(HostnameAddress(b"x", 1)), TOKEN)
        )


class TerminalTests(SynchronousTestCase):
    """A L{StartupTerminal} is the standard output of the beginning."""

    def setUp(self) -> None:
        self.saved = os.dup(1)
        self.addCleanup(os.close, self.saved)
        self.addCleanup(os.dup2, self.saved, 1)
        self.reader, writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        os.dup2(writer, 1)
        os.close(writer)

    def test_shows(self) -> None:
        """The text goes to the original output, even after a redirection."""
        terminal = StartupTerminal()
        os.dup2(self.saved, 1)
        terminal.show("secret\n")
        terminal.close()
        terminal.close()
        self.assertEqual(os.read(self.reader, 99), b"secret\n")
        self.assertEqual(os.read(self.reader, 99), b"")

    def test_nowhere(self) -> None:
        """If standard output is missing or full, the log says so without the secret."""
        os.close(1)
        nothing = StartupTerminal()
        fd = os.open("/dev/full", os.O_WRONLY)
        self.assertEqual(fd, 1)
        full = StartupTerminal()
        os.dup2(self.saved, 1)
        for terminal, why in (
            (nothing, "no standard output"),
            (full, "No space left on device"),
        ):
            with capturedLogs() as logged:
                terminal.show("secret\n")
            terminal.close()
            (said,) = map(formatEvent, logged)
            self.assertEqual(
                said, f"the new token cannot be shown: {why}; make another"
            )


class FakeTerminal(StartupTerminal):
    """A terminal that remembers what it has shown."""

    def __init__(self) -> None:
        self.shown = ""
        self.closed = False

    def show(self, text: str) -> None:
        self.shown += text

    def close(self) -> None:
        self.closed = True


class FakeListener:
    """A listener with this address, or with none yet."""

    def __init__(self, address: ListenAddress | None) -> None:
        self.address = lambda: address


class BannerTests(SynchronousTestCase):
    """A L{StartupBanner} tells of all places, and of the token once."""

    def start(self, *addresses: IAddress) -> list[str]:
        """The lines of the log."""
        self.terminal = FakeTerminal()
        listeners: list[Any] = [
            FakeListener(None),
            *(FakeListener(ListenAddress(each)) for each in addresses),
        ]
        service = StartupBanner(self.daemon, listeners, self.terminal, "the demo")
        verifyObject(IService, service)
        with capturedLogs() as logged:
            service.startService()
        self.assertTrue(self.terminal.closed)
        return [str(formatEvent(each)) for each in logged]

    def setUp(self) -> None:
        clock = Clock()
        self.daemon = Daemon(LiveConfig(CONFIG), None, clock)
        self.policy = AuthPolicy(
            TokenStore(None, clock, lambda: 1, "me", print, maybeDeferred)
        )
        self.daemon.auth_policy = self.policy

    def test_places(self) -> None:
        """Each address has its lines; a token is shown only when it is new."""
        said = self.start(HERE, WIDE)
        self.assertEqual(
            said,
            ["the demo", *banner(ListenAddress(HERE)), *banner(ListenAddress(WIDE))],
        )
        self.assertEqual(self.terminal.shown, "")

    def test_local_proxy(self) -> None:
        """Where loopback counts as a proxy, its line has a place for the token."""
        access = evolve(CONFIG.access, proxies=(ip_network("127.0.0.1"),))
        for insecure, shown in ((False, True), (True, False)):
            live = LiveConfig(evolve(CONFIG, access=access))
            self.daemon = Daemon(live, None, Clock(), insecure=insecure)
            self.daemon.auth_policy = self.policy
            _, said, *_ = self.start(HERE)
            self.assertEqual("-u :TOKEN" in said, shown)

    def test_first(self) -> None:
        """A new token is shown once, where others can connect, and never logged."""
        self.policy._first_token, self.policy.exposed = TOKEN, True
        other = IPv4Address("TCP", "192.0.2.8", 8000)
        said = self.start(HERE, WIDE, other)
        self.assertEqual(
            self.terminal.shown, first_token_text(ListenAddress(WIDE), TOKEN)
        )
        self.assertNotIn(TOKEN, "".join(said))
        self.assertIn("-u :TOKEN", said[1])
        self.start(WIDE)
        self.assertEqual(self.terminal.shown, "")

    def test_insecure(self) -> None:
        """--insecure is a warning for each address, at each start."""
        self.policy.insecure = True
        said = self.start(HERE, WIDE)
        for netloc in ("127.0.0.1:8000", "192.0.2.7:8000"):
            self.assertIn(
                f"--insecure: anyone who can reach {netloc} may run these commands",
                said,
            )
