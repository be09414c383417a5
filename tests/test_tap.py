"""Tests for L{shellstream.tap}: the daemon's command line."""

import contextlib
import io
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import ServerFactory
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from shellstream import tap
from shellstream.config.loader import DEMO
from shellstream.config.tls_settings import TLS, Minimum
from shellstream.tap import Options, _background_text

RIGHT = '[commands.x]\nargv = ["x"]\n'


class OptionsTestCase(SynchronousTestCase):
    """A command line, and its messages before the exit."""

    def setUp(self) -> None:
        self.usual = tuple(Path(self.mktemp()).absolute() for _ in range(2))
        self.patch(tap, "usual_files", lambda environ: self.usual)

    def parse(self, *argv: str) -> Options:
        options = Options()
        options.parseOptions(argv)
        return options

    def exit(self, *argv: str) -> object:
        """Return the message or the code of this command line's exit."""
        return self.assertRaises(SystemExit, self.parse, *argv).code

    def file(self, content: str | bytes) -> str:
        """A file with this content."""
        path = Path(self.mktemp()).absolute()
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)


class ListenTests(OptionsTestCase):
    """The options of the listen address."""

    def test_default(self) -> None:
        """Without options it serves the demo to this machine only."""
        options = self.parse()
        self.assertEqual(options.listen, ["tcp:8000:interface=127.0.0.1:backlog=1024"])
        self.assertIs(options.settings, DEMO)

    def test_port_and_interface(self) -> None:
        """Either may be given alone; an interface may hold colons."""
        reactor = MemoryReactor()
        for argv, port, interface in (
            (("--port", "0"), 0, "127.0.0.1"),
            (("-p", "65535"), 65535, "127.0.0.1"),
            (("--interface", "0.0.0.0"), 8000, "0.0.0.0"),
            (("-p", "80", "-i", "::"), 80, "::"),
            (("-i", "fe80::1"), 8000, "fe80::1"),
        ):
            (description,) = self.parse(*argv).listen
            serverFromString(reactor, description).listen(ServerFactory())
            listening = reactor.tcpServers[-1]
            self.assertEqual((listening[0], listening[3]), (port, interface))

    def test_endpoints(self) -> None:
        """Endpoints replace the port, unless a port is given too."""
        one, two = "unix:/run/x.sock", "tcp:9:interface=10.0.0.1"
        self.assertEqual(self.parse("--listen", one, "-l", two).listen, [one, two])
        self.assertEqual(
            self.parse("--listen", one, "--port", "80").listen,
            [one, "tcp:80:interface=127.0.0.1:backlog=1024"],
        )

    def test_tls(self) -> None:
        """With TLS in the configuration, or on the command line, the port speaks it."""
        plain = "tcp:8000:interface=127.0.0.1:backlog=1024"
        file = self.file(f"{RIGHT}[tls]\nminimum = '1.3'\n")
        for argv, minimum in (
            (("--tls",), Minimum.TLS_1_2),
            (("-c", file), Minimum.TLS_1_3),
            (("-c", file, "--tls"), Minimum.TLS_1_3),
        ):
            options = self.parse(*argv)
            self.assertEqual(options.listen, [f"tls:{plain}"])
            self.assertEqual(options.settings.tls, TLS(minimum=minimum))
        self.assertEqual(self.parse("--tls", "-l", "tcp:1").listen, ["tcp:1"])

    def test_no_port(self) -> None:
        """A malformed port is reported."""
        for port in ("x", "-1", "65536", "1e3", "\u0663", "0x50", "80 ", "8_0"):
            said = self.exit("--port", port)
            self.assertEqual(
                said, f"shellstream: --port {port}: not a port; use 0 to 65535"
            )

    def test_hopeless_port(self) -> None:
        """A port of thousands of digits is refused."""
        self.assertIn("not a port", str(self.exit("--port", "9" * 5000)))

    def test_usage(self) -> None:
        """A usage error is one line, which suggests a similar option or command."""
        for argv, words in (
            (["--nonsense"], "--nonsense not recognized; see"),
            (["--prot", "80"], "--prot not recognized (did you mean --port?); see"),
            (["command"], "Unknown command: command; see"),
            (["toknes"], "Unknown command: toknes (did you mean tokens?); see"),
            (["--port"], "--port requires argument; see"),
            (["--check=yes"], "--check must not have an argument; see"),
        ):
            said = str(self.exit(*argv))
            self.assertIn(words, said)
            self.assertTrue(said.endswith("see shellstreamd --help"), said)
            self.assertNotIn("\n", said)

    def test_help(self) -> None:
        """Every option is in the help, with its default."""
        text = str(Options())
        words = ("port", "interface", "listen", "config", "state-dir", "tls")
        for word in words:
            self.assertIn(f"--{word}", text)
        for word in ("--check", "--insecure", "tokens"):
            self.assertIn(word, text)
        self.assertIn("Put tls: before it for https.", " ".join(text.split()))
        self.assertNotRegex(text, r"\S {4,}for https")
        self.assertIn("8000", text)
        self.assertIn("curl -N http://127.0.0.1:8000/stream", " ".join(text.split()))


