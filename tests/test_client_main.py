"""Tests for L{shellstream.client.__main__}: words in, a request or a line out."""

import contextlib
import errno
import io
import os
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from shellstream import __version__
from shellstream.client import __main__ as client
from shellstream.client.__main__ import DEFAULT_SERVER, Stdout, arguments, target
from shellstream.client.errors import CannotWrite, Usage

SERVER = "http://pi:8000"


class TargetTests(SynchronousTestCase):
    """The words of a command line become one request."""

    def test_requests(self) -> None:
        """A URL, a name, or nothing; then parameters."""
        expected = {
            (): ("GET", f"{SERVER}/stream", []),
            ("a=1",): ("GET", f"{SERVER}/stream", [("a", "1")]),
            ("build",): ("POST", f"{SERVER}/stream/build", []),
            ("build", "a=1", "b=", "a=x=y"): (
                "POST",
                f"{SERVER}/stream/build",
                [("a", "1"), ("b", ""), ("a", "x=y")],
            ),
            ("a b",): ("POST", f"{SERVER}/stream/a%20b", []),
            ("http://h/s",): ("GET", "http://h/s", []),
            ("https://h:1/s?x=1", "a=1"): ("GET", "https://h:1/s?x=1", [("a", "1")]),
            ("h:8000/stream",): ("GET", "http://h:8000/stream", []),
            ("h/stream",): ("GET", "http://h/stream", []),
            ("[::1]:8000/stream",): ("GET", "http://[::1]:8000/stream", []),
            ("u=http://h/",): ("GET", f"{SERVER}/stream", [("u", "http://h/")]),
        }
        for words, request in expected.items():
            with self.subTest(words=words):
                self.assertEqual(target(list(words), SERVER), request)

    def test_url_with_query(self) -> None:
        """A URL with a query is one without its scheme too."""
        found = target(["h:8000/stream?a=1"], SERVER)
        self.assertEqual(found, ("GET", "http://h:8000/stream?a=1", []))

    def test_servers(self) -> None:
        """A server may be given with a slash, a path, or without its scheme."""
        for server, stream in {
            "http://pi:8000/": "http://pi:8000/stream",
            "https://pi/proxied/": "https://pi/proxied/stream",
            "pi:8000": "http://pi:8000/stream",
            "pi": "http://pi/stream",
            DEFAULT_SERVER: "http://127.0.0.1:8000/stream",
        }.items():
            self.assertEqual(target([], server)[1], stream)
            self.assertEqual(target(["x"], server)[1], f"{stream}/x")

    def test_usage(self) -> None:
        """Words that make no request are told as such."""
        wrong = {
            ("build", "x"): "'x' is no parameter; write NAME=VALUE",
            ("=x",): "'=x' is no parameter",
            ("a=1", "b"): "'b' is no parameter",
            ("ftp://h/",): "only http:// and https://",
            ("http://",): "is no URL",
            ("http:///stream",): "is no URL",
            ("http://h:0/",): "is no URL",
            ("http://h:99999/",): "is no URL",
            ("http://h:x/",): "is no URL",
            ("http://[::1/",): "is no URL",
            ("http://b\u00fccher.test/",): "is no URL",
            ("/stream",): "is no URL",
        }
        for words, said in wrong.items():
            with self.subTest(words=words):
                error = self.assertRaises(Usage, target, list(words), SERVER)
                self.assertIn(said, str(error))
        self.assertRaises(Usage, target, [], "http://")

    @given(st.text(min_size=1), st.lists(st.tuples(st.text(min_size=1), st.text())))
    def test_any_name(self, name, pairs) -> None:
        """Any name is one segment of the path, any value arrives as it is."""
        if set(name) & set("/:="):
            name = "x"
        pairs = [(each.replace("=", "-"), value) for each, value in pairs]
        words = [name, *(f"{each}={value}" for each, value in pairs)]
        method, url, params = target(words, SERVER)
        path = urlsplit(url).path.split("/")
        self.assertEqual((method, params), ("POST", pairs))
        self.assertEqual((len(path), unquote(path[2])), (3, name))


