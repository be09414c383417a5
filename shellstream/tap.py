"""C{twistd shellstream}: its options, and the services that it consists of."""

import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from attrs import evolve
from twisted.application.service import IService, MultiService
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.python import usage

from shellstream import __version__
from shellstream.config.http_limits import HttpLimits
from shellstream.config.loader import DEMO, Config, ConfigError, parse
from shellstream.config.tls_settings import TLS
from shellstream.daemon.banner import StartupBanner, StartupTerminal
from shellstream.daemon.listen_address import ListenAddress, own_names
from shellstream.daemon.listener import TLS_PREFIX, Listener, SiteFactory
from shellstream.daemon.reactor_turns import bound_turns, spare_old_objects
from shellstream.daemon.reactor_watchdog import ReactorWatchdog
from shellstream.daemon.service import IN_MEMORY, Daemon, wall_clock
from shellstream.daemon.tls_service import TLSService
from shellstream.process.child import work_without_sigchld
from shellstream.process.file_limits import keep_descriptors, raise_file_limit

_log = Logger(namespace="shellstream")

#: Connections that may wait to be accepted. When more come at once, the kernels of the
#: clients try again a second later (listen(2)).
BACKLOG = 1024


class TokenOptions(usage.Options):
    """C{twistd shellstream tokens}: hands the rest to L{daemon.token_command}."""

    def parseOptions(self, options: Sequence[str] | None = None) -> NoReturn:
        from shellstream.daemon import token_command  # the daemon does not need it

        given = Options() if self.parent is None else self.parent
        folder, config = _folder(given["state-dir"]), given["config"]
        commands = None if config is None else tuple(_load(config).commands)
        sys.exit(
            token_command.main(options or (), folder, os.environ, wall_clock, commands)
        )


class Options(usage.Options):
    """The options of C{twistd shellstream}."""

    synopsis = "[options]"
    longdesc = (
        "Runs the commands of a configuration for HTTP clients and streams "
        "their output as it is written. Without --config it has one command, "
        "count. Try: curl -N http://127.0.0.1:8000/stream"
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
            "Folder that keeps runs and their output over restarts; :memory: to keep "
            "them in memory. [default: $STATE_DIRECTORY, $XDG_STATE_HOME/shellstream "
            "or ~/.local/state/shellstream]",
        ),
    )
    optFlags = (
        ("check", None, "Check the configuration, and exit."),
        (
            "insecure",
            None,
            "Require no authentication: anybody who can reach this daemon may run its "
            "commands.",
        ),
        (
            "tls",
            None,
            "Speak https on --port. Without a certificate in [tls] the first start "
            "makes one, and clients --pin it.",
        ),
    )
    subCommands = (("tokens", None, TokenOptions, "Make, list and revoke tokens."),)
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

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        _require_utf8()
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            # twistd would print its whole help before the one line that matters.
            known = [f"--{each.rstrip('=')}" for each in self.longOpt]
            known += [each[0] for each in self.subCommands]
            wrong = re.search(r"--\S+|(?<=command: ).+", str(error))
            hint = ""
            if wrong is not None and wrong[0] not in known:
                # At the default of 0.6, --nonsense would resemble --insecure.
                close = get_close_matches(wrong[0], known, n=1, cutoff=0.7)
                hint = f" (did you mean {close[0]}?)" if close else ""
            sys.exit(f"shellstream: {error}{hint}; see twistd shellstream --help")

    def opt_listen(self, endpoint: str) -> None:
        self.listen.append(endpoint)

    # Twisted shows the docstring in its help, with the indentation of each line.
    opt_listen.__doc__ = (
        "Twisted endpoint to listen on instead of --port, such as "
        "unix:/run/shellstream.sock; may be given several times. Put tls: before it "
        "for https."
    )
    opt_l = opt_listen

    def opt_version(self) -> None:
        """Print the version, and exit."""
        print(f"shellstream {__version__}")  # noqa: T201
        sys.exit(0)

    def postOptions(self) -> None:
        if self["config"] is not None:
            self.settings = _load(self["config"])
        if self["check"]:
            name = self["config"] or "built-in configuration"
            print(f"{name}: ok{_note(self.settings)}")  # noqa: T201
            sys.exit(0)
        if self["tls"] and self.settings.tls is None:
            self.settings = evolve(self.settings, tls=TLS())
        self["state-dir"] = _folder(self["state-dir"])
        if not self.listen or self["port"] or self["interface"]:
            secure = "" if self.settings.tls is None else TLS_PREFIX
            endpoint = _endpoint(self["port"], self["interface"])
            self.listen.append(f"{secure}{endpoint}")
        # In the foreground nobody needs the PID file of twistd, and it does harm: a
        # second daemon cannot start in the same working directory, and the first one
        # not in a read-only one.
        twistd: dict[str, Any] = self.parent or {}
        if twistd.get("nodaemon") and twistd["pidfile"] == "twistd.pid":
            twistd["pidfile"] = ""


def _folder(given: str | None) -> str | None:
    """The absolute path of C{--state-dir}, since twistd may change its directory."""
    if given is None or given == IN_MEMORY:
        return given
    if given.startswith("~"):
        # The shell expands ~ only where a word begins with it, without quotes.
        sys.exit(
            f"shellstream: --state-dir {given}: the shell has not expanded the ~; "
            f"write --state-dir {given} without = and quotes, or the whole path"
        )
    return str(Path(given).absolute())


def _note(config: Config) -> str:
    """What C{--check} says of a configuration that is right."""
    default = config.commands.get(config.default or "")
    if default is None or default.get:
        return ""
    return f"; GET runs {default.name} too, since it is the default"


