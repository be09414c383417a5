"""Which server, and how to prove to each other who we are."""

import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from shellstream.client.errors import ConfigWrong, Usage
from shellstream.client.transport.asyncio_wire import AsyncioWire
from shellstream.client.transport.fingerprint import digest
from shellstream.client.transport.treq_wire import http_client
from shellstream.client.transport.trust import BOTH, Trust
from shellstream.client.urls import http_url

DEFAULT_SERVER = "http://127.0.0.1:8000"

#: What may be said of a server in the configuration.
_KEYS = ("url", "token_file", "cacert", "pin", "cert", "key")


class Settings(NamedTuple):
    """A server, and what it takes to talk to it."""

    url: str
    token: str | None = None
    trust: Trust = Trust()

    def tls(self) -> Trust | None:
        """
        How to speak TLS; L{None} for the usual way.

        @raise Usage: if it was asked for where there is none.
        """
        given = self.trust._asdict()
        if not any(given.values()):
            return None
        if not self.url.startswith("https:"):
            name = next(name for name, value in given.items() if value)
            raise Usage(
                f"{self.url} is not https://, so --{name} would protect nothing"
            )
        if self.trust.key and not self.trust.cert:
            raise Usage("--key needs --cert: the certificate that it is for")
        if self.trust.pin and self.trust.cacert:
            raise Usage(BOTH)
        return self.trust


def settings(
    given: Namespace, environ: Mapping[str, str], other: str | None = None
) -> Settings:
    """
    What the command line says, then the environment, then the configuration.

    @param other: a URL that is asked for instead. What is known of a server is for
        that server: another one is shown nothing but what the command line names. A
        token in the environment is for the server that is named there; for this
        URL, if none is named anywhere.
    @raise Usage: if a URL is none.
    @raise ConfigWrong: if a file is not right.
    """
    config = _configuration(environ)
    servers: dict[str, dict[str, str]] = config.get("servers", {})
    theirs = environ.get("SHELLSTREAM_URL")
    wanted = given.server or theirs or config.get("server")
    entry = servers.get(wanted or "", {})

    def url_of(name: str) -> str:
        return http_url(servers.get(name, {}).get("url") or name, servers)

    url = url_of(wanted or DEFAULT_SERVER)
    token = None
    if given.server and theirs and _origin(url_of(theirs)) != _origin(url):
        environ = {}
    if other is not None and wanted and _origin(other) != _origin(url):
        entry, environ = {}, {}
    if given.token_file:
        token = _token(given.token_file)
    elif "token_file" in entry:
        token = _token(entry["token_file"])
    elif environ.get("SHELLSTREAM_TOKEN"):
        token = _checked(environ["SHELLSTREAM_TOKEN"], "$SHELLSTREAM_TOKEN")
    elif environ.get("SHELLSTREAM_TOKEN_FILE"):
        token = _token(environ["SHELLSTREAM_TOKEN_FILE"])

    def file(name: str) -> str | None:
        path = getattr(given, name) or entry.get(name)
        return path and str(Path(path).expanduser())

    pin = None
    if given.pin:
        pin = _pin(given.pin, "--pin", Usage)
    elif "pin" in entry:
        pin = _pin(entry["pin"], f"servers.{wanted}.pin", ConfigWrong)
    elif environ.get("SHELLSTREAM_PIN"):
        pin = _pin(environ["SHELLSTREAM_PIN"], "$SHELLSTREAM_PIN", ConfigWrong)
    trust = Trust(file("cacert"), file("cert"), file("key"), pin)
    return Settings(other or url, token, trust)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _pin(text: str, where: str, kind: type[Usage | ConfigWrong]) -> str:
    try:
        digest(text)
    except ValueError as error:
        raise kind(f"{where}: {error}") from None
    return text


def _token(path: str) -> str:
    try:
        text = Path(path).expanduser().read_text("utf-8")
    except OSError as error:
        raise ConfigWrong(f"{path}: {error.strerror}") from None
    except UnicodeError:
        raise ConfigWrong(f"{path}: it is no text") from None
    return _checked(text.strip(), path)


def _checked(token: str, where: str) -> str:
    # RFC 6750, 2.1
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
        raise ConfigWrong(f"{where}: it holds no token, which is one word")
    return token


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the configuration is, if there is one (XDG Base Directory)."""
    home = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "shellstream" / "client.toml"


def _configuration(environ: Mapping[str, str]) -> dict[str, Any]:
    path = config_path(environ)
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigWrong(f"{path}: {error.strerror}") from None
    import tomllib

    try:
        found = tomllib.loads(data.decode())
    except ValueError as error:
        raise ConfigWrong(f"{path}: {error}") from None
    wrong = list(_faults(found))
    if wrong:
        raise ConfigWrong(f"{path}: {'; '.join(wrong)}")
    return found


def _faults(found: Mapping[str, Any]) -> "list[str]":
    """All that is wrong with a configuration."""
    faults = [
        f"{name}: is unknown here; there are server and [servers.NAME]"
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
                faults.append(f"{where}.{key}: is unknown here; there are {known}")
            elif not isinstance(value, str):
                faults.append(f"{where}.{key}: must be a string")
    return faults


def wire_to(where: Settings) -> AsyncioWire:
    """
    What asks this server.

    @raise ClientError: if what it takes to trust each other is not right.
    """
    trust = where.tls()
    policy = None if trust is None else trust.policy()
    return AsyncioWire(lambda reactor: http_client(reactor, policy))
