"""The startup banner: where the daemon listens, and which command lines to type."""

import os
import socket
from collections.abc import Sequence

from attrs import define
from twisted.application.service import Service
from twisted.logger import Logger

from shellstream.config.loader import Config

from .listen_address import ListenAddress
from .listener import Listener
from .service import Daemon

_log = Logger(namespace="shellstream")


def command_to_name(config: Config) -> str | None:
    """The command that the command lines have to name; L{None}: there is a default."""
    return next(iter(config.commands), None) if config.default is None else None


def client_line(
    address: ListenAddress, token: str | None = None, command: str | None = None
) -> str:
    """A command line for the client of this project."""
    pin = f" --pin {address.pin}" if address.pin else ""
    variable = f"SHELLSTREAM_TOKEN={token} " if token else ""
    url = f"{address.scheme}://{address}"
    # The client would GET a URL, which most commands do not allow.
    words = f"{url}/stream" if command is None else f"run {command} --server {url}"
    return f"{variable}shellstream {words}{pin}"


def curl_line(
    address: ListenAddress, token: str | None = None, command: str | None = None
) -> str:
    """A command line for curl(1), which knows no certificate to C{--pin}."""
    socket_path, netloc = "", str(address)
    if address.path is not None:
        socket_path, netloc = f"--unix-socket {address.path} ", "localhost"
    user = f" -u :{token}" if token else ""
    post, name = ("", "") if command is None else ("-X POST ", f"/{command}")
    url = f"{address.scheme}://{netloc}/stream{name}"
    return f"curl -N {post}{socket_path}{url}{user}"


def banner(
    address: ListenAddress, *, required: bool = False, command: str | None = None
) -> list[str]:
    """
    The lines of the log for one address.

    @param required: whether clients have to authenticate.
    """
    token = "TOKEN" if required else None  # nosec B105  # a placeholder
    if address.path is not None:
        return [f"type: {curl_line(address, token, command)}"]
    if address.host() is None:
        return [f"listening on {address}"]
    # curl cannot check a fingerprint of the certificate; -k would accept any.
    make = client_line if address.pin else curl_line
    line = make(address, token, command)
    here = f"open {address.scheme}://{address}/ or type: {line}"
    if address.is_exposed and address.pin:
        return [f"{here} (on another machine, too)", *_other_addresses(address)]
    if address.is_exposed:
        elsewhere = client_line(address, token, command)
        return [
            f"{here} -- on another machine, type: {elsewhere} (or the same curl, if "
            "shellstream is not installed there)",
            *_other_addresses(address),
        ]
    # On loopback: a tunnel needs no change of the daemon, and encrypts.
    tunnel = f"ssh -NL {address.port}:{address} {socket.gethostname()}"
    return [
        f"{here} -- on another machine, first type: {tunnel}",
        "only this machine can connect; --interface 0.0.0.0 admits other machines, "
        "with a token",
    ]


def _other_addresses(address: ListenAddress) -> list[str]:
    _, *others = address.hosts()
    if not others:
        return []
    return [f"this machine's other addresses: {', '.join(others)}"]


def first_token_text(
    address: ListenAddress, token: str, command: str | None = None
) -> str:
    """The lines to paste on another machine. Show them once, and keep them nowhere."""
    if address.host() is None:
        return f"\nThe token of this daemon, shown only now: {token}\n\n"
    lines = [client_line(address, token, command)]
    if not address.pin:
        lines.append(curl_line(address, token, command))
    choice = "this line" if address.pin else "a line, the second if there is only curl,"
    return (
        f"\nTo connect, paste {choice} on the other machine. The token in it is shown "
        "only now.\n  " + "\n  ".join([*lines, *_other_addresses(address)]) + "\n"
        "A browser asks for the token as a password.\n\n"
    )


class StartupTerminal:
    """
    The standard output of the process that was started, for what no log may keep.

    Create it before the daemon goes into the background, where standard output is
    gone. Close it once the daemon has started: a pipe's reader may wait for its end.
    """

    def __init__(self) -> None:
        try:
            self._fd: int | None = os.dup(1)
        except OSError:  # standard output was closed
            self._fd = None

    @property
    def is_one(self) -> bool:
        """Whether it is a terminal: anything else may keep what is written to it."""
        return self._fd is not None and os.isatty(self._fd)

    def show(self, text: str) -> None:
        """Write a text, or log the reason why it cannot be shown."""
        why = "no standard output"
        if self._fd is not None:
            try:
                with open(self._fd, "w", closefd=False) as stream:
                    stream.write(text)
            except OSError as error:
                why = os.strerror(error.errno or 0)
            else:
                return
        _log.warn("the new token cannot be shown: {why}; make another", why=why)

    def close(self) -> None:
        """Close it; closing it again does nothing."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@define(eq=False)
class StartupBanner(Service):
    """
    Logs the banner. It starts after all other services, when nothing can prevent the
    start of the daemon any more.

    @ivar _about: where the configuration comes from.
    @ivar _background: a text for the terminal; empty for a daemon in the foreground,
        whose log is on the terminal.
    """

    _daemon: Daemon
    _listeners: Sequence[Listener]
    _terminal: StartupTerminal
    _about: str
    _background: str = ""
    _command: str | None = None

    def startService(self) -> None:
        super().startService()
        _log.info("{about}", about=self._about)
        if self._background:
            self._terminal.show(self._background)
        # The first token goes to one address only: it works for all of them.
        policy = self._daemon.auth_policy
        for listener in self._listeners:
            address = listener.address()
            if address is None:
                continue
            required = self._daemon.requires_credential(address)
            for line in banner(address, required=required, command=self._command):
                _log.info("{line}", line=line)
            if policy.insecure:
                _log.warn(
                    "--insecure: anyone who can reach {address} may run these commands",
                    address=address,
                )
            if address.is_exposed:
                token = policy.pop_first_token()
                if token is not None:
                    self._terminal.show(first_token_text(address, token, self._command))
        self._terminal.close()
