"""Tests for the client's command line: words in, options out."""

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream import __version__
from shellstream.client.api import Client
from shellstream.client.cli.arguments import build_parser, parse_arguments
from shellstream.client.cli.exit_codes import (
    CODES,
    describe_end,
    exit_code,
    explain,
    signal_name,
)
from shellstream.client.cli.options import ENVIRONMENT
from shellstream.client.cli.subcommands import NAMES, SUBCOMMANDS
from shellstream.client.cli.target import Target
from shellstream.client.errors import (
    CannotConnect,
    ClientError,
    CutShort,
    NoResponse,
    NoSuchHost,
    Refused,
    ServerFailed,
    TLSFailed,
    Usage,
)
from shellstream.client.events import End
from tests.support.client_wires import FakeWire, begun, ended, finish, stream, whole


class ArgumentTests(SynchronousTestCase):
    """The command line itself."""

    def said(self, *argv: str) -> str:
        """Return what is printed before the command line exits with 0."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            error = self.assertRaises(SystemExit, parse_arguments, list(argv))
        self.assertEqual(error.code, 0)
        return out.getvalue()

    def test_words(self) -> None:
        """All words are taken in order, wherever options and a C{--} stand."""
        for line in (
            "build a=-1",
            "-- build a=-1",
            "build -- a=-1",
            "run build a=-1",
            "-q --server http://x build a=-1",
            "run --retry-for 5 build --timestamps a=-1",
            "build a=-1 -v",
        ):
            found = parse_arguments(shlex.split(line))
            self.assertEqual(found.subcommand, "run")
            self.assertEqual(found.words, ["build", "a=-1"])
        self.assertEqual(parse_arguments([]).words, [])

    def test_subcommands(self) -> None:
        """A subcommand is the first word; a later word is a parameter or a value."""
        for line, subcommand in (
            ("ps", "ps"),
            ("show x --server ps", "show"),
            ("cancel --server=ps -q x", "cancel"),
            ("run ps", "run"),
            ("--server ps x", "run"),
            ("x ps", "run"),
            ("x=1", "run"),
        ):
            self.assertEqual(
                parse_arguments(shlex.split(line)).subcommand, subcommand, line
            )

    def test_subcommand_too_late(self) -> None:
        """A subcommand behind options is no command's name by mistake."""
        for line in ("-q ps", "--server pi ps", "-- ps", "--all ps"):
            error = self.assertRaises(Usage, parse_arguments, shlex.split(line))
            self.assertIn("'ps': a subcommand comes before its options", str(error))
            self.assertIn("shellstream run ps", str(error))

    def test_run_named_as_subcommand(self) -> None:
        """The word after C{run} is always a command's name."""
        for name in NAMES:
            self.assertEqual(parse_arguments(["run", name]).words, [name])

    def test_aliases(self) -> None:
        """The words of other programs name the same subcommands."""
        for line, subcommand in (
            ("logs -f -n 3 x", "output"),
            ("stop x y", "cancel"),
            ("rm x y", "delete"),
            ("inspect x --json", "show"),
        ):
            found = parse_arguments(line.split())
            self.assertEqual(found.subcommand, subcommand)
        self.assertEqual(found.format, "json")
        for main, each in SUBCOMMANDS.items():
            for alias in each.aliases:
                self.assertIn(f"Also called: {alias}\n", self.said("help", main))
                self.assertIn(f"Also called: {main}\n", self.said("help", alias))
        self.assertEqual(self.said("help", "logs"), self.said("logs", "-h"))
        self.assertEqual(self.said("help"), self.said("--help"))

    def test_attach(self) -> None:
        """The offset and the tail are numbers."""
        self.assertEqual(parse_arguments(["attach", "r", "--from", "7"]).offset, 7)
        self.assertEqual(parse_arguments(["attach", "--tail=3", "r"]).tail, 3)

    def test_usage(self) -> None:
        """An unknown option is reported in one line that names the help page."""
        for line, why in (
            ("--nonsense", "'--nonsense' is unknown; see shellstream run --help"),
            ("--bogus", "'--bogus' is unknown; see"),
            ("--url x", "'--url' is unknown (use --server URL); see"),
            ("--token=x", "(use --token-file FILE or $SHELLSTREAM_TOKEN); see"),
            ("build -x", "--help"),
            ("attach", "ID"),
            ("attach r s", "'s': attach takes one run; see"),
            ("logs @a @b", "'@b': logs takes one run; see"),
            ("run -it sh", "'-it' is unknown (use --tty); see"),
            ("run -d build", "(use the subcommand start, which does not"),
            ("logs --since 1h x", "(use -n N, which begins with the last N lines)"),
            ("build --depth=0", "(did you mean depth=0?)"),
            ("help deploy", "shellstream commands deploy shows a command"),
            ("attach r --from x", "invalid number value: 'x'"),
            ("attach r --tail -1", "--tail"),
            ("build --retry-for nan", "invalid number of seconds"),
            ("build --retry-for -1", "--retry-for"),
            ("show r --format ndjson", "invalid choice"),
            ("completion tcsh", "invalid choice"),
            ("help lgs", "(or did you mean the subcommand 'logs'?)"),
            ("help nothing", "shellstream help lists them"),
            ("atach --tail 1 r", "(or did you mean the subcommand 'attach'?)"),
            ("ps --since yesterday", "invalid age (30min, 2h, 1d) or date value"),
            ("wait", "ID"),
            ("signal r", "SIG"),
            ("build --serv x", "'--serv' is unknown (did you mean --server?)"),
            ("run ls -la", "'-la' is unknown; only commands that the server names"),
            ("build --jobs=2", "with parameters as NAME=VALUE: shellstream commands"),
            ("start ls -l", "shellstream commands lists them"),
            ("http://h/ --tail 1", "'--tail' is unknown; see shellstream run --help"),
            ("ps -l", "'-l' is unknown; see shellstream ps --help"),
        ):
            error = self.assertRaises(Usage, parse_arguments, shlex.split(line))
            self.assertIn(why, str(error))
            self.assertNotIn("\n", str(error))

    def test_encoding(self) -> None:
        """What is sent is text; names of files, and a command of here, need not be."""
        odd = os.fsdecode(b"caf\xe9")
        for line in (
            [odd],
            ["build", f"text={odd}"],
            ["start", odd],
            ["start", "build", f"{odd}=1"],
            ["show", odd],
            ["signal", "r", odd],
            ["ps", "--command", odd],
            ["ps", "--server", odd],
            ["build", "--pin", odd],
            ["doctor", odd],
            ["doctor", "http://h", "--via", "http://g", "--via", odd],
        ):
            error = self.assertRaises(Usage, parse_arguments, line)
            self.assertIn("is not UTF-8 text", str(error))
            str(error).encode()
        for option in ("--token-file", "--cacert", "--cert", "--key"):
            parse_arguments(["build", option, odd])
        self.assertEqual(parse_arguments(["doctor", "--", odd]).argv, [odd])

    def test_help(self) -> None:
        """The help names every subcommand, variable and exit code."""
        said = self.said("--help")
        for each in (*SUBCOMMANDS, *ENVIRONMENT, *map(str, CODES), *CODES.values()):
            self.assertIn(each, said)
        self.assertIn("Options of run: shellstream run --help", said)
        self.assertEqual(self.said("-h"), said)

    def test_help_of_each(self) -> None:
        """Each subcommand's help names its options."""
        for name, subcommand in SUBCOMMANDS.items():
            said = self.said(name, "--help")
            self.assertIn(f"shellstream {name}" if name != "run" else "[run]", said)
            for option in subcommand.options:
                self.assertIn(option.keywords.get("metavar", option.names[-1]), said)

    def test_empty(self) -> None:
        """
        An empty word is refused: it comes from a variable that is not set, and does not
        choose the default command, the default server or no certificate.
        """
        for argv in (
            [""],
            ["", "a=1"],
            ["run", ""],
            ["start", ""],
            ["show", ""],
            ["attach", ""],
            ["output", ""],
            ["cancel", ""],
            ["signal", "", "INT"],
            ["signal", "r", ""],
            ["ps", "--command", ""],
            ["x", "--server", ""],
            ["x", "--token-file="],
            ["x", "--cacert", ""],
            ["x", "--pin", ""],
            ["doctor", ""],
        ):
            error = self.assertRaises(Usage, parse_arguments, argv)
            self.assertIn("is empty; is a variable of the shell not set?", str(error))
        self.assertEqual(parse_arguments(["x", "a="]).words, ["x", "a="])

    def test_version(self) -> None:
        """The version is that of the package."""
        for word in ("--version", "-V"):
            self.assertEqual(self.said(word), f"shellstream {__version__}\n")


