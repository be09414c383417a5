"""C{shellstreamd}, C{twistd shellstream}: the options, and the services."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from twisted.application.service import IService
from twisted.python import usage

from shellstream import __version__
from shellstream.config.files import ConfigFiles, ConfigUnusable, Loaded, usual_files
from shellstream.config.loader import BUILT_IN, DEMO, IN_MEMORY, Config
from shellstream.config.tls_settings import TLS_PREFIX
from shellstream.daemon.lifecycle.socket_activation import handed_over
from shellstream.model.errors import ShellstreamError
from shellstream.programs import typed

#: The types of endpoints that speak no TLS, whatever follows.
_PLAIN = ("tcp", "tcp6", "unix", "systemd")

#: How the log may be written, and how much of it.
LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warn", "error", "critical")

#: Connections that may wait to be accepted. When more come at once, the kernels of the
#: clients try again a second later (listen(2)).
BACKLOG = 1024


class TokenOptions(usage.Options):
    """C{shellstreamd tokens}: hands the rest to L{daemon.token_command}."""

    def parseOptions(self, options: Sequence[str] | None = None) -> NoReturn:
        # The daemon does not need it.
        from shellstream.daemon import service, token_command

        given = Options() if self.parent is None else self.parent
        folder, commands = _folder(given["state-dir"]), _command_names(given)
        sys.exit(
            token_command.main(
                options or (), folder, os.environ, service.wall_clock, commands
            )
        )


class NotifyOptions(usage.Options):
    """C{shellstreamd notify NAME}: sends one notification, as a trial."""

    synopsis = "[options]"
    longdesc = (
        "Sends a notification of the configuration for a run that never was, and shows "
        "what its server or program answers."
    )

    def parseArgs(self, name: str) -> None:  # type: ignore[override]
        self["name"] = name

    def postOptions(self) -> NoReturn:
        # The daemon does not need it.
        from twisted.internet.task import react

        from shellstream.notifications.trial import explain, try_out

        given = Options() if self.parent is None else self.parent
        config = _load(_files(given)).config

        async def begin(reactor: Any) -> None:
            try:
                attempt = await try_out(reactor, config, self["name"])
            except ShellstreamError as error:
                sys.exit(f"shellstream: {error}")
            print(explain(attempt))  # noqa: T201
            sys.exit(0 if attempt.delivered else 1)

        react(begin)


class Options(usage.Options):
    """The options of the daemon."""

    synopsis = "[options]"
    longdesc = (
        "Runs the commands of a configuration for HTTP clients and streams "
        "their output as it is written. Without any configuration it has one command, "
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
        (
            "config",
            "c",
            None,
            "TOML file with the commands that may be run; :demo: for one that counts "
            "to three. [default: $XDG_CONFIG_HOME/shellstream/shellstream.toml or "
            "~/.config/shellstream/shellstream.toml, or else "
            "/etc/shellstream/shellstream.toml]",
        ),
        (
            "state-dir",
            "d",
            None,
            "Folder that keeps runs and their output over restarts; :memory: to keep "
            "them in memory. [default: $STATE_DIRECTORY, $XDG_STATE_HOME/shellstream "
            "or ~/.local/state/shellstream]",
        ),
        (
            "log-format",
            None,
            "text",
            "text, or json for a line of JSON for each event.",
        ),
        (
            "log-level",
            None,
            "info",
            "The least important events to log: debug, info (with each request), warn, "
            "error or critical.",
        ),
    )
    optFlags = (
        (
            "check",
            None,
            "Check the configuration, say in words what it means, and exit: with 0, "
            "or 1 if the daemon would not start with it.",
        ),
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
    subCommands = (
        ("tokens", None, TokenOptions, "Make, list and revoke tokens."),
        ("notify", None, NotifyOptions, "Send a notification as a trial."),
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
        self.files = ConfigFiles(None)
        self.loaded = Loaded(DEMO)

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
            sys.exit(f"shellstream: {error}{hint}; see {typed('shellstreamd')} --help")

    def opt_listen(self, endpoint: str) -> None:
        self.listen.append(endpoint)

    # Twisted shows the docstring in its help, with the indentation of each line.
    opt_listen.__doc__ = (
        "Twisted endpoint to listen on instead of --port, such as "
        "unix:/run/shellstream.sock; may be given several times. Put tls: before it "
        "for https."
    )
    opt_l = opt_listen

    @property
    def settings(self) -> Config:
        """The configuration that was read."""
        return self.loaded.config

    def opt_version(self) -> None:
        """Print the version, and exit."""
        print(f"shellstream {__version__}")  # noqa: T201
        sys.exit(0)

    def _check(self) -> NoReturn:
        # The daemon does not need it.
        from shellstream.daemon.configuration.check import check

        _speaks_tls(self)
        sys.exit(
            check(
                self.files,
                self.loaded,
                self.listen,
                self["state-dir"],
                os.environ,
                insecure=bool(self["insecure"]),
            )
        )

    def postOptions(self) -> None:
        self.files = _files(self)
        self.loaded = _load(self.files)
        self._check_log()
        self["state-dir"] = _folder(self["state-dir"])
        secure = "" if self.settings.tls is None else TLS_PREFIX
        if not (self.listen or self["port"] or self["interface"]):
            self.listen = [f"{secure}{each}" for each in handed_over(os.environ)]
        if not self.listen or self["port"] or self["interface"]:
            endpoint = _endpoint(self["port"], self["interface"])
            self.listen.append(f"{secure}{endpoint}")
        if self["check"]:
            self._check()
        # In the foreground nobody needs the PID file of twistd, and it does harm: a
        # second daemon cannot start in the same working directory, and the first one
        # not in a read-only one.
        twistd: dict[str, Any] = self.parent or {}
        if twistd.get("nodaemon") and twistd["pidfile"] == "twistd.pid":
            twistd["pidfile"] = ""

    def _check_log(self) -> None:
        """Exit if the log cannot be as the options say."""
        for name, allowed in (("log-format", LOG_FORMATS), ("log-level", LOG_LEVELS)):
            if self[name] not in allowed:
                known = ", ".join(allowed)
                sys.exit(f"shellstream: --{name} {self[name]}: choose one of: {known}")


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


def _files(options: Mapping[str, Any]) -> ConfigFiles:
    """The files of the configuration, by absolute paths as twistd may change folder."""
    if options["config"] == BUILT_IN:
        return ConfigFiles(None, (), bool(options["tls"]))
    if options["config"] is not None:
        return ConfigFiles(Path(options["config"]).absolute(), (), bool(options["tls"]))
    return ConfigFiles(None, usual_files(os.environ), bool(options["tls"]))


def _command_names(options: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The commands of the configuration; L{None} if none is given, and none found."""
    files = _files(options)
    try:
        loaded = files.load()
    except ConfigUnusable as error:
        if files.given is None:  # revoking a token must not depend on it
            return None
        sys.exit(f"shellstream: {error}")
    return None if loaded.path is None else tuple(loaded.config.commands)


