"""C{twistd shellstream}: its options, and where all parts are wired up."""

import os
import re
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from attrs import define, field
from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.tcp import Port
from twisted.python import usage
from twisted.python.failure import Failure

from . import __version__, tokentool
from .announce import Place, Terminal, Welcome
from .config import DEMO, Config, ConfigMistaken, parse
from .daemon import IN_MEMORY, Daemon, DaemonCannotStart, wall_clock
from .spawn import keep_descriptors, raise_file_limit
from .web import Site

#: How many connections may wait to be accepted: of more that come at once, the
#: system asks the others to try again a second later (listen(2)).
BACKLOG = 1024

#: When to doubt that a silent client is still there, in seconds (tcp(7)).
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class TokenOptions(usage.Options):
    """C{twistd shellstream tokens}: what follows is for L{tokentool}."""

    def parseOptions(self, options: Sequence[str] | None = None) -> NoReturn:
        where = None if self.parent is None else self.parent["state-dir"]
        sys.exit(tokentool.main(options or (), where, os.environ, wall_clock))


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
        unix:/run/shellstream.sock; may be given several times.
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
        where = self["state-dir"]
        if where is not None and where != IN_MEMORY:
            self["state-dir"] = str(Path(where).absolute())  # twistd may chdir
        if not self.listen or self["port"] or self["interface"]:
            self.listen.append(_endpoint(self["port"], self["interface"]))
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
    except ConfigMistaken as mistaken:
        count = len(mistaken.mistakes)
        mistakes = "1 mistake" if count == 1 else f"{count} mistakes"
        sys.exit(f"shellstream: {name} has {mistakes}:\n{mistaken}")


def _endpoint(port: str | None, interface: str | None) -> str:
    port = port or "8000"
    if not (re.fullmatch("[0-9]{1,5}", port) and int(port) <= 65535):
        sys.exit(f"shellstream: --port {port}: not a port; take 0 to 65535")
    host = quoteStringArgument(interface or "127.0.0.1")
    return f"tcp:{port}:interface={host}:backlog={BACKLOG}"


@define(eq=False)
class Listener(Service):
    """
    Listen on an endpoint, or stop the daemon and say why it cannot.

    L{strports.service} would do so with a traceback, and tells nobody where it
    came to listen.
    """

    _description: str
    _endpoint: IStreamServerEndpoint
    _factory: IProtocolFactory
    port: IListeningPort | None = field(default=None, init=False)

    def privilegedStartService(self) -> None:
        Service.privilegedStartService(self)
        failed: list[Failure] = []
        listening = self._endpoint.listen(self._factory)
        listening.addCallbacks(self._listening, failed.append)
        if failed:
            raise DaemonCannotStart(
                f"shellstream: {_why(self._description, failed[0])}"
            )

    @property
    def place(self) -> Place | None:
        """Where it listens, once it does."""
        if self.port is None:
            return None
        scheme = "https" if self._description.startswith("ssl:") else "http"
        return Place(self.port.getHost(), scheme)

    def stopService(self) -> "Deferred[None] | None":
        Service.stopService(self)
        return None if self.port is None else self.port.stopListening()

    def _listening(self, port: IListeningPort) -> None:
        self.port = port
        if isinstance(port, Port):
            _keep_alive(port.socket)


def _why(description: str, failure: Failure) -> str:
    error = failure.value
    if not isinstance(error, CannotListenError):
        return f"cannot listen on {description}: {error}"
    where = f"{error.interface}:{error.port}" if error.interface else error.port
    why = getattr(error.socketError, "strerror", None) or error.socketError
    return f"cannot listen on {where}: {why}; choose another --port or --interface"


def _keep_alive(listening: socket.socket) -> None:
    """Have the connections accepted here notice a peer that vanished silently."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # macOS: it has no TCP_KEEPIDLE
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def makeService(options: Options) -> IService:
    """Build everything that runs, from the parsed command line."""
    from twisted.internet import reactor as any_reactor

    reactor: Any = any_reactor
    # Or a timeout would wait for an hour when the clock is set back by one.
    reactor.seconds = time.monotonic
    raise_file_limit()
    keep_descriptors()
    site = Site(reactor)
    listeners: list[Listener] = []

    def places() -> list[Place]:
        found = (each.place for each in listeners)
        return [each for each in found if each is not None]

    def bound() -> list[IAddress]:
        return [each.address for each in places()]

    insecure = bool(options["insecure"])
    where = options["state-dir"]
    daemon = Daemon(options.settings, where, site, reactor, bound, insecure)
    for description in options.listen:
        try:
            endpoint = serverFromString(reactor, description)
        except LookupError:
            sys.exit(f"shellstream: --listen {description}: not handed over by systemd")
        except Exception as error:  # noqa: BLE001  # each plugin raises what it likes
            sys.exit(f"shellstream: --listen {description}: {error}")
        listeners.append(Listener(description, endpoint, site))
    welcome = Welcome(daemon, places, Terminal())
    services = MultiService()
    for service in (daemon, *listeners, welcome):
        service.setServiceParent(services)
    return services
