"""Which server to ask, and the secrets and certificates that it takes."""

import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from shellstream.client.errors import ConfigError, Usage
from shellstream.client.transport.fingerprint import parse_fingerprint
from shellstream.client.transport.trust import PIN_AND_CACERT, Trust
from shellstream.client.urls import http_url, server_of

from .configuration import check_mode, load_configuration
from .messages import print_message
from .options import DEFAULT_SERVER, ENVIRONMENT

if TYPE_CHECKING:
    from shellstream.client.transport.treq_wire import TreqWire

#: The most bytes of a file with a token; a token has far fewer.
MOST_OF_TOKEN = 1 << 16

#: A C{traceparent} that a server may take for valid (W3C Trace Context).
_TRACEPARENT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

#: The most characters of a C{tracestate} that are sent.
_MAX_TRACESTATE = 512


class Settings(NamedTuple):
    """
    A server, and what a client needs to talk to it.

    @ivar headers: are sent with each request.
    """

    url: str
    token: str | None = None
    trust: Trust = Trust()
    headers: Mapping[str, str] = {}

    def checked_trust(self) -> Trust | None:
        """
        The certificates to use; L{None} for the system's authorities.

        @raise Usage: if they would protect nothing, or contradict each other.
        """
        given = {name: value for name, value in self.trust._asdict().items() if value}
        if not given:
            return None
        if not self.url.startswith("https:"):
            option = next(iter(given))
            raise Usage(
                f"{self.url} is not https://, so --{option} would protect nothing"
            )
        if self.trust.key and not self.trust.cert:
            raise Usage("--key needs --cert, the certificate that it belongs to")
        if self.trust.pin and self.trust.cacert:
            raise Usage(PIN_AND_CACERT)
        return self.trust


def load_settings(
    args: Namespace,
    environ: Mapping[str, str],
    url: str | None = None,
    warn: Callable[[str], object] = print_message,
) -> Settings:
    """
    Read the command line, then the environment, then the configuration. The entry of a
    server that the command line names goes before the environment: it is its own.

    Secrets go only to the server that they are meant for. The configuration's entry
    for one server is never used for a C{url} of another server. If C{SHELLSTREAM_URL}
    names a server, a token in the environment goes to that server alone. Options of the
    command line are always used.

    @param url: a URL to ask instead of the server's.
    @param warn: called with what a user should know, unless the user wants quiet.
    @raise Usage: if a URL is malformed.
    @raise ConfigError: if a file is malformed.
    """
    if args.quiet:
        warn = _ignore
    trace = _trace_headers(environ)
    # A shell's $(cat FILE) has dropped the line end; other ways to set them keep it.
    environ = {
        name: _trimmed(environ[name]) if name in ENVIRONMENT else environ[name]
        for name in (*ENVIRONMENT, "XDG_CONFIG_HOME")
        if name in environ
    }
    config = load_configuration(environ, warn)
    servers = config.servers
    named_by_environ = environ.get("SHELLSTREAM_URL")
    name: str | None = args.server or named_by_environ or config.default

    def url_of(name: str) -> str:
        found = http_url(servers.get(name, {}).get("url") or name, servers)
        # Paths are added to it, which a ? or a # would swallow.
        if re.search("[?#]", found):
            raise Usage(f"{found!r}: the URL of a server has no ? and no #")
        return (server_of(found) or found).rstrip("/")

    server = url_of(name or DEFAULT_SERVER)
    if (
        args.server
        and named_by_environ
        and _origin(url_of(named_by_environ)) != _origin(server)
    ):
        environ = {}  # its token is for the other server
    if url is not None and name and _origin(url) != _origin(server):
        name, environ = None, {}
    if name not in servers or url is not None:
        # A server of the configuration may be asked by its URL, too.
        asked = (url or server).rstrip("/")
        same = (each for each in servers if _is_at(servers[each]["url"], asked))
        name = next(same, name)
    entry = servers.get(name or "", {})
    chosen = bool(args.server or url)

    def first(*keys: str) -> tuple[str, str, str] | None:
        """The first that is given of these: its key, its value and its place."""
        of_entry = [(key, entry.get(key), f"servers.{name}.{key}") for key in keys]
        of_environ = [
            (key, environ.get(_variable(key)[1:]), _variable(key)) for key in keys
        ]
        both = of_entry + of_environ if chosen else of_environ + of_entry
        given = ((key, value, where) for key, value, where in both if value)
        return next(given, None)

    token = None
    if args.token_file:
        token = _read_token(args.token_file, "--token-file", warn)
    elif (found := first("token", "token_file")) is not None:
        kind, value, where = found
        if kind == "token":
            token = check_token(value, where)
        else:
            token = _read_token(value, where, warn)

    def file(key: str) -> str | None:
        path = getattr(args, key) or entry.get(key)
        return path and str(_expand(path, f"--{key}"))

    pin = None
    if args.pin:
        pin = _check_pin(args.pin, "--pin", Usage)
    elif (found := first("pin")) is not None:
        pin = _check_pin(found[1], found[2], ConfigError)
    trust = Trust(file("cacert"), file("cert"), file("key"), pin)
    key = trust.key or trust.cert
    if key is not None and Path(key).exists():
        check_mode(Path(key), "the key of this client's certificate", warn)
    return Settings(url or server, token, trust, trace)