class TargetTests(SynchronousTestCase):
    """Words become one request."""

    def test_requests(self) -> None:
        """A URL, a name, or nothing; then parameters."""
        nothing: list[tuple[str, str]] = []
        expected = {
            (): (None, None, nothing),
            ("a=1",): (None, None, [("a", "1")]),
            ("build",): (None, "build", nothing),
            ("build", "a=1", "b=", "a=x=y"): (
                None,
                "build",
                [("a", "1"), ("b", ""), ("a", "x=y")],
            ),
            ("http://h/s",): ("http://h/s", None, nothing),
            ("https://h:1/s?x=1", "a=1"): ("https://h:1/s?x=1", None, [("a", "1")]),
            ("h:8000/stream",): ("http://h:8000/stream", None, nothing),
            ("h:8000/stream?a=1",): ("http://h:8000/stream?a=1", None, nothing),
            ("h/stream",): ("http://h/stream", None, nothing),
            ("[::1]:8000/stream",): ("http://[::1]:8000/stream", None, nothing),
            ("u=http://h/",): (None, None, [("u", "http://h/")]),
        }
        for given_words, request in expected.items():
            found = Target(list(given_words))
            self.assertEqual((found.url, found.name, found.params), request)

    def test_usage(self) -> None:
        """A malformed request is reported as that."""
        wrong = {
            ("build", "x"): "'x' is not a parameter; write NAME=VALUE",
            ("=x",): "'=x' is not a parameter",
            ("a=1", "b"): "'b' is not a parameter",
            ("ls -la /",): "'ls -la /' is a command line; only commands that the",
            ("ls\t/",): "shellstream commands lists them",
            ("ls", "/tmp"): "shellstream commands lists the commands and their",
            ("attch", "x"): "did you mean the subcommand 'attach'?",
            ("ftp://h/",): "only http:// and https://",
            ("http://",): "is not a URL",
            ("http:///stream",): "is not a URL",
            ("http://h:0/",): "is not a URL",
            ("http://h:99999/",): "is not a URL",
            ("http://h:x/",): "is not a URL",
            ("http://[::1/",): "is not a URL",
            ("http://h/a b",): "is not a URL",
            ("http://u:p@h/",): "--token-file",
            ("/stream",): "is not a URL",
        }
        for given_words, said in wrong.items():
            error = self.assertRaises(Usage, Target, list(given_words))
            self.assertIn(said, str(error))

    @given(st.text(min_size=1), st.lists(st.tuples(st.text(min_size=1), st.text())))
    def test_any_name(self, name, pairs) -> None:
        """Any name is one segment of the path, any value arrives as it is."""
        if re.search("[/:=\ud800-\udfff]|\\S\\s", name):
            name = "x"
        pairs = [(each.replace("=", "-"), value) for each, value in pairs]
        found = Target([name, *(f"{each}={value}" for each, value in pairs)])
        self.assertEqual((found.url, found.name, found.params), (None, name, pairs))
        wire = FakeWire([stream(begun() + ended(0))])
        finish(whole(Client("http://h", wire).run(found.name)))
        path = urlsplit(wire.asked[0].url).path.split("/")
        self.assertEqual((len(path), unquote(path[2])), (3, name))