class ConfigTests(OptionsTestCase):
    """Which configuration the daemon runs."""

    def test_config(self) -> None:
        """The file is read at once."""
        self.assertEqual(
            set(self.parse("-c", self.file(RIGHT)).settings.commands), {"x"}
        )

    def test_mistakes(self) -> None:
        """All mistakes are reported, with their number and the file's name."""
        name = self.file("x = 1\n")
        said = str(self.exit("--config", name))
        self.assertTrue(said.startswith(f"shellstream: {name} has 2 mistakes:\n"), said)
        self.assertEqual(len(said.splitlines()), 3)
        name = self.file(f"x = 1\n{RIGHT}")
        said = str(self.exit("--config", name))
        self.assertTrue(
            said.startswith(f"shellstream: {name} has 1 mistake:\n{name}:1: x: "),
            said,
        )

    def test_unreadable(self) -> None:
        """A missing, irregular or undecodable file is reported in one line."""
        missing = str(Path(self.mktemp()).absolute())
        folder = str(Path(self.file("")).parent)
        self.assertEqual(
            self.exit("-c", missing),
            f"shellstream: cannot read {missing}: No such file or directory",
        )
        self.assertEqual(
            self.exit("-c", folder),
            f"shellstream: cannot read {folder}: Is a directory",
        )
        name = self.file(b"\xff")
        said = str(self.exit("-c", name))
        self.assertIn(f"shellstream: {name} is not UTF-8: ", said)
        self.assertEqual(len(said.splitlines()), 1)

    def test_check(self) -> None:
        """A check reports that the configuration is valid, and starts nothing."""
        usual = " or ".join(map(str, self.usual))
        for argv, said in (
            (["-c", file := self.file("[commands.x]\nargv = ['true']")], f"{file}: ok"),
            ([], f"no configuration, only the demo: there is no {usual}: ok"),
            (["-p", "80"], "\n  http://127.0.0.1:80: only this machine can connect\n"),
        ):
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                self.assertEqual(self.exit("--check", *argv), 0)
            self.assertIn(said, out.getvalue())
            self.assertEqual(err.getvalue(), "")
        self.assertIn(
            "has 2 mistakes", str(self.exit("--check", "-c", self.file("x=1")))
        )

    def test_usual(self) -> None:
        """Without --config it is the first usual file that exists, or else the demo."""
        self.assertIs(self.parse().settings, DEMO)
        home, system = self.usual
        system.write_text(RIGHT)
        self.assertEqual(set(self.parse().settings.commands), {"x"})
        home.write_text('[commands.y]\nargv = ["y"]')
        self.assertEqual(set(self.parse().settings.commands), {"y"})
        given = self.parse("-c", self.file('[commands.z]\nargv = ["z"]')).settings
        self.assertEqual(set(given.commands), {"z"})
        # As shellstream demo asks for, on a machine with a daemon of its own.
        self.assertIs(self.parse("-c", ":demo:").settings, DEMO)

    def test_usual_broken(self) -> None:
        """A usual file that exists and cannot be read is an error, not the demo."""
        self.usual[0].mkdir()
        self.usual[1].symlink_to("/nonexistent")
        for path in self.usual:
            self.patch(tap, "usual_files", lambda environ, path=path: (path,))
            said = str(self.exit())
            self.assertTrue(said.startswith(f"shellstream: cannot read {path}: "), said)

    def test_pid_file(self) -> None:
        """In the foreground there is no PID file, unless it was requested."""
        for parent, expected in (
            ({"nodaemon": 1, "pidfile": "twistd.pid"}, ""),
            ({"nodaemon": 1, "pidfile": "/run/x.pid"}, "/run/x.pid"),
            ({"nodaemon": 0, "pidfile": "twistd.pid"}, "twistd.pid"),
        ):
            options: Any = Options()
            options.parent = parent
            options.parseOptions([])
            self.assertEqual(parent["pidfile"], expected)

    def test_bom(self) -> None:
        """A file may begin with a BOM, as some editors write it."""
        name = self.file("\ufeff" + RIGHT)
        self.assertEqual(set(self.parse("-c", name).settings.commands), {"x"})


