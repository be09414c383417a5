"""Tests for L{shellstream.tap}: the services of the daemon."""

import resource
import socket
import sys
from pathlib import Path
from subprocess import CalledProcessError, run
from typing import Any

from attrs import evolve
from twisted.application.service import IService, IServiceMaker, MultiService
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import ServerFactory
from twisted.internet.testing import MemoryReactor
from twisted.plugin import IPlugin
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from shellstream import tap
from shellstream.config.files import Loaded
from shellstream.config.tls_settings import TLS
from shellstream.daemon.banner import StartupBanner
from shellstream.daemon.configuration.reload import Reloader
from shellstream.daemon.lifecycle.reactor_watchdog import ReactorWatchdog
from shellstream.daemon.lifecycle.service_manager import ServiceManager
from shellstream.daemon.listen_address import ListenAddress
from shellstream.daemon.listener import Listener, SiteFactory
from shellstream.daemon.service import Daemon
from shellstream.daemon.tls_service import TLSService
from shellstream.tap import Options, makeService
from twisted.plugins.shellstream_plugin import shellstream as plugin


@implementer(IStreamServerEndpoint)
class Refusing:
    """An endpoint that cannot listen."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def listen(self, factory: IProtocolFactory) -> "Deferred[IListeningPort]":
        return fail(self.error)


class ListenerTests(SynchronousTestCase):
    """A L{Listener} listens and says where, or says why it cannot."""

    def test_verified(self) -> None:
        """A listener is a service, and the endpoint that refuses is an endpoint."""
        refusing = Refusing(OSError())
        verifyObject(IStreamServerEndpoint, refusing)
        verifyObject(IService, Listener("x", refusing, ServerFactory()))

    def test_listens(self) -> None:
        """The service listens from the start, knows its address, and stops."""
        reactor, factory = MemoryReactor(), ServerFactory()
        endpoint = TCP4ServerEndpoint(reactor, 8000, interface="127.0.0.1")
        listener = Listener("tcp:8000", endpoint, factory)
        listener.privilegedStartService()
        listener.startService()
        self.assertEqual(len(reactor.tcpServers), 1)
        self.assertIs(reactor.tcpServers[0][1], factory)
        assert listener.port is not None
        self.assertEqual(listener.address(), ListenAddress(listener.port.getHost()))
        listener.stopService()

    def test_tls(self) -> None:
        """A place where TLS is spoken says so."""
        listener = Listener("ssl:443", Refusing(OSError()), ServerFactory())
        self.assertIsNone(listener.address())
        endpoint = TCP4ServerEndpoint(MemoryReactor(), 443)
        listener = Listener("ssl:443", endpoint, ServerFactory())
        listener.privilegedStartService()
        self.assertEqual(listener.address().scheme, "https")

    def test_never_listened(self) -> None:
        """A listener that never listened can be stopped."""
        listener = Listener("x", Refusing(OSError()), ServerFactory())
        self.assertIsNone(listener.stopService())

    def test_cannot_listen(self) -> None:
        """A daemon that cannot listen exits, and names the address and the reason."""
        taken = OSError(98, "Address already in use")
        for error, words in (
            (
                CannotListenError("127.0.0.1", 80, taken),
                "127.0.0.1:80: Address already",
            ),
            (
                CannotListenError("laptop", 80, socket.gaierror(-2, "Name unknown")),
                "laptop:80: Name unknown; --interface takes an address",
            ),
            (CannotListenError("", 80, taken), "80: Address already in use"),
            (CannotListenError("/run/x.sock", 0, "no room"), "no room"),
            (OverflowError("port must be 0-65535"), "tcp:99999: port must be 0-65535"),
        ):
            listener = Listener("tcp:99999", Refusing(error), ServerFactory())
            exit_ = self.assertRaises(SystemExit, listener.privilegedStartService)
            said = str(exit_.code)
            self.assertTrue(said.startswith("shellstream: cannot listen on "), said)
            self.assertIn(words, said)
            self.assertNotIn("Traceback", said)


class ServiceTests(SynchronousTestCase):
    """All services are connected."""

    def setUp(self) -> None:
        # makeService() raises the limit of open files.
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        # Or SIGCHLD would be off in the next test: trial starts the reactor again.
        self.patch(reactor, "addSystemEventTrigger", lambda *_: None)

    def options(self, *listen: str) -> Options:
        options = Options()
        options.parseOptions([f"--listen={each}" for each in listen])
        return options

    def test_no_path(self) -> None:
        """A UNIX socket without a path is reported as that."""
        exit_ = self.assertRaises(SystemExit, makeService, self.options("unix:"))
        self.assertEqual(
            exit_.code,
            "shellstream: --listen unix: needs a path, such as unix:/run/x.sock",
        )

    def test_services(self) -> None:
        """One service keeps runs, one each listens, and the last prints the banner."""
        service = makeService(self.options("tcp:0", "unix:/run/x.sock"))
        verifyObject(IService, service)
        assert isinstance(service, MultiService)
        kinds = [type(each) for each in service]
        self.assertEqual(
            kinds,
            [
                *(ReactorWatchdog, Daemon, Listener, Listener),
                *(Reloader, StartupBanner, ServiceManager),
            ],
        )

    def test_tls(self) -> None:
        """The C{tls:} prefix selects TLS for its endpoint only."""
        options = self.options("tls:tcp:0", "unix:/run/x.sock")
        options.loaded = Loaded(evolve(options.settings, tls=TLS()))
        service: Any = makeService(options)
        _, daemon, tls, secure, plain, *_ = service
        self.assertIsInstance(daemon, Daemon)
        self.assertIsInstance(tls, TLSService)
        self.assertIsInstance(secure._factory, TLSMemoryBIOFactory)
        self.assertIsInstance(plain._factory, SiteFactory)

    def test_tls_or_not(self) -> None:
        """TLS without an endpoint, or without a configuration, is refused."""
        options = self.options("tls:tcp:0")
        said = str(self.assertRaises(SystemExit, makeService, options).code)
        self.assertIn("--listen tls:tcp:0: needs [tls]", said)
        options = self.options("tcp:0")
        options.loaded = Loaded(evolve(options.settings, tls=TLS()))
        said = str(self.assertRaises(SystemExit, makeService, options).code)
        self.assertIn("nothing listens with it", said)

    def test_no_endpoint(self) -> None:
        """A malformed endpoint is reported with the option's name."""
        for description in (
            "nonsense:1",
            "tcp",
            "tcp:http",
            "unix:/x:mode=zzz",
            "ssl:1:privateKey=/nowhere",
            "systemd:domain=INET:index=7",
            "systemd:domain=INET:name=no",
            "tcp:1:2:3:4:5",
            "",
        ):
            exit_ = self.assertRaises(
                SystemExit, makeService, self.options(description)
            )
            said = str(exit_.code)
            self.assertTrue(said.startswith(f"shellstream: --listen {description}: "))
            self.assertGreater(len(said.split()), 4, said)

    def test_plugin(self) -> None:
        """twistd finds us by a plugin that leads to these options and services."""
        verifyObject(IPlugin, plugin)
        verifyObject(IServiceMaker, plugin)
        self.assertEqual(plugin.tapname, "shellstream")
        self.assertIs(plugin.options, tap.Options)
        self.assertIs(plugin.makeService, tap.makeService)


