"""
The measuring client, a program in C: C{client.c} tells what it does, and why.

A client in Python would take longer for a chunk than some of the servers.
"""

import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Protocol

from attrs import frozen

from tests.benchmarks import errors
from tests.benchmarks.content import Content
from tests.benchmarks.errors import Failed

#: Seconds after which one that does not answer counts as broken.
PATIENCE = 60.0

SOURCE = Path(__file__).with_name("client.c")


class Source(Protocol):
    """The source of a stream."""

    @property
    def order(self) -> Sequence[str]:
        """The words by which the client knows it."""


@frozen
class Get:
    """A URL on this machine, for a GET request."""

    port: int
    path: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    @property
    def order(self) -> Sequence[str]:
        return ("get", str(self.port), self.path)


@frozen
class Socket:
    """
    A WebSocket that is only read.

    @ivar newline: whether to put a line end after each message: websocketd removes it.
    """

    port: int
    path: str
    newline: bool

    @property
    def order(self) -> Sequence[str]:
        return ("websocket", str(self.port), self.path, str(int(self.newline)))


@frozen
class Pipe:
    """A program whose standard output is the stream."""

    argv: Sequence[str]

    @property
    def order(self) -> Sequence[str]:
        return ("program", *self.argv)


class Client:
    """
    One process of the client. What it raises are L{errors}.

    @param program: what was built from L{SOURCE}.
    """

    def __init__(self, program: Path) -> None:
        self._folder = program.parent
        self._process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._process.kill()
        said, _ = self._process.communicate(timeout=PATIENCE)
        if error is None:
            for line in said.splitlines():
                _raise_error(line.split("\t"))

    def order(self, *words: object) -> None:
        """Give an order; L{answer} returns its result."""
        assert self._process.stdin is not None
        print(*words, sep="\t", file=self._process.stdin, flush=True)

    def answer(self) -> list[float]:
        """Wait for the answer of an order."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"the client exited with {self._process.wait()}")
        words = line.rstrip("\n").split("\t")
        _raise_error(words)
        return [float(word) for word in words if word not in ("ok", "")]

    def ask(self, *words: object) -> list[float]:
        """Give an order, and return its result."""
        self.order(*words)
        return self.answer()

    def reads(self, source: Source, content: Content) -> None:
        """From now on the streams are these."""
        head, block = self._file(content.head), self._file(content.block)
        self.ask(*source.order)
        self.ask("content", block, content.size, head, int(content.lossy))

    def reads_ticks(self, source: Source, count: int = 0, lossy: bool = False) -> None:
        """From now on the streams are ticks."""
        self.ask(*source.order)
        self.ask("ticks", count, int(lossy))

    def drain(self) -> tuple[float, float, float]:
        """Read one stream: seconds, bytes, bytes that were lost."""
        took, got, lost = self.ask("drain")
        return took, got, lost

    def runs(self, clients: int, seconds: float, *, keep: bool = False) -> float:
        """Streams a second, by clients that read one after the other."""
        count, took = self.ask("runs", clients, seconds, int(keep))
        return count / took

    def _file(self, data: bytes) -> Path:
        path = self._folder / sha256(data).hexdigest()
        if not path.exists():
            path.write_bytes(data)
        return path


def _raise_error(words: Sequence[str]) -> None:
    if words[0] == "error":
        kind: type[Failed] = getattr(errors, words[1])
        raise kind("\t".join(words[2:]))