class TokenOptionsTests(OptionsTestCase):
    """The token tool knows the commands of a configuration that it is given."""

    def test_commands(self) -> None:
        """A pattern that matches no command is warned of."""
        argv = ("-c", self.file(RIGHT), "-d", self.mktemp(), "tokens", "make", "pi")
        for pattern, warned in (("nosuch", True), ("x*", False)):
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                self.assertEqual(self.exit(*argv, "--commands", pattern), 0)
            self.assertEqual("warning: no command" in err.getvalue(), warned)


class BackgroundTests(SynchronousTestCase):
    """A daemon that goes into the background says where it is found."""

    def test_text(self) -> None:
        """The line names the log and the PID file; in the foreground there is none."""
        twistd = {
            "nodaemon": 0,
            "rundir": "/srv",
            "logfile": None,
            "pidfile": "twistd.pid",
            "syslog": 0,
        }
        said = _background_text(twistd)
        self.assertIn("/srv/twistd.log", said)
        self.assertIn("kill $(cat /srv/twistd.pid)", said)
        self.assertIn(
            "its log is /var/x.log",
            _background_text({**twistd, "logfile": "/var/x.log"}),
        )
        self.assertIn("its log is syslog", _background_text({**twistd, "syslog": 1}))
        self.assertEqual(_background_text({**twistd, "nodaemon": 1}), "")
        self.assertEqual(_background_text({}), "")


class StateDirTests(OptionsTestCase):
    """The options of the state directory."""

    def test_home(self) -> None:
        """A ~ that the shell did not expand is no folder's name."""
        for given in ("~/state", "~", "~root/state"):
            said = str(self.exit(f"--state-dir={given}"))
            self.assertIn("the shell has not expanded the ~", said)
            self.assertIn("~", str(self.exit(f"--state-dir={given}", "tokens", "list")))

    def test_absolute(self) -> None:
        """A path is found again wherever the daemon goes to; memory is no path."""
        for given, expected in (
            ("/srv/state", "/srv/state"),
            ("state", str(Path("state").absolute())),
            (":memory:", ":memory:"),
        ):
            for name in ("--state-dir", "-d"):
                self.assertEqual(self.parse(name, given)["state-dir"], expected)

    def test_default(self) -> None:
        """Without the option the daemon finds a folder when it starts."""
        self.assertIsNone(self.parse()["state-dir"])