#: Makes the services of a daemon, and says whether pyOpenSSL is there.
MAKE = """
import sys
from shellstream.tap import Options, makeService
options = Options()
options.parseOptions(["--port", "0", "--state-dir", ":memory:", *sys.argv[1:]])
makeService(options)
before = "OpenSSL" in sys.modules
import OpenSSL.SSL
print(before)
"""


class HiddenTests(SynchronousTestCase):
    """What is needed for TLS takes no memory without it."""

    def loads(self, *argv: str) -> str:
        """Whether a daemon with these arguments loads pyOpenSSL."""
        found = run(
            [sys.executable, "-c", MAKE, *argv],
            capture_output=True,
            text=True,
            check=True,
        )
        return found.stdout.strip()

    def test_plain(self) -> None:
        """A daemon that speaks no TLS does not load it, and others still can."""
        self.assertEqual(self.loads(), "False")
        self.assertEqual(self.loads("--listen", "unix:/tmp/x.sock"), "False")

    def test_tls(self) -> None:
        """A daemon with TLS does, and with an endpoint that may speak it."""
        self.assertEqual(self.loads("--tls"), "True")
        path = Path(self.mktemp())
        path.write_text(
            '[access]\nproxies = ["10.0.0.1"]\n[commands.x]\nargv = ["true"]'
        )
        proxied = ("--listen", "haproxy:tcp:0")
        self.assertEqual(self.loads("--config", str(path), *proxied), "True")

    def test_no_proxies(self) -> None:
        """A PROXY header is taken from listed proxies, and without one from nobody."""
        with self.assertRaises(CalledProcessError) as caught:
            self.loads("--listen", "haproxy:tcp:0")
        self.assertIn('write proxies = ["127.0.0.1"]', caught.exception.stderr)
