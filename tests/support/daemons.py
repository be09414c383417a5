"""A daemon's service with a state folder of its own."""

import signal
from collections.abc import Callable

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.live import LiveConfig
from shellstream.daemon.listen_address import ListenAddress
from shellstream.daemon.service import Daemon
from shellstream.runs.registry import RECORD_WITHIN
from tests.support.fakes import FakeSpawn
from tests.support.registries import CONFIG, run_request

HERE, WIDE = (IPv4Address("TCP", host, 80) for host in ("127.0.0.1", "192.0.2.7"))


SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


class FakeReactor(Clock):
    """A reactor that does not run, so that it starts no threads."""

    running = False
    stopped = False

    def __init__(self) -> None:
        super().__init__()
        self._when_running: list[Callable[[], object]] = []

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        self._when_running.append(call)

    def begin(self) -> None:
        """Make the calls for which it has to run."""
        for call in self._when_running:
            call()

    def callFromThread(self, call: Callable[[], object]) -> None:
        call()

    def stop(self) -> None:
        self.stopped = True


class DaemonTestCase(SynchronousTestCase):
    """A daemon without its reactor."""

    def setUp(self) -> None:
        for number in SIGNALS:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor, self.spawn = FakeReactor(), FakeSpawn()

    def daemon(
        self,
        where: str | None,
        config=CONFIG,
        address: IAddress = HERE,
        insecure: bool = False,
        on_terminal: bool = True,
    ) -> Daemon:
        """Return a started daemon whose commands start no process."""
        addresses = lambda: [ListenAddress(address)]  # noqa: E731
        daemon = Daemon(
            LiveConfig(config),
            where,
            self.reactor,
            addresses,
            insecure,
            on_terminal=on_terminal,
        )
        self.patch(Daemon, "_spawn", lambda _, *given: self.spawn(*given))
        daemon.privilegedStartService()
        daemon.startService()
        return daemon

    def submit(self, daemon: Daemon, command: str | None = None) -> str:
        """The id of a new run."""
        registry = daemon.registry
        request = run_request(registry.config, command)
        asked = Deferred.fromCoroutine(registry.submit(request))
        self.reactor.advance(RECORD_WITHIN)
        run, _ = self.successResultOf(asked)
        run_id: str = run.record.id
        return run_id

    def stop(self, daemon: Daemon) -> None:
        """Stop the daemon, and check that it has released everything."""
        stopped = daemon.stopService()
        self.reactor.advance(Daemon.FLUSH)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