def _load(files: ConfigFiles) -> Loaded:
    """Read the configuration, or exit with all mistakes in it."""
    try:
        return files.load()
    except ConfigUnusable as error:
        sys.exit(f"shellstream: {error}")


def _endpoint(port: str | None, interface: str | None) -> str:
    port = port or "8000"
    if not (re.fullmatch("[0-9]{1,5}", port) and int(port) <= 65535):
        sys.exit(f"shellstream: --port {port}: not a port; use 0 to 65535")
    # As Twisted's quoteStringArgument() does, which comes with all of its endpoints.
    host = re.sub(r"[\\:]", r"\\\g<0>", interface or "127.0.0.1")
    return f"tcp:{port}:interface={host}:backlog={BACKLOG}"


def makeService(options: Options) -> IService:
    """Make the services of a daemon, from the parsed command line."""
    speaks_tls = _speaks_tls(options)
    known = all(each.partition(":")[0] in _PLAIN for each in options.listen)
    with nullcontext() if speaks_tls or not known else tls_hidden():
        from twisted.internet import reactor

        from shellstream.daemon.assembly import assemble
    services = assemble(
        reactor,
        options.files,
        options.loaded,
        options["state-dir"],
        options.listen,
        insecure=bool(options["insecure"]),
        in_background=_background_text(options.parent or {}),
    )
    twistd = options.parent
    if twistd is None or twistd["syslog"] or twistd["logger"]:  # it has its own
        return services
    from shellstream.daemon.logs.observer import ObservedServices, log_observer

    running: Any = reactor
    form, level = options["log-format"], options["log-level"]
    observed = ObservedServices(
        lambda: log_observer(form, level, twistd, running.callFromThread)
    )
    services.setServiceParent(observed)
    return observed


@contextmanager
def tls_hidden() -> Iterator[None]:
    """
    Hide pyOpenSSL from what is imported meanwhile.

    Twisted imports it wherever it is installed, whether or not anything speaks TLS, and
    does without it elsewhere. It takes 14 MB, a quarter of an idle daemon.
    """
    if "OpenSSL" in sys.modules:
        yield
        return
    sys.modules["OpenSSL"] = None  # type: ignore[assignment]  # says the import system
    try:
        yield
    finally:
        del sys.modules["OpenSSL"]


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
