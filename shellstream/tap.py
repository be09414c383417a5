"""C{twistd shellstream}: its options, and where all parts are wired up."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from attrs import evolve
from twisted.application.service import IService, MultiService
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
)
from twisted.logger import Logger
from twisted.python import usage

from shellstream import __version__
from shellstream.config.http_limits import HttpLimits
from shellstream.config.loader import DEMO, Config, ConfigError, parse
from shellstream.config.tls_settings import TLS
from shellstream.daemon.auth_policy import own_names
from shellstream.daemon.banner import ListenAddress, StartupBanner, Terminal
from shellstream.daemon.listener import TLS_PREFIX, Listener, SiteFactory
from shellstream.daemon.service import IN_MEMORY, Daemon, wall_clock
from shellstream.daemon.tls_service import Encryption
from shellstream.process.file_limits import keep_descriptors, raise_file_limit

_log = Logger(namespace="shellstream")

#: How many connections may wait to be accepted: of more that come at once, the
#: system asks the others to try again a second later (listen(2)).
BACKLOG = 1024


class TokenOptions(usage.Options):
    """C{twistd shellstream tokens}: what follows is for L{tokentool}."""

    def parseOptions(self, options: Sequence[str] | None = None) -> NoReturn:
        where = None if self.parent is None else self.parent["state-dir"]
        from shellstream.daemon import token_command  # a daemon has no use for it

        sys.exit(token_command.main(options or (), where, os.environ, wall_clock))


class Options(usage.Options):
    """What C{twistd shellstream --help} shows."""

    synopsis = "[options]"
    longdesc = (
        "Runs the commands of a configuration for HTTP clients and streams "
        "their output as it is written. Without --config it has one command, "
        "demo. Try: curl -N http://127.0.0.1:8000/stream"
    )

    optParameters = (
        ("port", "p", None, "TCP port to listen on; 0 for a free one. [default: 8000]"),
        (
            "interface",
            "i",
            None,
            "Address to listen on; 0.0.0.0 or :: for all. [default: 127.0.0.1]",
        ),
        ("config", "c", None, "TOML file with the commands that may be run."),
        (
            "state-dir",
            "d",
            None,
            "Folder that keeps runs and their output over restarts; :memory: for "
            "none. [default: $STATE_DIRECTORY, $XDG_STATE_HOME/shellstream or "
            "~/.local/state/shellstream]",
        ),
    )
    optFlags = (
        ("check", None, "Say whether the configuration is right, and exit."),
        ("insecure", None, "Ask nobody for a token, whoever can reach this daemon."),
        (
            "tls",
            None,
            "Speak https on --port, if [tls] is not configured with a certificate that "
            "is made at the first start, for clients to --pin.",
        ),
    )
    subCommands = (
        ("tokens", None, TokenOptions, "Make, list, expire and revoke tokens."),
    )
    compData = usage.Completions(
        optActions={
            "config": usage.CompleteFiles("*.toml"),
            "state-dir": usage.CompleteDirs(),
        }
    )

    def __init__(self) -> None:
        super().__init__()
        self.listen: list[str] = []
        self.settings: Config = DEMO

    def opt_listen(self, endpoint: str) -> None:
        """
        Twisted endpoint to listen on instead of --port, such as
        unix:/run/shellstream.sock; may be given several times. With tls: before
        it, it speaks https as --port would.
        """
        self.listen.append(endpoint)

    opt_l = opt_listen

    def opt_version(self) -> None:
        """Say which version this is, and exit."""
        print(f"shellstream {__version__}")  # noqa: T201
        sys.exit(0)

    def postOptions(self) -> None:
        if self["config"] is not None:
            self.settings = _load(self["config"])
        if self["check"]:
            print(f"{self['config'] or 'built-in configuration'}: ok")  # noqa: T201
            sys.exit(0)
        if self["tls"] and self.settings.tls is None:
            self.settings = evolve(self.settings, tls=TLS())
        where = self["state-dir"]
        if where is not None and where != IN_MEMORY:
            self["state-dir"] = str(Path(where).absolute())  # twistd may chdir
        if not self.listen or self["port"] or self["interface"]:
            secure = "" if self.settings.tls is None else TLS_PREFIX
            endpoint = _endpoint(self["port"], self["interface"])
            self.listen.append(f"{secure}{endpoint}")
        # In the foreground a PID file only keeps a second daemon from starting
        # in the same folder, and the first one in a folder that is read-only.
        twistd: dict[str, Any] = self.parent or {}
        if twistd.get("nodaemon") and twistd["pidfile"] == "twistd.pid":
            twistd["pidfile"] = ""


def _load(name: str) -> Config:
    """Read a configuration file, or exit saying everything that is wrong with it."""
    try:
        return parse(Path(name).read_text("utf-8"))
    except OSError as error:
        sys.exit(f"shellstream: cannot read {name}: {error.strerror}")
    except UnicodeDecodeError as error:
        sys.exit(f"shellstream: {name} is not UTF-8: {error}")
    except ConfigError as mistaken:
        count = len(mistaken.mistakes)
        mistakes = "1 mistake" if count == 1 else f"{count} mistakes"
        sys.exit(f"shellstream: {name} has {mistakes}:\n{mistaken}")


def _endpoint(port: str | None, interface: str | None) -> str:
    port = port or "8000"
    if not (re.fullmatch("[0-9]{1,5}", port) and int(port) <= 65535):
        sys.exit(f"shellstream: --port {port}: not a port; take 0 to 65535")
    host = quoteStringArgument(interface or "127.0.0.1")
    return f"tcp:{port}:interface={host}:backlog={BACKLOG}"


def _bounds(config: Config, files: int) -> HttpLimits:
    """What clients may take, where so many files may be open."""
    bounds = config.http.capped_to(files, config.max_running)
    if bounds.connections < config.http.connections:
        _log.info(
            "{count} connections at once: more would need more than the {files} "
            "files that may be open (ulimit -n)",
            count=bounds.connections,
            files=files,
        )
    return bounds


def makeService(options: Options) -> IService:
    """Build everything that runs, from the parsed command line."""
    from twisted.internet import reactor as any_reactor

    reactor: Any = any_reactor
    # Or a timeout would wait for an hour when the clock is set back by one.
    reactor.seconds = time.monotonic
    files = raise_file_limit()
    keep_descriptors()
    limits = _bounds(options.settings, files)
    listeners: list[Listener] = []

    def places() -> list[ListenAddress]:
        found = (each.place for each in listeners)
        return [each for each in found if each is not None]

    def bound() -> list[IAddress]:
        return [each.address for each in places()]

    insecure = bool(options["insecure"])
    where = options["state-dir"]
    daemon = Daemon(options.settings, where, reactor, bound, insecure, limits)
    site = SiteFactory(lambda: daemon.site)
    encryption = _encryption(options, daemon, bound, reactor)
    for description in options.listen:
        try:
            endpoint = serverFromString(reactor, description.removeprefix(TLS_PREFIX))
        except LookupError:
            sys.exit(f"shellstream: --listen {description}: not handed over by systemd")
        except Exception as error:  # noqa: BLE001  # each plugin raises what it likes
            sys.exit(f"shellstream: --listen {description}: {error}")
        factory: IProtocolFactory = site
        if encryption is not None and description.startswith(TLS_PREFIX):
            factory = encryption.wrap(site)
        listeners.append(Listener(description, endpoint, factory, encryption))
    welcome = StartupBanner(daemon, places, Terminal())
    services = MultiService()
    for service in (daemon, encryption, *listeners, welcome):
        if service is not None:
            service.setServiceParent(services)
    return services


def _encryption(
    options: Options,
    daemon: Daemon,
    bound: Callable[[], Iterable[IAddress]],
    reactor: Any,
) -> Encryption | None:
    """What speaks TLS, for whoever asks for it by its prefix."""
    secure = [each for each in options.listen if each.startswith(TLS_PREFIX)]
    if options.settings.tls is None:
        for description in secure:
            how = "needs [tls] in the configuration, or --tls"
            sys.exit(f"shellstream: --listen {description}: {how}")
        return None
    if not secure:
        sys.exit(
            "shellstream: TLS is configured, but nothing listens with it: give a "
            "--port, or put tls: before an endpoint, as in --listen tls:tcp:8443"
        )
    return Encryption(
        options.settings.tls,
        lambda: daemon.folder,
        lambda: _names(bound()),
        reactor,
        wall_clock,
    )


def _names(bound: Iterable[IAddress]) -> list[str]:
    """By what others may call this machine."""
    names = [*own_names(), "localhost", "127.0.0.1", "::1"]
    hosts = (ListenAddress(address).host for address in bound)
    return [*names, *(each for each in hosts if each is not None)]