def _require_utf8() -> None:
    """
    Where the locale has another encoding than UTF-8, begin again in Python's UTF-8 mode
    (PEP 540).

    Configurations and requests are UTF-8. But Python encodes what it hands to the
    system (arguments, variables, the names of files) as the locale says, and fails at
    what that cannot express; that choice is made when the interpreter starts. Commands
    get the operator's locale either way. The process keeps its id and its descriptors,
    and nothing has been done in it so far.
    """
    utf8 = sys.getfilesystemencoding() == "utf-8" or "utf8" in sys._xoptions
    if not utf8 and sys.executable:
        python = [sys.executable, "-X", "utf8"]
        os.execv(sys.executable, python + sys.orig_argv[1:])  # noqa: S606  # nosec B606


def _load(name: str) -> Config:
    """Read a configuration file, or exit with all mistakes in it."""
    try:
        # Some editors begin a file with a BOM.
        return parse(Path(name).read_text("utf-8-sig"))
    except OSError as error:
        sys.exit(f"shellstream: cannot read {name}: {error.strerror}")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        sys.exit(
            f"shellstream: {name} is not UTF-8: line {line} has other bytes; save the "
            "file as UTF-8"
        )
    except ConfigError as mistaken:
        count = len(mistaken.mistakes)
        mistakes = "1 mistake" if count == 1 else f"{count} mistakes"
        sys.exit(f"shellstream: {name} has {mistakes}:\n{mistaken}")


def _endpoint(port: str | None, interface: str | None) -> str:
    port = port or "8000"
    if not (re.fullmatch("[0-9]{1,5}", port) and int(port) <= 65535):
        sys.exit(f"shellstream: --port {port}: not a port; use 0 to 65535")
    host = quoteStringArgument(interface or "127.0.0.1")
    return f"tcp:{port}:interface={host}:backlog={BACKLOG}"


def _bounds(config: Config, files: int) -> HttpLimits:
    """The limits of clients, if this process may have so many open files."""
    bounds = config.http.capped_to(files, config.max_running)
    if bounds.connections < config.http.connections:
        _log.info(
            "at most {count} connections at once: the limit of {files} open files "
            "(ulimit -n) does not allow more",
            count=bounds.connections,
            files=files,
        )
    return bounds


def makeService(options: Options) -> IService:
    """Make the services of a daemon, from the parsed command line."""
    from twisted.internet import reactor as any_reactor

    reactor: Any = any_reactor
    # With the time of day, a timeout would last an hour longer when the clock is set
    # back by one.
    reactor.seconds = time.monotonic
    bound_turns(reactor)
    # After all services have started.
    reactor.addSystemEventTrigger("after", "startup", work_without_sigchld)
    reactor.addSystemEventTrigger("after", "startup", spare_old_objects)
    files = raise_file_limit()
    keep_descriptors()
    limits = _bounds(options.settings, files)
    listeners: list[Listener] = []

    def addresses() -> list[ListenAddress]:
        found = (each.address() for each in listeners)
        return [each for each in found if each is not None]

    def certificate_names() -> list[str]:
        hosts = (host for each in addresses() for host in each.hosts())
        return [*own_names(), "localhost", "127.0.0.1", "::1", *hosts]

    terminal = StartupTerminal()
    daemon = Daemon(
        options.settings,
        options["state-dir"],
        reactor,
        addresses,
        bool(options["insecure"]),
        limits,
        terminal.is_one,
    )
    site = SiteFactory(lambda: daemon.site)
    tls = None
    if _speaks_tls(options):
        assert options.settings.tls is not None
        tls = TLSService(
            options.settings.tls,
            lambda: daemon.folder,
            certificate_names,
            reactor,
            wall_clock,
        )
    for description in options.listen:
        if description.removeprefix(TLS_PREFIX) == "unix:":
            how = "needs a path, such as unix:/run/x.sock"
            sys.exit(f"shellstream: --listen {description} {how}")
        try:
            endpoint = serverFromString(reactor, description.removeprefix(TLS_PREFIX))
        except LookupError:
            sys.exit(f"shellstream: --listen {description}: not handed over by systemd")
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything
            sys.exit(f"shellstream: --listen {description}: {error}")
        factory: IProtocolFactory = site
        if tls is not None and description.startswith(TLS_PREFIX):
            factory = tls.wrap(site)
        listeners.append(Listener(description, endpoint, factory, tls))
    banner = StartupBanner(
        daemon, listeners, terminal, _background_text(options.parent or {})
    )
    services = MultiService()
    watchdog = ReactorWatchdog(reactor)
    for service in (watchdog, daemon, tls, *listeners, banner):
        if service is not None:
            service.setServiceParent(services)
    return services


def _background_text(twistd: Mapping[str, Any]) -> str:
    """The line for a terminal whose daemon goes into the background; else empty."""
    if twistd.get("nodaemon", True):
        return ""
    folder = Path(twistd["rundir"] or ".").absolute()
    log = "syslog" if twistd["syslog"] else folder / (twistd["logfile"] or "twistd.log")
    return (
        f"shellstream: runs in the background, its log is {log}; to end it, type: "
        f"kill $(cat {folder / twistd['pidfile']})\n"
    )


def _speaks_tls(options: Options) -> bool:
    """Whether an endpoint speaks TLS; exit if that contradicts the configuration."""
    secure = [each for each in options.listen if each.startswith(TLS_PREFIX)]
    if options.settings.tls is None and secure:
        how = "needs [tls] in the configuration, or --tls"
        sys.exit(f"shellstream: --listen {secure[0]}: {how}")
    if options.settings.tls is not None and not secure:
        sys.exit(
            "shellstream: TLS is configured, but nothing listens with it: give a "
            "--port, or put tls: before an endpoint, as in --listen tls:tcp:8443"
        )
    return bool(secure)
