"""C{login}: tries a server and its token, and saves them."""

import os
import re
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from shellstream.client.api import Client
from shellstream.client.cli.configuration import (
    Configuration,
    change_saved,
    load_configuration,
    load_saved,
    load_written,
    saved_path,
)
from shellstream.client.cli.messages import Messages, print_message
from shellstream.client.cli.settings import (
    MOST_OF_TOKEN,
    Settings,
    check_token,
    load_settings,
)
from shellstream.client.cli.stdin import is_redirected
from shellstream.client.errors import (
    CannotRead,
    ClientError,
    ConfigError,
    Refused,
    TLSFailed,
    Usage,
)

from .connection import client_of
from .secret_params import ask_secret, interruptible

#: A name for a server: a bare key in TOML, and no URL.
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

#: Files of the command line, which are saved by their whole names.
_FILES = ("cacert", "cert", "key")

#: The variables with which a user has chosen the token already.
_TOKENS = ("SHELLSTREAM_TOKEN", "SHELLSTREAM_TOKEN_FILE")


class WrongToken(ClientError):
    """The server refuses the token that it was given (C{EX_DATAERR})."""

    code = 65


async def login(reactor: Any, args: Namespace) -> int:
    """
    Try a server, and save it with its token.

    @raise ClientError: if it refuses the token, or cannot be reached.
    """
    messages = Messages(quiet=args.quiet, verbose=args.verbose)
    args.server = args.url or args.server
    saved = load_saved(os.environ, _ignore)
    settings = load_settings(args, os.environ)
    name = args.name or _name_of(args.server, settings.url, saved)
    if not NAME.fullmatch(name):
        raise Usage(f"--name {name}: it may have letters, digits, - and _ only")
    if name in load_written(os.environ, _ignore).servers:
        where = f"client.toml names a server {name!r} already"
        raise ConfigError(f"{where}: write its token_file there, or give --name")
    has_token = args.token_file or any(map(os.environ.get, _TOKENS))
    if not has_token and (text := _read_token()):
        token = check_token(text, "standard input")
        settings, has_token = settings._replace(token=token), True

    def client(settings: Settings) -> Client:
        return client_of(reactor, args, messages, settings)

    settings, as_whom = await authenticate(settings, client, ask=not has_token)
    entry = {"url": settings.url}
    if settings.token is not None:
        entry["token"] = settings.token
    if settings.trust.pin is not None:
        entry["pin"] = settings.trust.pin
    for key in _FILES:
        if (path := getattr(settings.trust, key)) is not None:
            entry[key] = os.path.abspath(path)
    url = settings.url

    def add(saved: Configuration) -> Configuration:
        # Another login may have taken the name meanwhile.
        free = args.name or _name_of(args.server, url, saved)
        return Configuration(free, {**saved.servers, free: entry})

    name = change_saved(os.environ, add).default or name
    path = saved_path(os.environ)
    messages.info(f"logged in to {url} as {as_whom}; saved as {name} in {path}")
    _tell_default(name, messages)
    return 0


async def authenticate(
    settings: Settings, client: Callable[[Settings], Client], *, ask: bool
) -> tuple[Settings, str]:
    """
    Find out what a server asks for, and ask the user for it.

    @param client: makes a client with some settings.
    @param ask: whether to ask for another token where the server refuses that of the
        settings, or there is none.
    @return: the settings with which the server knows the user, and the name it knows.
    """
    while True:
        try:
            return settings, await client(settings).principal()
        except TLSFailed as error:
            # A pin that does not fit is no reason to offer another one.
            if error.fingerprint is None or settings.trust.pin or settings.trust.cacert:
                raise
            if not _confirm_pin(settings.url, error):
                raise
            trust = settings.trust._replace(pin=error.fingerprint)
            settings = settings._replace(trust=trust)
        except Refused as error:
            if error.status != 401 or not error.is_ours:
                raise
            if not ask:
                raise WrongToken(
                    f"{settings.url} does not know this token; shellstreamd tokens "
                    "make NAME, on the server's machine, makes one"
                ) from None
            ask = False
            token = _ask_token(settings.url)
            settings = settings._replace(token=check_token(token, "the token"))


def _read_token() -> str:
    """The token, if standard input is a pipe or a file with one; else nothing."""
    if not is_redirected():
        return ""
    try:
        data = sys.stdin.buffer.read(MOST_OF_TOKEN)
    except OSError as error:
        raise CannotRead(f"standard input: {error.strerror}") from None
    return data.decode("utf-8-sig", "replace").strip()


def _ask_token(url: str) -> str:
    """
    The token, which the user types without an echo.

    @raise CannotRead: if there is none.
    """
    text = ""
    if os.isatty(0):
        text = ask_secret(f"Token for {url}: ").strip()
    if not text:
        raise CannotRead(f"{url} asks for a token, and none was given")
    return text


def _confirm_pin(url: str, error: TLSFailed) -> bool:
    """
    Ask, as ssh does, whether the certificate of a server is the right one.

    @return: L{False} if nobody can be asked.
    @raise TLSFailed: if it is not.
    """
    if not os.isatty(0):
        return False
    print_message(f"{url}: no authority vouches for the certificate of this server")
    print_message(f"its fingerprint is {error.fingerprint}")
    print_message("the daemon printed it at its start; trust it from now on (yes/no)?")
    with interruptible():
        if sys.stdin.readline().strip().lower() == "yes":
            return True
    raise TLSFailed(url, "the certificate is not trusted; nothing is saved")


def _name_of(given: str | None, url: str, saved: Configuration) -> str:
    """The name for a server: that which it has already, or one made of its host."""
    if given in saved.servers:
        return given
    for name, entry in saved.servers.items():
        if entry["url"] == url:
            return name
    host = urlsplit(url).hostname or ""
    first = host if host.replace(".", "").isdigit() else host.partition(".")[0]
    base = "".join(each if NAME.fullmatch(each) else "-" for each in first).strip("-")
    base = base or "server"
    name, number = base, 2
    while name in saved.servers:
        name, number = f"{base}-{number}", number + 1
    return name


def _tell_default(name: str, messages: Messages) -> None:
    """Tell if something else than the saved default is asked."""
    default = load_configuration(os.environ, _ignore).default
    if os.environ.get("SHELLSTREAM_URL"):
        messages.info(f"$SHELLSTREAM_URL goes before it; --server {name} asks it")
    elif default != name:
        messages.info(f"client.toml names another default; --server {name} asks it")


def _ignore(text: str) -> None:
    """Drop a warning: it has been printed already."""