def _trace_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """The trace that the caller is a part of (W3C Trace Context); empty without one."""
    parent = environ.get("TRACEPARENT", "")
    if _TRACEPARENT.fullmatch(parent) is None:
        return {}
    state = environ.get("TRACESTATE", "")
    fits = state.isascii() and state.isprintable() and 0 < len(state) <= _MAX_TRACESTATE
    return {"traceparent": parent, **({"tracestate": state} if fits else {})}


def _variable(key: str) -> str:
    return f"$SHELLSTREAM_{key.upper()}"


def _is_at(text: str, asked: str) -> bool:
    """Whether the URL of an entry is that of the server that is asked."""
    try:
        url = http_url(text)
    except Usage:  # it is not asked, so its mistake does not matter now
        return False
    return (server_of(url) or url).rstrip("/") == asked


def _trimmed(value: str) -> str:
    """Without white space around it, and the mark with which Windows begins a text."""
    return value.strip().removeprefix("\ufeff").strip()


def _origin(url: str) -> tuple[str, str | None, int | None]:
    # As in RFC 6454: another port may be another user's server.
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _check_pin(text: str, where: str, kind: type[Usage | ConfigError]) -> str:
    try:
        parse_fingerprint(text)
    except ValueError as error:
        raise kind(f"{where}: {error}") from None
    return text


def _ignore(text: str) -> None:
    """Drop a warning."""


def _expand(path: str, named_by: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        why = "this user has no home directory; write the whole path"
        raise ConfigError(f"{named_by} {path}: {why}") from None


def _read_token(path: str, named_by: str, warn: Callable[[str], object]) -> str:
    where = f"{named_by} {path}"
    try:
        check_mode(found := _expand(path, named_by), where, warn)
        with found.open("rb") as file:
            text = file.read(MOST_OF_TOKEN).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}") from None
    except UnicodeError:
        raise ConfigError(f"{where}: it is not text") from None
    return check_token(text.strip(), where)


def check_token(token: str, where: str) -> str:
    # The syntax of bearer tokens, RFC 6750, section 2.1.
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
        odd = re.search(r"[^A-Za-z0-9._~+/=-]", token)
        why = f"no token has the character {odd[0]!r}" if odd else "this is no token"
        raise ConfigError(f"{where}: {why}; paste the whole token")
    return token


def make_wire(reactor: Any, settings: Settings) -> "TreqWire":
    """
    The wire to a server.

    @raise ClientError: if the certificates cannot be used.
    """
    # Late: completion reads the settings, and is not to wait for treq.
    from shellstream.client.transport.treq_wire import TreqWire, http_client

    trust = settings.checked_trust()
    policy = None if trust is None else trust.policy()
    return TreqWire(reactor, http_client(reactor, policy))