class ArgumentTests(SynchronousTestCase):
    """The command line itself."""

    def said(self, *argv: str) -> str:
        """What is printed before the command line exits well."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            error = self.assertRaises(SystemExit, arguments, list(argv))
        self.assertEqual(error.code, 0)
        return out.getvalue()

    def test_words(self) -> None:
        """All words are taken in order, wherever a C{--} stands."""
        for argv in (
            ["build", "a=-1"],
            ["--", "build", "a=-1"],
            ["build", "--", "a=-1"],
        ):
            self.assertEqual(arguments(argv).words, ["build", "a=-1"])
        self.assertEqual(arguments([]).words, [])

    def test_usage(self) -> None:
        """What is no option is told in one line, with where to read on."""
        for argv in (["--nonsense"], ["build", "-x"], ["--version=1"]):
            error = self.assertRaises(Usage, arguments, argv)
            self.assertIn("see shellstream --help", str(error))
            self.assertNotIn("\n", str(error))

    def test_help(self) -> None:
        """The help shows how to use it and what its exit codes mean."""
        said = self.said("--help")
        for words in ("shellstream demo", "$SHELLSTREAM_URL", "exit codes:", "130"):
            self.assertIn(words, said)

    def test_version(self) -> None:
        """The version is that of the package."""
        self.assertEqual(self.said("--version"), f"shellstream {__version__}\n")


class MainTests(SynchronousTestCase):
    """Mistakes end the program before anything is asked of the network."""

    def run_main(self, *words: str) -> tuple[object, str]:
        """Exit code, and what is said on stderr."""
        self.patch(sys, "argv", ["shellstream", *words])
        with contextlib.redirect_stderr(io.StringIO()) as err:
            exit_ = self.assertRaises(SystemExit, client.main)
        return exit_.code, err.getvalue()

    def test_usage(self) -> None:
        """One line on stderr, and the exit code for usage."""
        code, said = self.run_main("build", "x")
        self.assertEqual(
            (code, said), (64, "shellstream: 'x' is no parameter; write NAME=VALUE\n")
        )
        self.assertEqual(self.run_main("--nonsense")[0], 64)

    def test_server(self) -> None:
        """The server comes from the environment."""
        self.patch(os, "environ", {**os.environ, "SHELLSTREAM_URL": "ftp://x"})
        code, said = self.run_main("build")
        self.assertEqual(code, 64)
        self.assertIn("'ftp://x': only http:// and https://", said)

    def test_closed_stdout(self) -> None:
        """With standard output closed nothing is asked for: nobody would see it."""
        self.patch(sys, "stdout", None)
        code, said = self.run_main("build")
        expected = (74, "shellstream: standard output is closed\n")
        self.assertEqual((code, said), expected)


class StdoutTests(SynchronousTestCase):
    """L{Stdout} writes all there is, or says why it cannot."""

    def setUp(self) -> None:
        self.reader, self.writer = os.pipe()
        self.open = {self.reader, self.writer}
        self.stdout = Stdout(self.writer)

    def tearDown(self) -> None:
        for fd in self.open:
            os.close(fd)

    def close(self, fd: int) -> None:
        self.open.remove(fd)
        os.close(fd)

    def test_writes(self) -> None:
        """What is written is there at once."""
        for data in (b"one", b"", b"\0\xfftwo\n"):
            self.stdout.write(data)
        self.assertEqual(os.read(self.reader, 100), b"one\0\xfftwo\n")

    def test_in_parts(self) -> None:
        """What the system takes in parts is written whole."""
        write = os.write
        self.patch(os, "write", lambda fd, data: write(fd, data[:3]))
        self.stdout.write(b"0123456789")
        self.assertEqual(os.read(self.reader, 100), b"0123456789")

    def test_not_blocking(self) -> None:
        """A descriptor that others made non-blocking is waited for."""
        os.set_blocking(self.writer, False)
        found: list[int] = []

        def read() -> None:
            while sum(found) < 300_000:
                found.append(len(os.read(self.reader, 1000)))

        reading = threading.Thread(target=read)
        reading.start()
        self.stdout.write(b"x" * 300_000)
        reading.join()
        self.assertEqual(sum(found), 300_000)

    def test_nobody_reads(self) -> None:
        """A reader that has gone is no error of ours to tell."""
        self.close(self.reader)
        self.assertRaises(BrokenPipeError, self.stdout.write, b"x")

    def test_cannot_write(self) -> None:
        """Any other reason is told in the system's words."""
        for fd, number in ((self.reader, errno.EBADF), (-1, errno.EBADF)):
            error = self.assertRaises(CannotWrite, Stdout(fd).write, b"x")
            expected = f"standard output: {os.strerror(number)}"
            self.assertEqual(str(error), expected)

    def test_full(self) -> None:
        """A full disk is told as such."""
        fd = os.open("/dev/full", os.O_WRONLY)
        self.open.add(fd)
        error = self.assertRaises(CannotWrite, Stdout(fd).write, b"x")
        self.assertEqual(str(error), f"standard output: {os.strerror(errno.ENOSPC)}")

    def test_watched(self) -> None:
        """A pipe is watched for its reader's end."""
        reactor = MemoryReactor()
        self.stdout.watch(reactor)
        self.assertEqual(reactor.getReaders(), [self.stdout])
        self.assertEqual(self.stdout.fileno(), self.writer)
        self.assertTrue(self.stdout.logPrefix())
        self.stdout.doRead()

    def test_own_reader(self) -> None:
        """A pipe that is open for reading as well never loses its reader."""
        path = self.mktemp()
        os.mkfifo(path)
        fd = os.open(path, os.O_RDWR)
        self.addCleanup(os.close, fd)
        reactor = MemoryReactor()
        Stdout(fd).watch(reactor)
        self.assertEqual(reactor.getReaders(), [])

    def test_not_watched(self) -> None:
        """A file has no reader that could go."""
        fd = os.open(Path(self.mktemp()), os.O_WRONLY | os.O_CREAT)
        self.open.add(fd)
        reactor = MemoryReactor()
        Stdout(fd).watch(reactor)
        self.assertEqual(reactor.getReaders(), [])

    if not sys.platform.startswith("linux"):
        test_watched.skip = "only Linux tells"  # type: ignore[attr-defined]
        test_full.skip = "only Linux has /dev/full"  # type: ignore[attr-defined]
