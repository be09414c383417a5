"""The command line: C{shellstream}, C{python -m shellstream.client}."""

import argparse
import os
import re
import select
import signal
import stat
import sys
from fcntl import F_GETFL, fcntl
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

from shellstream import __version__

from .errors import CannotWrite, ClientError, Usage

DEFAULT_SERVER = "http://127.0.0.1:8000"

HELP = """\
Runs a command of a shellstream server and shows its output as it is written.

  shellstream                      the default command of this machine's daemon
  shellstream build target=all     the command "build", with a parameter
  shellstream http://pi:8000/stream   this URL; any other streaming server will do
  shellstream demo                 everything at once: a daemon, and a client
  shellstream doctor               who holds output back: see shellstream doctor --help
"""

EPILOG = """\
$SHELLSTREAM_URL is the server for NAME, instead of http://127.0.0.1:8000.

exit codes:
  0    all of the output was shown
  64   the command line is wrong
  65   the server refused the request (HTTP 4xx)
  68   no such host
  69   cannot connect
  70   the server failed (HTTP 5xx)
  74   standard output cannot be written to
  75   the output was cut short
  76   what answered does not speak HTTP
  77   no trusted TLS connection
  130  interrupted (Ctrl-C): the command is ended soon after
  141  nobody reads standard output any more, as after | head -1
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with our own exit code."""

    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message}; see shellstream --help")


class Stdout:
    """Standard output, written through at once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> None:
        """
        Write all of C{data}; blocks while the reader is slow, and so, by way of
        TCP, makes the command wait.

        @raise BrokenPipeError: if nobody reads.
        @raise CannotWrite: for any other reason.
        """
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:  # others may set what they share with us so
                select.select([], [self._fd], [])
            except BrokenPipeError:
                raise
            except OSError as error:
                raise CannotWrite(f"standard output: {error.strerror}") from None

    def watch(self, reactor: Any) -> None:
        """Leave as soon as nobody reads, not only at the next byte, as tail(1)."""
        pipe = stat.S_ISFIFO(os.fstat(self._fd).st_mode)
        # A pipe that is open for reading too is never without a reader.
        to_write = fcntl(self._fd, F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        if sys.platform == "linux" and pipe and to_write:
            reactor.addReader(self)

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "stdout"

    def doRead(self) -> None:
        """Never called: the writing end of a pipe is never readable."""

    def connectionLost(self, reason: object) -> None:
        _leave(signal.SIGPIPE)


def _leave(number: int, frame: object = None) -> NoReturn:
    """End now, as by this signal: all output is written, sockets close themselves."""
    os._exit(128 + number)


def target(words: list[str], server: str) -> tuple[str, str, list[tuple[str, str]]]:
    """
    What to request: method, URL and parameters.

    @raise Usage: if the words make no request.
    """
    where = words[0] if words and _is_target(words[0]) else None
    params = []
    for word in words if where is None else words[1:]:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise Usage(f"{word!r} is no parameter; write NAME=VALUE")
        params.append((name, value))
    if where is None:
        return "GET", _url(server).rstrip("/") + "/stream", params
    if _is_url(where):
        return "GET", _url(where), params
    name = quote(where, safe="")
    return "POST", f"{_url(server).rstrip('/')}/stream/{name}", params


def _is_url(word: str) -> bool:
    return "://" in word or "/" in word or ":" in word


def _is_target(word: str) -> bool:
    return "=" not in word or _is_url(word.partition("=")[0])


def _url(text: str) -> str:
    url = text if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) else f"http://{text}"
    try:
        parts = urlsplit(url)
        wrong = not parts.hostname or (parts.port is not None and parts.port == 0)
    except ValueError:
        wrong = True
    if wrong or not parts.netloc.isascii():
        raise Usage(f"{text!r} is no URL; write http://HOST:PORT/stream")
    if parts.scheme not in ("http", "https"):
        raise Usage(f"{text!r}: only http:// and https:// are spoken here")
    return url


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        "shellstream",
        usage="shellstream [URL | NAME] [NAME=VALUE ...]\n       shellstream demo\n"
        "       shellstream doctor [URL] [--via URL] | doctor -- COMMAND",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument(
        "--version", action="version", version=f"shellstream {__version__}"
    )
    return parser.parse_intermixed_args(argv)


def follow(method: str, url: str, params: list[tuple[str, str]]) -> int:
    """Stream an answer to standard output; returns the exit code."""
    from twisted.internet import reactor as any_reactor
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from . import http_client, stream

    if sys.stdout is None:  # or some socket of ours would become descriptor 1
        raise CannotWrite("standard output is closed")
    reactor: Any = any_reactor
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup(1)
            signal.signal(number, _leave)
    stdout = Stdout(1)
    stdout.watch(reactor)
    codes: list[int] = []

    def end(result: Failure | None) -> None:
        reactor.removeReader(stdout)
        codes.append(0 if result is None else _told(result))
        reactor.stop()

    def begin() -> None:
        coroutine = stream(http_client(reactor), method, url, params, stdout.write)
        Deferred.fromCoroutine(coroutine).addBoth(end)

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    return codes[0]


def _told(reason: Any) -> int:
    """Say in one line why the output did not come; returns the exit code."""
    if reason.check(BrokenPipeError):
        return 128 + signal.SIGPIPE
    if not reason.check(ClientError):
        reason.printTraceback(sys.stderr)
        return 70
    return _complain(reason.value)


def _complain(error: ClientError) -> int:
    print(f"shellstream: {error}", file=sys.stderr)
    return error.code


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        server = os.environ.get("SHELLSTREAM_URL") or DEFAULT_SERVER
        if sys.argv[1:2] == ["doctor"]:
            from .doctor import main as doctor

            sys.exit(doctor(sys.argv[2:], server))
        words = arguments(sys.argv[1:]).words
        if words == ["demo"]:
            from .demo import demo

            sys.exit(demo())
        sys.exit(follow(*target(words, server)))
    except ClientError as error:
        sys.exit(_complain(error))


if __name__ == "__main__":
    main()
