"""Tests for L{shellstream.client.cli.settings}: which server, and which secrets."""

import os
import pwd
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.cli.options import DEFAULT_SERVER
from shellstream.client.cli.settings import Settings, load_settings
from shellstream.client.errors import ConfigError, Usage
from shellstream.client.transport.trust import Trust

LAPTOP = """
server = "laptop"
[servers.laptop]
url = "https://laptop:8443/shell"
token_file = "{folder}/token"
cacert = "~/ca.pem"
[servers.pi]
url = "pi:8000"
"""


class SettingsTests(SynchronousTestCase):
    """The command line goes before the environment, and that before the file."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        (self.folder / "shellstream").mkdir(parents=True)
        (self.folder / "token").write_text("t0k-en_~+/.==\n")
        (self.folder / "token").chmod(0o600)
        self.config = self.folder / "shellstream" / "client.toml"

    def read(
        self, environ: dict[str, str] = {}, other: str | None = None, **given: str
    ) -> Settings:
        """Load the settings of this command line and environment."""
        names = ("server", "token_file", "cacert", "pin", "cert", "key", "quiet")
        found = Namespace(**{name: given.get(name) for name in names})
        environ = {"XDG_CONFIG_HOME": str(self.folder), **environ}
        self.warnings: list[str] = []
        return load_settings(found, environ, other, self.warnings.append)

    def at(self, server: str, **given: str) -> Callable[[], Trust | None]:
        """Return the function that reads the trusted certificates of this server."""
        return self.read({}, None, server=server, **given).checked_trust

    def test_default(self) -> None:
        """Without settings the server is this machine's daemon, without a token."""
        self.assertEqual(self.read(), Settings(DEFAULT_SERVER))
        self.assertEqual(self.read({"SHELLSTREAM_URL": ""}).url, DEFAULT_SERVER)

    def test_server(self) -> None:
        """A server is given by its URL, or by its name in the configuration."""
        self.config.write_text(LAPTOP.format(folder=self.folder))
        laptop = self.read()
        self.assertEqual(laptop.url, "https://laptop:8443/shell")
        self.assertEqual(laptop.token, "t0k-en_~+/.==")
        self.assertEqual(laptop.trust.cacert, str(Path("~/ca.pem").expanduser()))
        self.assertEqual(self.read(server="pi"), Settings("http://pi:8000"))
        self.assertEqual(self.read({"SHELLSTREAM_URL": "pi"}).url, "http://pi:8000")
        environ = {"SHELLSTREAM_URL": "http://other"}
        self.assertEqual(self.read(environ).url, "http://other")
        self.assertEqual(self.read(environ, server="laptop"), laptop)

    def test_stream_is_of_server(self) -> None:
        """The URL that a daemon prints names the server, too."""
        for end in ("/stream", "/stream/", "/stream/build"):
            for found in (
                self.read({"SHELLSTREAM_URL": f"http://pi:8000/shell{end}"}),
                self.read(server=f"pi:8000/shell{end}"),
            ):
                self.assertEqual(found.url, "http://pi:8000/shell")

    def test_query(self) -> None:
        """No path can be added behind a query or a fragment."""
        for url in ("http://h?x=1", "http://h/?x", "http://h#x", "h/stream?x=1"):
            for given in ({"SHELLSTREAM_URL": url}, {}):
                server = {} if given else {"server": url}
                error = self.assertRaises(Usage, self.read, given, **server)
                self.assertIn("has no ? and no #", str(error))

    def test_token(self) -> None:
        """
        A token from the command line, the environment, or the configuration; that of a
        server that the command line names goes before the environment.
        """
        self.config.write_text(LAPTOP.format(folder=self.folder))
        environ = {"SHELLSTREAM_TOKEN": "env"}
        self.assertEqual(self.read(environ).token, "env")
        self.assertEqual(self.read(environ, server="laptop").token, "t0k-en_~+/.==")
        self.assertEqual(self.read().token, "t0k-en_~+/.==")
        self.assertEqual(self.read(environ, server="pi").token, "env")
        environ = {"SHELLSTREAM_TOKEN_FILE": f"{self.folder}/token"}
        self.assertEqual(self.read(environ, server="pi").token, "t0k-en_~+/.==")
        other = self.folder / "other"
        other.write_text("mine")
        self.assertEqual(self.read(token_file=str(other)).token, "mine")

    def test_token_stays(self) -> None:
        """A token that is a server's is shown to no other."""
        self.config.write_text(LAPTOP.format(folder=self.folder))
        here = "https://laptop:8443/other"
        self.assertEqual(self.read(other=here), self.read()._replace(url=here))
        environ = {"SHELLSTREAM_TOKEN": "env"}
        for url in ("http://laptop:8443/", "https://laptop/", "https://evil:8443"):
            self.assertEqual(self.read(environ, other=url), Settings(url))
        found = self.read(other="https://x", token_file=f"{self.folder}/token")
        self.assertEqual(found.token, "t0k-en_~+/.==")

    def test_token_of_environment(self) -> None:
        """The environment's token is for the server that the environment names."""
        self.config.write_text(LAPTOP.format(folder=self.folder))
        environ = {"SHELLSTREAM_TOKEN": "env", "SHELLSTREAM_URL": "pi"}
        self.assertEqual(self.read(environ, server="http://pi:8000/x").token, "env")
        for url in ("https://pi:8000", "http://pi", "http://evil:8000"):
            self.assertEqual(self.read(environ, server=url), Settings(url))

    def test_token_pasted(self) -> None:
        """
        Without a named server, the environment's token is for the requested address.
        """
        environ = {"SHELLSTREAM_TOKEN": "env"}
        found = self.read(environ, other="http://pi:8000")
        self.assertEqual(found, Settings("http://pi:8000", "env"))
        environ["SHELLSTREAM_URL"] = "http://laptop:8000"
        self.assertIsNone(self.read(environ, other="http://pi:8000").token)

    def test_no_token(self) -> None:
        """A missing token file, or one without a token, is named."""
        for text, why in (
            ("", "this is no token; paste the whole token"),
            ("a b", "no token has the character ' '; paste the whole token"),
            ("shs_…", "no token has the character '…'"),
        ):
            (self.folder / "bad").write_text(text)
            error = self.assertRaises(
                ConfigError, self.read, token_file=f"{self.folder}/bad"
            )
            self.assertIn(why, str(error))
            self.assertIn(f"--token-file {self.folder}/bad: ", str(error))
        (self.folder / "bad").write_bytes(b"\xff")
        for name in ("bad", "none"):
            path = f"{self.folder}/{name}"
            self.assertRaises(ConfigError, self.read, token_file=path)
        for token in ("a\nb", "a b", "\udce9"):
            environ = {"SHELLSTREAM_TOKEN": token}
            error = self.assertRaises(ConfigError, self.read, environ)
            self.assertIn("$SHELLSTREAM_TOKEN", str(error))
            self.assertNotIn(token, str(error))

    def test_space_around(self) -> None:
        """Space and line ends around a value of the environment do not count."""
        (self.folder / "token").write_bytes(b"\xef\xbb\xbft0k\r\n")
        for token in ("t0k\n", "t0k\r\n", " t0k ", "t0k\t", "\ufefft0k\n"):
            environ = {"SHELLSTREAM_URL": " http://pi:8000\r\n"}
            environ["SHELLSTREAM_TOKEN"] = token
            self.assertEqual(self.read(environ), Settings("http://pi:8000", "t0k"))
        for empty in (" ", "\n"):
            environ = {
                "SHELLSTREAM_TOKEN": empty,
                "SHELLSTREAM_PIN": empty,
                "SHELLSTREAM_URL": empty,
                "SHELLSTREAM_TOKEN_FILE": f"{self.folder}/token\n",
            }
            self.assertEqual(self.read(environ), Settings(DEFAULT_SERVER, "t0k"))

    def test_byte_order_mark(self) -> None:
        """Files that Windows has written are taken."""
        self.config.write_bytes(b'\xef\xbb\xbfserver = "http://pi:8000"\r\n')
        (self.folder / "token").write_bytes(b"\xef\xbb\xbft0k\r\n")
        found = self.read(token_file=f"{self.folder}/token")
        self.assertEqual(found, Settings("http://pi:8000", "t0k"))
        self.config.write_bytes('server = "h"'.encode("utf-16"))
        error = self.assertRaises(ConfigError, self.read)
        self.assertIn("client.toml: it is not UTF-8 text", str(error))

    def test_no_home(self) -> None:
        """A user without a home directory has no configuration, and needs none."""

        def unknown(uid: int) -> None:
            raise KeyError(uid)

        self.patch(pwd, "getpwuid", unknown)
        self.patch(os, "environ", {})
        self.assertEqual(self.read({"XDG_CONFIG_HOME": ""}), Settings(DEFAULT_SERVER))
        for option in ("token_file", "cacert", "cert", "key"):
            error = self.assertRaises(ConfigError, self.read, **{option: "~/x"})
            self.assertIn("~/x: this user has no home directory", str(error))

    def test_home_of_another(self) -> None:
        """A configuration that this user may not read is told of, and not used."""

        def denied(path: Path) -> bytes:
            raise PermissionError(13, "Permission denied", str(path))

        self.patch(Path, "read_bytes", denied)
        self.assertEqual(self.read(), Settings(DEFAULT_SERVER))
        (warning,) = self.warnings
        self.assertIn(f"{self.config}: Permission denied; going on without", warning)

    def test_exposed(self) -> None:
        """A secret that others can read or change has a warning."""
        token = self.folder / "token"
        for mode, warned in (
            (0o600, False),
            (0o400, False),
            (0o640, False),
            (0o644, True),
            (0o604, True),
            (0o660, True),
            (0o666, True),
        ):
            token.chmod(mode)
            for how in ({"token_file": str(token)}, {"key": str(token)}):
                self.read({}, None, **how)
                self.assertEqual(len(self.warnings), warned, oct(mode))
                self.read({}, None, quiet="yes", **how)
                self.assertEqual(self.warnings, [])
        self.read({"SHELLSTREAM_TOKEN_FILE": str(token)})
        (warning,) = self.warnings
        self.assertIn(f"$SHELLSTREAM_TOKEN_FILE {token}: other users", warning)
        self.assertIn(f"type: chmod 600 {token}", warning)

    def test_wrong(self) -> None:
        """All mistakes of a configuration are reported at once."""
        for text, faults in (
            ("servr = 1", ["servr: is unknown; the keys are server"]),
            ("server = 1", ["server: must be"]),
            ("servers = 1", ["servers: must be tables"]),
            ("[servers.a]\nurl = 1\nkeys = 2", ["a.url: must be a string", "a.keys"]),
            ("[servers.a]", ["servers.a: must be a table with a url"]),
            ("[servers]\na = 1", ["servers.a: must be a table with a url"]),
            ("x", ["Expected"]),
        ):
            self.config.write_text(text)
            error = self.assertRaises(ConfigError, self.read)
            for each in (str(self.config), *faults):
                self.assertIn(each, str(error))
        self.config.write_bytes(b"\xff")
        self.assertRaises(ConfigError, self.read)
        self.config.unlink()
        self.config.mkdir()
        self.assertRaises(ConfigError, self.read)

    def test_unknown_name(self) -> None:
        """The error for an unknown name lists the known ones."""
        self.config.write_text(LAPTOP.format(folder=self.folder))
        error = self.assertRaises(Usage, self.read, server="http://")
        self.assertIn("or one of laptop, pi", str(error))

    def test_tls(self) -> None:
        """Files for TLS are used with it, or refused; never passed over."""
        self.assertIsNone(self.read(server="https://h").checked_trust())
        files = {"cacert": "a", "cert": "c", "key": "k"}
        self.assertEqual(self.at("https://h", **files)(), Trust("a", "c", "k"))
        error = self.assertRaises(Usage, self.at("http://h", cacert="a"))
        self.assertIn("--cacert would protect nothing", str(error))
        self.assertRaises(Usage, self.at("https://h", key="k"))

    def test_pin(self) -> None:
        """A pin comes from where a token does, and is used with TLS, or refused."""
        one, two, three = (f"SHA256:{digit * 64}" for digit in "123")
        self.config.write_text(
            f'[servers.laptop]\nurl = "https://laptop"\npin = "{two}"\n'
            '[servers.pi]\nurl = "https://pi"\n'
        )
        environ = {"SHELLSTREAM_PIN": three}
        for server, given, expected in (
            ("laptop", {"pin": one}, one),
            ("laptop", {}, two),
            ("pi", {}, three),
        ):
            found = self.read(environ, server=server, **given)
            self.assertEqual(found.checked_trust(), Trust(pin=expected))
        self.assertEqual(
            self.read(environ, "https://h").checked_trust(), Trust(pin=three)
        )
        environ["SHELLSTREAM_URL"] = "pi"  # whose it is then
        self.assertIsNone(self.read(environ, "https://other").checked_trust())
        error = self.assertRaises(Usage, self.at("http://h", pin=one))
        self.assertIn("--pin would protect nothing", str(error))
        error = self.assertRaises(Usage, self.at("https://h", pin=one, cacert="a"))
        self.assertIn("pin and cacert exclude each other", str(error))

    def test_no_pin(self) -> None:
        """
        A malformed pin is reported with its place and an example of a fingerprint.
        """
        self.config.write_text('[servers.h]\nurl = "https://h"\npin = "x"\n')
        for environ, given, kind, where in (
            ({}, {"server": "https://h", "pin": "x"}, Usage, "--pin"),
            ({}, {"server": "h"}, ConfigError, "servers.h.pin"),
            ({"SHELLSTREAM_PIN": "x"}, {}, ConfigError, "$SHELLSTREAM_PIN"),
        ):
            error = self.assertRaises(kind, self.read, environ, **given)
            self.assertIn(
                f"{where}: 'x' is not a fingerprint; one is SHA256:", str(error)
            )
