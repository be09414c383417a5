"""Tests for L{shellstream.client.commands.login}: servers and tokens are saved."""

import contextlib
import io
import json
import os
import stat
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client import Client
from shellstream.client.cli.arguments import parse_arguments
from shellstream.client.cli.configuration import (
    Configuration,
    load_configuration,
    load_saved,
    save,
)
from shellstream.client.cli.settings import Settings, load_settings
from shellstream.client.commands import login, saved_servers
from shellstream.client.errors import (
    CannotRead,
    ClientError,
    ConfigError,
    TLSFailed,
    Usage,
)
from shellstream.client.transport.trust import Trust
from tests.support.client_wires import FakeWire, document, finish

PIN = f"SHA256:{'a' * 64}"
ME = {"version": "1", "principal": "me"}
UNAUTHORIZED = {"detail": "a token is needed"}


class SavedTestCase(SynchronousTestCase):
    """A folder for the configuration."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.environ = {"XDG_CONFIG_HOME": str(self.folder)}
        self.patch(os, "environ", self.environ)
        self.saved = self.folder / "shellstream" / "servers.toml"
        self.warnings: list[str] = []

    def written(self, text: str) -> None:
        """The file that the user writes."""
        (self.folder / "shellstream").mkdir(parents=True)
        (self.folder / "shellstream" / "client.toml").write_text(text)

    def settings(self, line: str, url: str | None = None) -> Settings:
        """What this command line means."""
        args = parse_arguments(line.split())
        return load_settings(args, self.environ, url, self.warnings.append)

    def save(self, default: str | None = "pi", **servers: dict[str, str]) -> None:
        save(self.environ, Configuration(default, servers))


class SavedTests(SavedTestCase):
    """What is saved is for this user alone, and for one server."""

    def test_file(self) -> None:
        """The file is whole, and nobody else can read it, whatever the umask is."""
        self.addCleanup(os.umask, os.umask(0))
        self.save(pi={"url": "http://pi:8000", "token": "t0k"})
        self.save(pi={"url": "http://pi:8000", "token": "t1k"}, b={"url": "http://b"})
        mode = stat.S_IMODE(self.saved.stat().st_mode)
        self.assertEqual(mode, 0o600)
        self.assertEqual(stat.S_IMODE(self.saved.parent.stat().st_mode), 0o700)
        self.assertEqual(os.listdir(self.saved.parent), ["servers.toml"])
        found = load_saved(self.environ, self.warnings.append)
        self.assertEqual(found.default, "pi")
        self.assertEqual(found.servers["pi"]["token"], "t1k")
        self.saved.chmod(0o644)
        load_saved(self.environ, self.warnings.append)
        self.assertIn("chmod 600", self.warnings[0])

    def test_unwritable(self) -> None:
        """A folder that cannot be written is an error, and leaves nothing behind."""
        self.folder.write_text("a file")
        error = self.assertRaises(ConfigError, self.save)
        self.assertIn("servers.toml: ", str(error))

    def test_used(self) -> None:
        """A saved server is asked by default, by its name, and by its URL."""
        self.save(pi={"url": "https://pi:8000/x", "token": "t0k", "pin": PIN})
        expected = Settings("https://pi:8000/x", "t0k", Trust(pin=PIN))
        for line in (
            "ps",
            "ps --server pi",
            "ps --server https://pi:8000/x",
            "ps --server https://pi:8000/x/stream",
        ):
            self.assertEqual(self.settings(line), expected, line)
        self.assertEqual(self.settings("x", "https://pi:8000/x"), expected)

    def test_not_for_others(self) -> None:
        """A saved token goes to no other server, port, scheme or machine."""
        self.save(
            pi={"url": "https://pi:8000/x", "token": "t0k", "pin": PIN},
            b={"url": "http://b:1/y", "token": "other"},
        )
        for url in (
            "http://pi:8000/x",
            "https://pi:8001/x",
            "https://pi/x",
            "https://pi.evil:8000/x",
            "https://evil:8000/x",
            "http://b:1/z",
        ):
            self.assertEqual(self.settings(f"ps --server {url}"), Settings(url))
            self.environ["SHELLSTREAM_URL"] = url
            self.assertEqual(self.settings("ps"), Settings(url))
            del self.environ["SHELLSTREAM_URL"]
            if not url.startswith("http://b"):
                self.assertEqual(self.settings("x", url), Settings(url))
        self.assertEqual(self.settings("x", "http://b:1/y").token, "other")

    def test_order(self) -> None:
        """An option goes before the environment, and that before what is saved."""
        self.save(pi={"url": "http://pi", "token": "saved"})
        self.environ["SHELLSTREAM_TOKEN"] = "env"
        self.assertEqual(self.settings("ps").token, "env")
        self.assertEqual(self.settings("ps --server pi").token, "saved")
        token = self.folder / "token"
        token.write_text("option")
        token.chmod(0o600)
        found = self.settings(f"ps --server pi --token-file {token}")
        self.assertEqual(found.token, "option")

    def test_written_first(self) -> None:
        """What the user has written goes before what is saved."""
        self.written('server = "a"\n[servers.a]\nurl = "http://a"\n')
        self.save(a={"url": "http://b"}, pi={"url": "http://pi"})
        self.assertEqual(self.settings("ps").url, "http://a")
        self.assertEqual(self.settings("ps --server pi").url, "http://pi")

    def test_no_token_written(self) -> None:
        """The user's own file has no tokens, only files of them."""
        self.written('[servers.a]\nurl = "http://a"\ntoken = "x"\n')
        error = self.assertRaises(
            ConfigError, load_configuration, self.environ, self.warnings.append
        )
        self.assertIn("servers.a.token: is unknown", str(error))

    def test_servers(self) -> None:
        """The list of servers shows no secret."""
        self.save(pi={"url": "http://pi", "token": "secret"}, b={"url": "http://b"})
        for line in ("servers", "servers --json"):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                saved_servers.servers(parse_arguments(line.split()))
            self.assertNotIn("secret", out.getvalue())
        first, _ = json.loads(out.getvalue())
        self.assertEqual((first["default"], first["token"]), (True, True))

    def test_logout(self) -> None:
        """A server is forgotten; without a name, the default."""
        said: list[str] = []
        self.patch(saved_servers, "print_message", said.append)
        self.save(pi={"url": "http://pi"}, b={"url": "http://b"})
        saved_servers.logout(parse_arguments(["logout"]))
        found = load_saved(self.environ, self.warnings.append)
        self.assertEqual(found, Configuration(None, {"b": {"url": "http://b"}}))
        self.assertIn("forgot pi, http://pi", said[0])
        for line in ("logout", "logout pi"):
            error = self.assertRaises(
                Usage, saved_servers.logout, parse_arguments(line.split())
            )
            self.assertIn("saved are: b", str(error))


