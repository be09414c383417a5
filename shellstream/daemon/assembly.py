"""The services of a daemon, put together."""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from attrs import evolve
from twisted.application.service import IService, MultiService
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger

from shellstream.config.files import ConfigFiles, ConfigUnusable, Loaded
from shellstream.config.live import LiveConfig
from shellstream.config.loader import Config
from shellstream.config.tls_settings import TLS_PREFIX
from shellstream.process.child import work_without_sigchld
from shellstream.process.file_limits import keep_descriptors, raise_file_limit
from shellstream.security.principals import PROXIED

from .banner import StartupBanner, StartupTerminal, command_to_name
from .configuration.reload import Reloader
from .errors import stopping_on
from .lifecycle.reactor_turns import bound_turns, spare_old_objects
from .lifecycle.reactor_watchdog import ReactorWatchdog
from .lifecycle.service_manager import ServiceManager
from .listen_address import ListenAddress, own_names
from .listener import Listener, SiteFactory
from .service import Daemon, wall_clock

_log = Logger(namespace="shellstream")


def assemble(
    reactor: Any,
    sources: ConfigFiles,
    loaded: Loaded,
    state_dir: str | None,
    listen: Sequence[str],
    *,
    insecure: bool,
    in_background: str,
) -> IService:
    """
    Make the services of a daemon, or exit with the reason why they cannot be made.

    @param sources: the files of the configuration, for each reload.
    @param loaded: what they hold now.
    @param listen: the descriptions of the endpoints. Those of our own TLS begin with
        L{TLS_PREFIX}, and only come with a table C{[tls]}.
    @param insecure: whether no authentication is wanted.
    @param in_background: what to tell the terminal of a daemon that leaves it.
    """
    # With the time of day, a timeout would last an hour longer when the clock is set
    # back by one.
    reactor.seconds = time.monotonic
    bound_turns(reactor)
    # After all services have started.
    reactor.addSystemEventTrigger("after", "startup", work_without_sigchld)
    reactor.addSystemEventTrigger("after", "startup", spare_old_objects)
    files = raise_file_limit()
    keep_descriptors()
    listeners: list[Listener] = []

    def addresses() -> list[ListenAddress]:
        found = (each.address() for each in listeners)
        return [each for each in found if each is not None]

    def certificate_names() -> list[str]:
        hosts = (host for each in addresses() for host in each.hosts())
        return [*own_names(), "localhost", "127.0.0.1", "::1", *hosts]

    def fit(config: Config) -> Config:
        for description in listen:
            if description.startswith(PROXIED) and not config.access.proxies:
                raise ConfigUnusable(
                    f"--listen {description}: name the proxies that may send PROXY "
                    'headers: write proxies = ["127.0.0.1"], or their addresses, into '
                    "the table [access] of the configuration"
                )
        return capped(config, files)

    terminal = StartupTerminal()
    config = loaded.config
    with stopping_on(ConfigUnusable):
        live = LiveConfig(fit(config))
    if live.now.http.connections < config.http.connections:
        _log.info(
            "at most {count} connections at once: the limit of {files} open files "
            "(ulimit -n) does not allow more",
            count=live.now.http.connections,
            files=files,
        )
    watchdog = ReactorWatchdog(reactor)
    daemon = Daemon(
        live, state_dir, reactor, addresses, insecure, terminal.is_one, watchdog
    )
    site = SiteFactory(lambda: daemon.site)
    tls: Any = None
    if config.tls is not None:
        from .tls_service import TLSService  # with 14 MB of libraries

        tls = TLSService(
            config.tls, lambda: daemon.folder, certificate_names, reactor, wall_clock
        )
    for description in listen:
        endpoint = _endpoint(reactor, description)
        factory: IProtocolFactory = site
        if description.startswith(TLS_PREFIX):
            factory = tls.wrap(site)
        fingerprint = None if tls is None else lambda: tls.fingerprint
        listeners.append(Listener(description, endpoint, factory, fingerprint))
    about = sources.describe(loaded)
    banner = StartupBanner(
        daemon, listeners, terminal, about, in_background, command_to_name(config)
    )
    manager = ServiceManager.of(reactor, daemon.describe, os.environ)
    reloader = Reloader(
        sources,
        loaded,
        live,
        reactor,
        fit,
        daemon.in_thread,
        [daemon] if tls is None else [daemon, tls],
        daemon.follow,
        manager,
    )
    services = MultiService()
    for service in (watchdog, daemon, tls, *listeners, reloader, banner, manager):
        if service is not None:
            service.setServiceParent(services)
    return services


def _endpoint(reactor: Any, description: str) -> IStreamServerEndpoint:
    plain = description.removeprefix(TLS_PREFIX)
    if plain == "unix:":
        how = "needs a path, such as unix:/run/x.sock"
        sys.exit(f"shellstream: --listen {description} {how}")
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, plain)
    except LookupError:
        sys.exit(f"shellstream: --listen {description}: not handed over by systemd")
    except Exception as error:  # noqa: BLE001  # a plugin may raise anything
        sys.exit(f"shellstream: --listen {description}: {error}")
    return endpoint


def capped(config: Config, files: int) -> Config:
    """A configuration whose clients this process can serve with so many open files."""
    return evolve(config, http=config.http.capped_to(files, config.max_running))