class CodeTests(SynchronousTestCase):
    """The exit code is the command's, or explains why the command has none."""

    def end(
        self, state: str, code: int | None = None, signal: str | None = None
    ) -> End:
        return End(state, code, signal, None, 0)

    def test_codes(self) -> None:
        """The exit code is the one that a shell would report."""
        for end, code in (
            (self.end("exited", 0), 0),
            (self.end("exited", 3), 3),
            (self.end("exited", 255), 255),
            (self.end("signaled", signal="TERM"), 143),
            (self.end("signaled", signal="KILL"), 137),
            (self.end("signaled", signal="35"), 163),
            (self.end("signaled", signal="odd"), 128),
            (self.end("lost"), 71),
            (self.end("failed"), 70),
            (self.end("cancelled"), 73),
            (self.end("unheard-of"), 76),
        ):
            self.assertEqual(exit_code(end), code)

    def test_signal_name(self) -> None:
        """A signal is sent by its name, which systems have in common."""
        for typed, name in (
            ("int", "INT"),
            ("SIGUSR1", "SIGUSR1"),
            ("2", "SIGINT"),
            ("rtmin+1", "RTMIN+1"),
            (f"{signal.SIGRTMIN:d}", "SIGRTMIN"),
            (f"{signal.SIGRTMIN + 1}", "RTMIN+1"),
            (
                f"{signal.SIGRTMAX - 1}",
                f"RTMIN+{signal.SIGRTMAX - signal.SIGRTMIN - 1}",
            ),
            # The server tells that there is none.
            ("foo", "FOO"),
            ("0", "0"),
            ("33", "33"),
            ("99", "99"),
            ("1" * 5000, "1" * 5000),
            ("\u0662", "\u0662"),
        ):
            self.assertEqual(signal_name(typed), name)

    def test_gap(self) -> None:
        """Output with a gap is never a success."""
        self.assertEqual(exit_code(self.end("exited", 0), gaps=True), 72)
        self.assertEqual(exit_code(self.end("exited", 3), gaps=True), 3)

    def test_told(self) -> None:
        """The reason for the end is shown if the daemon ended the run."""
        self.assertIsNone(describe_end(self.end("exited", 3)))
        self.assertIsNone(describe_end(self.end("signaled", signal="TERM")))
        for state in ("lost", "failed", "cancelled"):
            self.assertTrue(describe_end(self.end(state)))
        for reason, said in (("timeout", "its timeout"), ("new", "new")):
            said_ = describe_end(End("signaled", None, "TERM", reason, 0))
            self.assertIn(said, said_)

    def test_refused(self) -> None:
        """A refusal is explained in the client's words, in place of the server's."""
        for status, path, said in (
            (401, "/stream", "no; shellstream login URL saves a token"),
            (401, "/runs", "no; shellstream login URL"),
            (409, "/runs/x", "no; shellstream cancel ends it"),
            (404, "/stream/x", "no; only commands that the server names can be run"),
            (404, "/runs", "no; only commands that the server names can be run"),
            (404, "/runs/x/output", "no; shellstream ps --all lists the runs"),
            (404, "/x", "no; GET /"),
            (400, "/runs", "no; GET /"),
        ):
            error = Refused(f"http://h{path}", status, f"{status} Phrase: no; GET /")
            error.hint = " (did you mean y?)" if path != "/x" and status == 404 else ""
            self.assertIn(f"http://h: {said}", explain(error))
            self.assertTrue(explain(error).endswith(error.hint))
            self.assertEqual("GET /" in explain(error), "GET /" in said)
        nowhere = Refused("http://h/x/runs", 404, "404 No: nothing lives at this path")
        self.assertIn("http://h/x/runs: nothing lives", explain(nowhere))
        self.assertEqual(explain(Usage("no")), "no")

    def test_foreign(self) -> None:
        """What a proxy or another server answers is not taken for shellstream's."""
        for kind, status, why, said in (
            (Refused, 404, "Not Found", "no shellstream server answered: check the"),
            (Refused, 401, "Unauthorized", "it is not shellstream that asks"),
            (Refused, 400, "sent to HTTPS port", "try https://"),
            (ServerFailed, 502, "Bad Gateway", "is the daemon running behind it?"),
            (ServerFailed, 501, "Unsupported", "no shellstream server answered"),
        ):
            error = kind("http://h/stream/x", status, why, is_ours=False)
            self.assertIn(f"http://h/stream/x: {why} (", explain(error))
            self.assertIn(said, explain(error))
        busy = ServerFailed("http://h/runs", 503, "503 Unavailable: busy")
        self.assertEqual(explain(busy), "http://h: busy")
        moved = Refused("u", 301, "301 Moved: it redirects", is_ours=False)
        self.assertEqual(explain(moved), "u: 301 Moved: it redirects")

    def test_no_daemon(self) -> None:
        """Where no daemon listens, the error says how to start one."""
        here = "start a daemon here: shellstreamd --port "
        for url, said in (
            ("http://127.0.0.1:8000/runs", f"{here}8000, or try: shellstream demo"),
            ("http://[::1]:81/stream", f"{here}81, or"),
            ("https://localhost/stream", f"{here}443 --tls, or"),
            ("http://pi:8000/stream", "with --interface 0.0.0.0?"),
        ):
            error = CannotConnect(url, "connection refused; is the daemon running?")
            origin = url.rpartition("/")[0]
            self.assertTrue(explain(error).startswith(f"{origin}: connection refused"))
            self.assertIn(said, explain(error))
        self.assertIn("no route", explain(CannotConnect("http://h", "no route")))

    def test_closed(self) -> None:
        """A server that hangs up may expect TLS."""
        lost = NoResponse("http://h:8443/", "the connection was closed")
        given_up = CutShort("the request", "not resumed")
        given_up.__cause__ = lost
        for error in (lost, given_up):
            self.assertIn("try https://", explain(error))
        for url, why in (("https://h", "was closed"), ("http://h", "silent for 5 s")):
            self.assertNotIn("try https://", explain(NoResponse(url, why)))

    def test_all(self) -> None:
        """Every error has a code that the help tells of."""
        kinds = [ClientError]
        for kind in kinds:
            kinds += kind.__subclasses__()
        codes = {kind.code for kind in kinds if "code" in vars(kind)}
        self.assertLessEqual(codes, set(CODES))
        self.assertGreaterEqual(len(codes), 10)