class LoginTests(SavedTestCase):
    """A token and a certificate are tried before they are saved."""

    def setUp(self) -> None:
        super().setUp()
        self.piped, self.typed, self.trusts = "", "", False
        self.patch(login, "_read_token", lambda: self.piped)
        self.patch(login, "_ask_token", self.ask)
        self.patch(login, "_confirm_pin", lambda url, error: self.trusts)
        self.patch(login, "client_of", self.client)
        self.tried: list[tuple[str | None, str | None]] = []

    def ask(self, url: str) -> str:
        if not self.typed:
            raise CannotRead("none")
        return self.typed

    def client(self, reactor: Any, args: Any, messages: Any, given: Settings) -> Client:
        self.tried.append((given.token, given.trust.pin))
        return Client(given.url, FakeWire([self.answers.pop(0)]), token=given.token)

    def login(self, line: str, *answers: Any) -> Any:
        """Log in to a server that answers so; returns what is saved."""
        self.answers = [
            document(each, 401 if each is UNAUTHORIZED else 200)
            if isinstance(each, dict)
            else each
            for each in answers
        ]
        args = parse_arguments([*line.split(), "-q"])
        finish(login.login(None, args))
        return load_saved(self.environ, self.warnings.append)

    def test_open(self) -> None:
        """A server that asks for nothing is saved without a token, as the default."""
        found = self.login("login pi.lan:8000", ME)
        entry = {"url": "http://pi.lan:8000"}
        self.assertEqual(found, Configuration("pi", {"pi": entry}))

    def test_meanwhile(self) -> None:
        """What another login has saved meanwhile stays, under its own name."""
        other = {"pi": {"url": "http://pi.lan", "token": "t1k"}}

        def client(*given: Any) -> Client:
            self.save(pi=other["pi"])
            return self.client(*given)

        self.patch(login, "client_of", client)
        found = self.login("login http://pi.home", ME)
        both = {**other, "pi-2": {"url": "http://pi.home"}}
        self.assertEqual(found, Configuration("pi-2", both))

    def test_token(self) -> None:
        """The token is asked for only if the server wants one, and saved if it fits."""
        self.typed = "t0k"
        found = self.login("login http://pi --name my-pi", UNAUTHORIZED, ME)
        self.assertEqual(found.servers["my-pi"]["token"], "t0k")
        self.assertEqual(self.tried, [(None, None), ("t0k", None)])

    def test_piped(self) -> None:
        """A token from a pipe is tried at once, in place of a saved one."""
        self.piped = "first"
        self.login("login http://pi", ME)
        self.piped = "second"
        found = self.login("login pi", ME)
        self.assertEqual(found.servers, {"pi": {"url": "http://pi", "token": "second"}})

    def test_refused(self) -> None:
        """A token that the server refuses is not saved."""
        for piped, typed, error in (
            ("bad", "", login.WrongToken),
            ("", "bad", login.WrongToken),
            ("", "", CannotRead),
            ("", "b ad", ConfigError),
        ):
            self.piped, self.typed = piped, typed
            self.assertRaises(
                error, self.login, "login http://pi", UNAUTHORIZED, UNAUTHORIZED
            )
            self.assertFalse(self.saved.exists())

    def test_revoked(self) -> None:
        """Where a saved token is refused, another one is asked for."""
        self.piped = "old"
        self.login("login http://pi", ME)
        self.piped, self.typed = "", "new"
        found = self.login("login pi", UNAUTHORIZED, ME)
        self.assertEqual(found.servers["pi"]["token"], "new")

    def test_pin(self) -> None:
        """A certificate of no authority is pinned if the user says so."""
        unknown = TLSFailed("https://pi", "signed by no authority", PIN)
        self.assertRaises(TLSFailed, self.login, "login https://pi", unknown)
        self.assertFalse(self.saved.exists())
        self.trusts, self.typed = True, "t0k"
        found = self.login("login https://pi", unknown, UNAUTHORIZED, ME)
        entry = {"url": "https://pi", "token": "t0k", "pin": PIN}
        self.assertEqual(found.servers, {"pi": entry})
        # No token was sent before the certificate was known.
        self.assertEqual(self.tried[1:], [(None, None), (None, PIN), ("t0k", PIN)])

    def test_other_certificate(self) -> None:
        """A pinned server with another certificate is not pinned anew."""
        self.trusts = True
        self.login("login https://pi --pin " + PIN, ME)
        changed = TLSFailed("https://pi", "not as pinned", f"SHA256:{'b' * 64}")
        self.assertRaises(TLSFailed, self.login, "login pi", changed)

    def test_names(self) -> None:
        """Each server has a name of its own; the one that it has stays."""
        for url, name in (
            ("http://pi.lan:1", "pi"),
            ("http://pi.lan:2", "pi-2"),
            ("http://pi.lan:1", "pi"),
            ("http://192.0.2.7", "192-0-2-7"),
            ("http://[::1]:1", "1"),
        ):
            self.assertEqual(self.login(f"login {url}", ME).default, name)
        wrong = "login http://x --name a.b"
        self.assertIn("letters", str(self.assertRaises(Usage, self.login, wrong)))

    def test_written(self) -> None:
        """A server that the user has written is not saved behind its back."""
        self.written('[servers.pi]\nurl = "http://pi"\n')
        error = self.assertRaises(ClientError, self.login, "login pi", ME)
        self.assertIn("client.toml names a server 'pi' already", str(error))
