"""
The documents' table of programs that hold their output back, and of their cures.

The test needs no clock. A program that makes lines reports by another way that it has
written one, and waits; a filter has read all lines, and waits for more. A line that is
not in the output by then is held back until the program ends.
"""

import fcntl
import os
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from shellstream.config.command import Command, Unbuffer
from shellstream.model.events import Stream
from shellstream.process.executable import find_preload
from shellstream.process.launch_plan import LaunchPlan
from tests.support.processes import all_read, start, turn
from tests.support.programs import ROOT, needs, readable

SOURCES = ROOT / "tests" / "support" / "makers"

#: The table, and where it is.
DOCUMENT = ROOT / "docs" / "reference" / "unbuffer.md"
HEAD = "| program | `off` | `auto` | `pty` |\n| --- | --- | --- | --- |\n"

#: Programs in C{tests/support/makers}, and what runs or compiles them.
MAKERS = {
    "`python3`": (sys.executable, "maker.py"),
    "`perl`": ("perl", "maker.pl"),
    "`ruby`": ("ruby", "maker.rb"),
    "`lua`": ("lua5.4", "maker.lua"),
    "`tclsh`": ("tclsh", "maker.tcl"),
    "`node`": ("node", "maker.js"),
    "`php`": ("php", "maker.php"),
    "`sh`": ("sh", "maker.sh"),
    "C and C++": ("cc", "maker.c"),
    "C with another libc (musl)": ("musl-gcc", "maker.c"),
    "C linked statically": ("cc", "maker.c", "-static"),
}
FILTERS = {
    "`cat`": "cat",
    "`cut`": "cut -c 1-",
    "`gawk`": "gawk 1",
    "`grep`": "grep e",
    "`head`": "head -n 9",
    "`jq`": "jq -R .",
    "`mawk`": "mawk 1",
    "`perl -n`": "perl -ne print",
    "`sed`": "sed s/x/y/",
    "`sort`": "sort",
    "`tee`": "tee",
    "`tr`": "tr x y",
    "`uniq`": "uniq",
}
ORDER = (Unbuffer.OFF, Unbuffer.AUTO, Unbuffer.PTY)


class HeldTests(TestCase):
    """Programs that hold their output back, and programs that do not."""

    timeout = 120
    maxDiff = None

    def setUp(self) -> None:
        self.prepared = LaunchPlan(preload=find_preload())
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def fifo(self) -> tuple[str, int]:
        """A new FIFO, open for both ends."""
        path = str(self.folder / f"fifo{len(os.listdir(self.folder))}")
        os.mkfifo(path)
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, fd)
        return path, fd

    async def make(self, name: str, how: Unbuffer) -> str:
        """Return whether the line of a maker is live."""
        program, file, *options = MAKERS[name]
        argv, (path, fd) = [program, str(SOURCES / file)], self.fifo()
        if file.endswith(".c"):
            compiled = f"{path}.compiled"
            subprocess.run([*argv, *options, "-o", compiled], check=True)
            argv = [compiled]
        command = Command(name="c", argv=(*argv, path), unbuffer=how)
        child, told = start(self, command, self.prepared)
        await readable(fd)
        await all_read(child)
        self.assertNotIn(Stream.STDERR, told.output_, name)
        return "live" if b"line" in told.output_.get(Stream.STDOUT, b"") else "held"

    async def filter(self, name: str, how: Unbuffer) -> str:
        """Return whether a line through a filter is live."""
        path, fd = self.fifo()
        os.write(fd, b"line\nnext\n")
        script = f"exec {FILTERS[name]} < '{path}'"
        command = Command(name="c", shell=script, unbuffer=how)
        child, told = start(self, command, self.prepared)
        while unread(fd) or not sleeps(child.pid):
            await turn()
        await all_read(child)
        self.assertNotIn(Stream.STDERR, told.output_, name)
        return "live" if b"line" in told.output_.get(Stream.STDOUT, b"") else "held"

    async def check(self, programs: Mapping[str, str], ask) -> None:
        """Check that the installed programs do as the table says."""
        found = {}
        for name, program in programs.items():
            if needs(program) is None:
                asked = [Deferred.fromCoroutine(ask(name, how)) for how in ORDER]
                found[name] = tuple(await gatherResults(asked))
        told = in_table()
        self.assertEqual({name: told.get(name) for name in found}, found)

    async def test_makers(self) -> None:
        """The table lists which programs write lines live."""
        needed = {name: program for name, (program, *_) in MAKERS.items()}
        await self.check(needed, self.make)

    async def test_filters(self) -> None:
        """The table lists which filters write lines live."""
        needed = {name: line.split()[0] for name, line in FILTERS.items()}
        await self.check(needed, self.filter)

    def test_all(self) -> None:
        """The table has no program that is not tried here."""
        self.assertEqual(set(in_table()), {*MAKERS, *FILTERS})

    test_makers.skip = needs("stdbuf")
    test_filters.skip = needs("stdbuf")


def in_table() -> dict[str, tuple[str, ...]]:
    """The table of programs."""
    table = DOCUMENT.read_text("utf-8").partition(HEAD)[2]
    found = {}
    for line in table.partition("\n\n")[0].splitlines():
        names, *cells = line.strip("| ").split(" | ")
        found.update(dict.fromkeys(names.split(", "), tuple(cells)))
    return found


def unread(fd: int) -> int:
    """Return the number of bytes in a FIFO."""
    size = fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")
    return int.from_bytes(size, sys.byteorder)


def sleeps(pid: int) -> bool:
    """Return whether a process sleeps: it has done all that it could."""
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return stat[stat.rindex(b")") + 2 :].startswith(b"S")