class PrintedTests(SynchronousTestCase):
    """The printed help and completion agree with the parser."""

    def test_parser(self) -> None:
        """The printed parser knows the same options as the one that parses."""
        for name, subcommand in SUBCOMMANDS.items():
            found = build_parser().format_help()
            self.assertIn(subcommand.help, " ".join(found.split()), name)


class MainTests(SynchronousTestCase):
    """Mistakes end the program before anything is asked of the network."""

    def run_main(self, *argv: str, **env: str) -> tuple[int, str]:
        """Return the exit code, and the text on stderr."""
        # In a process of its own, since a reactor runs once only.
        done = subprocess.run(
            [sys.executable, "-m", "shellstream.client", *argv],
            env={**os.environ, **env},
            stderr=subprocess.PIPE,
            text=True,
        )
        return done.returncode, done.stderr

    def test_interrupt(self) -> None:
        """Ctrl-C ends the program without a word before it has done anything."""
        program = (
            "import os, signal\n"
            "from shellstream.client import __main__ as client\n"
            "from shellstream.client.cli import arguments\n"
            "kill = lambda argv: os.kill(os.getpid(), signal.SIGINT)\n"
            "arguments.parse_arguments = kill\n"
            "client.main()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True
        )
        self.assertEqual((done.returncode, done.stderr), (-signal.SIGINT, ""))

    def test_no_doctor(self) -> None:
        """Without the parser that only the doctor needs, it says what to install."""
        program = (
            "import sys\n"
            "sys.modules['httptools'] = None\n"
            "sys.argv[1:] = ['doctor', 'http://h/']\n"
            "from shellstream.client.__main__ import main\n"
            "main()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True
        )
        self.assertEqual(done.returncode, 64)
        self.assertIn("needs the package httptools", done.stderr)
        self.assertIn(f"{sys.executable} -m pip install httptools", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_usage(self) -> None:
        """One line on stderr, and the exit code for usage."""
        code, said = self.run_main("build", "x")
        expected = "shellstream: 'x' is not a parameter; write NAME=VALUE; shellstream "
        self.assertEqual((code, said.startswith(expected)), (64, True))
        for argv in (
            ["--nonsense"],
            ["attach", "r", "--from", "1", "--tail", "1"],
            ["http://h/", "--detach-on-int"],
            ["build", "--format", "ndjson", "--prefix"],
            ["start", "http://h/"],
        ):
            self.assertEqual(self.run_main(*argv)[0], 64)

    def test_server(self) -> None:
        """The server comes from the environment."""
        code, said = self.run_main("build", SHELLSTREAM_URL="ftp://x")
        self.assertEqual(code, 64)
        self.assertIn("'ftp://x': only http:// and https://", said)
        self.assertFalse(Path("ftp:").exists())


class AdviceTests(SynchronousTestCase):
    """What to do about an error, in the words of this client."""

    def test_known_words(self) -> None:
        """Words of docker lead to what does the same here."""
        for word, here in (
            ("kill", "signal ID KILL"),
            ("tail", "logs -f ID"),
            ("ls", "shellstream ps"),
            ("restart", "stop ID, and then run"),
        ):
            error = self.assertRaises(Usage, Target, [word, "x"])
            self.assertIn(here, str(error))

    def test_paths(self) -> None:
        """An error of a whole server does not show the path of a request."""
        url = "http://nosuch/runs?limit=1000"
        text = explain(NoSuchHost(url))
        self.assertTrue(text.startswith("http://nosuch: no such host"), text)
        self.assertIn("no saved server has this name", text)
        self.assertNotIn("saved", explain(NoSuchHost("http://a.example/runs")))
        text = explain(TLSFailed("https://h:1/runs", "expired"))
        self.assertEqual(text, "https://h:1: TLS failed: expired")

    def test_several_runs(self) -> None:
        """What concerns one of several runs names it."""
        error = Refused("http://h/runs/01a", 409, "the run is not running")
        self.assertTrue(explain(error, run="@build").startswith("@build: the run is"))

    def test_forbidden(self) -> None:
        """A token that may not do this is replaced by one that may."""
        why = "pi may not do this: it takes the action 'admin', which is not here"
        text = explain(Refused("http://h/runs/01a", 403, why))
        make = "shellstreamd tokens make --actions run,read,write,signal,admin NAME"
        self.assertIn(make, text)
