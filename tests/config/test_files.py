"""Tests for L{shellstream.config.files}: which files are read, and how they add up."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config import files
from shellstream.config.files import ConfigFiles, ConfigUnusable, Loaded, usual_files
from shellstream.config.loader import DEMO
from shellstream.config.tls_settings import TLS
from tests.support.configurations import COMMAND


class FilesTestCase(SynchronousTestCase):
    """A folder with a configuration."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        (self.folder / "commands.d").mkdir(parents=True)
        self.main = self.folder / "shellstream.toml"

    def write(self, main: str, **added: str) -> None:
        """Write the main file, and files of C{commands.d}."""
        self.main.write_text(main)
        for name, text in added.items():
            (self.folder / "commands.d" / f"{name}.toml").write_text(text)

    def load(self) -> Loaded:
        return ConfigFiles(self.main).load()

    def why(self) -> str:
        """Why the configuration cannot be used, with F for its folder."""
        error = str(self.assertRaises(ConfigUnusable, self.load))
        return error.replace(str(self.folder), "F")


class AddedTests(FilesTestCase):
    """The files of C{commands.d} add commands."""

    def test_added(self) -> None:
        """Their commands follow, by the names of the files, with the same defaults."""
        self.write(
            f"timeout = 9\ndefault = 'b'\n{COMMAND}",
            b="[commands.b]\nargv = ['b']",
            a="[commands.c]\nargv = ['c']\ntimeout = 3",
            c="# nothing",
        )
        (self.folder / "commands.d" / ".hidden.toml").write_text("nonsense")
        (self.folder / "commands.d" / "a.toml~").write_text("nonsense")
        loaded = self.load()
        self.assertEqual(
            [
                (name, each.limits.timeout)
                for name, each in loaded.config.commands.items()
            ],
            [("x", 9.0), ("c", 3.0), ("b", 9.0)],
        )
        about = f"{self.main}, with 3 files of {self.folder}/commands.d"
        self.assertEqual(str(loaded), about)

    def test_none_in_main(self) -> None:
        """All commands may be in them."""
        self.write("max_running = 3", a=COMMAND)
        self.assertEqual([*self.load().config.commands], ["x"])
        self.write("", a="")
        self.assertIn("F/shellstream.toml:1: commands: found nothing", self.why())

    def test_taken(self) -> None:
        """A name is used once; the message has both places."""
        self.write(f"\n{COMMAND}", a=f"\n\n{COMMAND}", b="[commands.y]\nargv=['a']\n")
        self.assertEqual(
            self.why(),
            "the configuration has 1 mistake:\n"
            "F/commands.d/a.toml:3: commands.x: found a name that is taken; allowed: "
            "another; F/shellstream.toml:2 has it",
        )

    def test_only_commands(self) -> None:
        """Any other key is refused, with the place where it belongs."""
        self.write(COMMAND, a="timeout = 3\n[access]\nhosts = ['a']")
        said = self.why().splitlines()
        allowed = "allowed: only tables [commands.NAME] in this folder"
        self.assertEqual(
            said[1:],
            [
                f"F/commands.d/a.toml:{line}: {key}: found a key of another file; "
                f"{allowed}"
                for line, key in ((1, "timeout"), (2, "access"))
            ],
        )

    def test_places(self) -> None:
        """Each mistake has its file and line, those of the syntax their column."""
        self.write(f"x = 1\n{COMMAND}timeout = -1\n", a="[commands.y]\nargv = []")
        places = [each.split(" ")[0] for each in self.why().splitlines()[1:]]
        self.assertEqual(
            places,
            [*(f"F/shellstream.toml:{n}:" for n in (1, 4)), "F/commands.d/a.toml:2:"],
        )
        self.write("x =\n", a="y = 1\nhello\n")
        said = self.why()
        self.assertIn("F/shellstream.toml:1:4: expected a value", said)
        self.assertIn("F/commands.d/a.toml:2:6: expected = after the key", said)

    def test_folder(self) -> None:
        """A folder that cannot be read is an error; no folder is none."""
        self.write(COMMAND)
        (self.folder / "commands.d").rmdir()
        self.assertEqual(self.load().added, 0)
        (self.folder / "commands.d").write_text("")
        self.assertEqual(self.why(), "cannot read F/commands.d: Not a directory")

    def test_bounds(self) -> None:
        """Files and folders that are too large for a configuration are refused."""
        self.patch(files, "MAX_FILES", 1)
        self.write(COMMAND, a="", b="")
        self.assertIn("F/commands.d has more than 1 files", self.why())
        with self.main.open("w") as file:
            file.truncate(files.MAX_FILE + 1)
        self.assertEqual(self.why(), "F/shellstream.toml has more than 4 MiB")

    def test_line_ends(self) -> None:
        """A file may have been written on Windows."""
        self.main.write_bytes(f"\ufeff{COMMAND}x = 1".replace("\n", "\r\n").encode())
        self.assertIn("F/shellstream.toml:3: commands.x.x: ", self.why())


class UsualTests(FilesTestCase):
    """Which file is read where none is named."""

    def test_usual(self) -> None:
        """The user's own comes first, then that of the machine."""
        etc = Path("/etc/shellstream/shellstream.toml")
        for home in ("", "relative"):
            found = usual_files({"XDG_CONFIG_HOME": home})
            self.assertEqual(found[-1], etc)
            self.assertNotIn("relative", str(found[0]))
        mine = Path("/home/me/cfg/shellstream/shellstream.toml")
        self.assertEqual(usual_files({"XDG_CONFIG_HOME": "/home/me/cfg"}), (mine, etc))

    def test_demo(self) -> None:
        """Where there is none it is the demo; the operator is told what is missing."""
        source = ConfigFiles(None, (self.main, self.folder / "other"))
        loaded = source.load()
        self.assertIs(loaded.config, DEMO)
        self.assertEqual(
            source.describe(loaded),
            f"no configuration, only the demo: there is no {self.main} or "
            f"{self.folder}/other",
        )
        self.write(COMMAND)
        self.assertEqual(source.describe(source.load()), f"configuration: {self.main}")

    def test_tls(self) -> None:
        """--tls holds for each load, unless the file has its own settings."""
        source = ConfigFiles(None, (self.main,), tls=True)
        self.assertEqual(source.load().config.tls, TLS())
        self.write(f"{COMMAND}[tls]\ncertificate = '/a'\nkey = '/a'")
        self.assertEqual(source.load().config.tls, TLS(certificate="/a", key="/a"))
