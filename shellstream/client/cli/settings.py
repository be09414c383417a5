"""Which server to ask, and the secrets and certificates that it takes."""

import re
import stat
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from shellstream.client.errors import ConfigError, Usage
from shellstream.client.transport.fingerprint import parse_fingerprint
from shellstream.client.transport.treq_wire import TreqWire, http_client
from shellstream.client.transport.trust import PIN_AND_CACERT, Trust
from shellstream.client.urls import http_url, server_of

from .messages import print_message
from .options import DEFAULT_SERVER, ENVIRONMENT

#: The most bytes of a file with a token; a token has far fewer.
_MOST_OF_TOKEN = 1 << 16

#: What a file with a secret should not permit: others may read it, or write to it.
_NOT_FOR_OTHERS = stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP

#: The keys of a [servers.NAME] table in the configuration.
_KEYS = ("url", "token_file", "cacert", "pin", "cert", "key")


class Settings(NamedTuple):
    """A server, and what a client needs to talk to it."""

    url: str
    token: str | None = None
    trust: Trust = Trust()

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
    Read the command line, then the environment, then the configuration.

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
    # A shell's $(cat FILE) has dropped the line end; other ways to set them keep it.
    environ = {
        name: _trimmed(environ[name]) if name in ENVIRONMENT else environ[name]
        for name in (*ENVIRONMENT, "XDG_CONFIG_HOME")
        if name in environ
    }
    config = _load_configuration(environ, warn)
    servers: dict[str, dict[str, str]] = config.get("servers", {})
    named_by_environ = environ.get("SHELLSTREAM_URL")
    name = args.server or named_by_environ or config.get("server")
    entry = servers.get(name or "", {})

    def url_of(name: str) -> str:
        found = http_url(servers.get(name, {}).get("url") or name, servers)
        # Paths are added to it, which a ? or a # would swallow.
        if re.search("[?#]", found):
            raise Usage(f"{found!r}: the URL of a server has no ? and no #")
        return server_of(found) or found

    server = url_of(name or DEFAULT_SERVER)
    if (
        args.server
        and named_by_environ
        and _origin(url_of(named_by_environ)) != _origin(server)
    ):
        environ = {}  # its token is for the other server
    if url is not None and name and _origin(url) != _origin(server):
        entry, environ = {}, {}
    token = None
    if args.token_file:
        token = _read_token(args.token_file, "--token-file", warn)
    elif "token_file" in entry:
        token = _read_token(entry["token_file"], f"servers.{name}.token_file", warn)
    elif environ.get("SHELLSTREAM_TOKEN"):
        token = _check_token(environ["SHELLSTREAM_TOKEN"], "$SHELLSTREAM_TOKEN")
    elif environ.get("SHELLSTREAM_TOKEN_FILE"):
        path = environ["SHELLSTREAM_TOKEN_FILE"]
        token = _read_token(path, "$SHELLSTREAM_TOKEN_FILE", warn)

    def file(key: str) -> str | None:
        path = getattr(args, key) or entry.get(key)
        return path and str(_expand(path, f"--{key}"))

    pin = None
    if args.pin:
        pin = _check_pin(args.pin, "--pin", Usage)
    elif "pin" in entry:
        pin = _check_pin(entry["pin"], f"servers.{name}.pin", ConfigError)
    elif environ.get("SHELLSTREAM_PIN"):
        pin = _check_pin(environ["SHELLSTREAM_PIN"], "$SHELLSTREAM_PIN", ConfigError)
    trust = Trust(file("cacert"), file("cert"), file("key"), pin)
    key = trust.key or trust.cert
    if key is not None and Path(key).exists():
        _check_mode(Path(key), "the key of this client's certificate", warn)
    return Settings(url or server, token, trust)


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


def _check_mode(path: Path, where: str, warn: Callable[[str], object]) -> None:
    """Warn of a file with a secret that is not its user's alone."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) and mode & _NOT_FOR_OTHERS:
        warn(f"{where}: other users can read or change it; type: chmod 600 {path}")


def _read_token(path: str, named_by: str, warn: Callable[[str], object]) -> str:
    where = f"{named_by} {path}"
    try:
        _check_mode(found := _expand(path, named_by), where, warn)
        with found.open("rb") as file:
            text = file.read(_MOST_OF_TOKEN).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}") from None
    except UnicodeError:
        raise ConfigError(f"{where}: it is not text") from None
    return _check_token(text.strip(), where)


def _check_token(token: str, where: str) -> str:
    # The syntax of bearer tokens, RFC 6750, section 2.1.
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
        odd = re.search(r"[^A-Za-z0-9._~+/=-]", token)
        why = f"no token has the character {odd[0]!r}" if odd else "this is no token"
        raise ConfigError(f"{where}: {why}; paste the whole token")
    return token


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the configuration is (XDG Base Directory Specification)."""
    home = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "shellstream" / "client.toml"


def _load_configuration(
    environ: Mapping[str, str], warn: Callable[[str], object]
) -> dict[str, Any]:
    try:
        path = config_path(environ)
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except RuntimeError:  # the user has no home directory, as in some containers
        return {}
    except PermissionError as error:
        # $HOME is often another user's, as with sudo -u.
        warn(f"{path}: {error.strerror}; going on without this configuration")
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    import tomllib  # late: most users have no configuration

    try:
        found = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeError:
        raise ConfigError(f"{path}: it is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from None
    faults = _faults(found)
    if faults:
        raise ConfigError(f"{path}: {'; '.join(faults)}")
    return found


def _faults(found: Mapping[str, Any]) -> list[str]:
    """All mistakes in a configuration, so that a user can mend them in one go."""
    faults = [
        f"{name}: is unknown; the keys are server and [servers.NAME]"
        for name in found
        if name not in ("server", "servers")
    ]
    if not isinstance(found.get("server", ""), str):
        faults.append("server: must be a URL, or a name")
    servers = found.get("servers", {})
    if not isinstance(servers, dict):
        return [*faults, "servers: must be tables, [servers.NAME]"]
    for name, entry in servers.items():
        where = f"servers.{name}"
        if not isinstance(entry, dict) or "url" not in entry:
            faults.append(f"{where}: must be a table with a url")
            continue
        for key, value in entry.items():
            if key not in _KEYS:
                known = ", ".join(_KEYS)
                faults.append(f"{where}.{key}: is unknown; the keys are {known}")
            elif not isinstance(value, str):
                faults.append(f"{where}.{key}: must be a string")
    return faults


def make_wire(reactor: Any, load_settings: Settings) -> TreqWire:
    """
    The wire to a server.

    @raise ClientError: if the certificates cannot be used.
    """
    trust = load_settings.checked_trust()
    policy = None if trust is None else trust.policy()
    return TreqWire(reactor, http_client(reactor, policy))
