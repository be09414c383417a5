"""Which server to ask, and the secrets and certificates that it takes."""

import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from shellstream.client.errors import ConfigError, Usage
from shellstream.client.transport.fingerprint import parse_fingerprint
from shellstream.client.transport.treq_wire import TreqWire, http_client
from shellstream.client.transport.trust import PIN_AND_CACERT, Trust
from shellstream.client.urls import http_url

from .options import DEFAULT_SERVER

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
    args: Namespace, environ: Mapping[str, str], url: str | None = None
) -> Settings:
    """
    Read the command line, then the environment, then the configuration.

    Secrets go only to the server that they are meant for. The configuration's entry
    for one server is never used for a C{url} of another server. If C{SHELLSTREAM_URL}
    names a server, a token in the environment goes to that server alone. Options of the
    command line are always used.

    @param url: a URL to ask instead of the server's.
    @raise Usage: if a URL is malformed.
    @raise ConfigError: if a file is malformed.
    """
    config = _load_configuration(environ)
    servers: dict[str, dict[str, str]] = config.get("servers", {})
    named_by_environ = environ.get("SHELLSTREAM_URL")
    name = args.server or named_by_environ or config.get("server")
    entry = servers.get(name or "", {})

    def url_of(name: str) -> str:
        return http_url(servers.get(name, {}).get("url") or name, servers)

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
        token = _read_token(args.token_file, "--token-file")
    elif "token_file" in entry:
        token = _read_token(entry["token_file"], f"servers.{name}.token_file")
    elif environ.get("SHELLSTREAM_TOKEN"):
        token = _check_token(environ["SHELLSTREAM_TOKEN"], "$SHELLSTREAM_TOKEN")
    elif environ.get("SHELLSTREAM_TOKEN_FILE"):
        token = _read_token(
            environ["SHELLSTREAM_TOKEN_FILE"], "$SHELLSTREAM_TOKEN_FILE"
        )

    def file(key: str) -> str | None:
        path = getattr(args, key) or entry.get(key)
        return path and str(Path(path).expanduser())

    pin = None
    if args.pin:
        pin = _check_pin(args.pin, "--pin", Usage)
    elif "pin" in entry:
        pin = _check_pin(entry["pin"], f"servers.{name}.pin", ConfigError)
    elif environ.get("SHELLSTREAM_PIN"):
        pin = _check_pin(environ["SHELLSTREAM_PIN"], "$SHELLSTREAM_PIN", ConfigError)
    trust = Trust(file("cacert"), file("cert"), file("key"), pin)
    return Settings(url or server, token, trust)


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


def _read_token(path: str, named_by: str) -> str:
    where = f"{named_by} {path}"
    try:
        text = Path(path).expanduser().read_text("utf-8")
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


def _load_configuration(environ: Mapping[str, str]) -> dict[str, Any]:
    path = config_path(environ)
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    import tomllib  # late: most users have no configuration

    try:
        found = tomllib.loads(data.decode())
    except ValueError as error:
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
