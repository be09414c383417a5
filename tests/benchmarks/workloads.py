"""The commands that all peers run, and the output of each."""

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from tests.benchmarks.content import Content
from tests.benchmarks.errors import Failed

#: Sizes of output for throughput, in megabytes. A peer is asked for as much as it can
#: send in a second or two.
SIZES = (1, 4, 16, 64, 256, 1024)

#: Our own commands.
COMMANDS = Path(__file__).with_name("commands.c")

#: The approximate length of a block: see L{Content}.
_BLOCK = 1_000_003

#: Bytes in a line of either of our own commands.
TICK_SIZE = 20


@frozen
class Workload:
    """
    A command with a name.

    @ivar content: its output; L{None} for a ticker.
    @ivar binary: whether its output is not text.
    """

    name: str
    argv: tuple[str, ...]
    content: Content | None = None
    binary: bool = False

    @property
    def shell(self) -> str:
        """The command as a line of shell, for peers that take one."""
        return f"exec {shlex.join(self.argv)}"

    @property
    def expected(self) -> Content:
        assert self.content is not None
        return self.content


def _program(name: str) -> str:
    """The path of a program that the commands need."""
    path = shutil.which(name)
    if path is None:
        raise Failed(f"{name} is not installed, which the commands need")
    return path


def build(source: Path, folder: Path) -> Path:
    """Build a program of ours in a folder. @raise Failed: if that is not possible."""
    program = folder / source.stem
    command = ("cc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(source))
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        raise Failed(f"{source.name} cannot be built: {built.stderr}")
    return program


def _binary() -> bytes:
    """All kinds of bytes, always the same ones, from a Lehmer generator."""
    modulus = (1 << 61) - 1
    value, found = 1, bytearray()
    while len(found) < _BLOCK:
        value = value * 437799614237992725 % modulus
        found += value.to_bytes(8)[1:]
    return bytes(found[:_BLOCK])


def _text() -> bytes:
    """Lines of 20 to 119 bytes, all different."""
    lines, size, number = [], 0, 0
    while size < _BLOCK:
        number += 1
        line = f"{number:07d} {'the quick brown fox ' * 6}"[: 20 + number * 37 % 100]
        lines.append(f"{line[:-1]}.\n")
        size += len(line) + 1
    return "".join(lines).encode()


class Workloads:
    """All commands; their files are in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blocks = {"block.bin": _binary(), "block.txt": _text()}
        for name, block in self._blocks.items():
            (folder / name).write_bytes(block)
        self._own = str(build(COMMANDS, folder))
        self._cat = _program("cat")
        self._grep = _program("grep")
        self._echo = _program("echo")

    def binary(self) -> Mapping[int, Workload]:
        """Commands by megabytes of output: C{cat}, which writes large pieces."""
        return {
            size: self._repeat(f"binary-{size}", (self._cat,), "block.bin", size)
            for size in SIZES
        }

    def lines(self) -> Mapping[int, Workload]:
        """The same with text."""
        return {
            size: self._repeat(f"lines-{size}", (self._cat,), "block.txt", size)
            for size in SIZES
        }

    def written(self) -> Mapping[int, Workload]:
        """The same with text, each line in a write of its own."""
        grep = (self._grep, "--line-buffered", "-h", "")
        return {
            size: self._repeat(f"written-{size}", grep, "block.txt", size)
            for size in SIZES
        }

    def _repeat(
        self, name: str, argv: tuple[str, ...], block: str, size: int
    ) -> Workload:
        files = (str(self.folder / block),) * size
        whole = Content(self._blocks[block], size * len(self._blocks[block]))
        return Workload(name, (*argv, *files), whole, block.endswith(".bin"))

    def echo(self) -> Workload:
        """A command that writes one line: the cost of a run."""
        line = b"as short as output can be\n"
        argv = (self._echo, line.decode().rstrip())
        return Workload("echo", argv, Content(line, len(line)))

    def ticker(self, count: int = 0, every: float = 1.0) -> Workload:
        """A command that ticks; without end if C{count} is 0."""
        return Workload("ticker", (self._own, "tick", str(count), str(every)))

    def gated(self, orders: Path, written: Path, ticks: int, bulk: int) -> Workload:
        """A command that obeys orders, and the output of these orders."""
        block = "block.bin"
        argv = (
            self._own,
            "gated",
            str(orders),
            str(self.folder / block),
            str(written),
        )
        head = b"".join(b"%019d\n" % number for number in range(ticks))
        return Workload("gated", argv, Content(self._blocks[block], bulk, head), True)
