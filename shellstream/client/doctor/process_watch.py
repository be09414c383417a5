"""
Which process of a pipeline reads and writes when, as far as Linux tells (proc(5)).

The kernel counts the bytes that each process reads and writes. Looked at often enough,
the counts show which stage of a pipeline takes its input piece by piece and passes
nothing on. Where there is no such file system, nothing is seen. The tables say what is
known of programs by their names.
"""

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import define, field, frozen

#: How many processes are looked at, at most.
MAX_PROCESSES = 64

_PROC = Path("/proc")

#: Options of programs that make them write at once, by the name of their file. Each is
#: in the program's own manual.
OPTIONS = {
    "grep": "grep --line-buffered",
    "sed": "sed -u",
    "jq": "jq --unbuffered",
    "tcpdump": "tcpdump -l",
    "perl": "perl -e '$| = 1; …'",
    "python": "python3 -u …",
}

_WHOLE_INPUT = (
    "it has to read all of its input before it can write",
    "# nothing makes it write earlier; leave it out where somebody watches",
)

#: Programs that heed neither variables nor stdbuf: why they hold output back, and what
#: to do.
OWN_WAYS = {
    # mawk(1): by default it reads and writes in blocks of its own.
    "mawk": ("mawk collects blocks of its own", "mawk -W interactive …"),
    **dict.fromkeys(("sort", "tac", "wc", "shuf", "tail"), _WHOLE_INPUT),
}


@frozen
class Stage:
    """
    A process that was seen.

    @ivar argv: its words when it was last seen.
    @ivar program: the name of its file, without the folder.
    @ivar stdin: what it reads from, and C{stdout}, what it writes to: the same text is
        the same pipe.
    @ivar reads: at how many looks it had read more than at the one before.
    @ivar writes: the same for writing.
    """

    argv: tuple[str, ...]
    program: str
    stdin: str
    stdout: str
    reads: int
    writes: int

    @property
    def option(self) -> str | None:
        """The program with its own option to write at once, if one is known."""
        return OPTIONS.get(self.program.rstrip("0123456789."))

    @property
    def name(self) -> str:
        """What people call it."""
        return os.path.basename(self.argv[0]) if self.argv else self.program


@define
class _Counted:
    """What is known of a process while it runs."""

    program: str
    counts: tuple[int, int]
    argv: tuple[str, ...] = ()
    stdin: str = ""
    stdout: str = ""
    reads: int = 0
    writes: int = 0


@define(eq=False)
class ProcessWatch:
    """Counts when a process and its children read and write."""

    _pid: int
    _found: dict[int, _Counted] = field(factory=dict, init=False)

    def look(self) -> None:
        """Compare the counts with those of the last look."""
        for pid in _family(self._pid):
            try:
                self._look_at(pid)
            except (OSError, ValueError):  # it has ended, or is another user's
                continue

    def _look_at(self, pid: int) -> None:
        folder = _PROC / str(pid)
        lines = (folder / "io").read_text("ascii").splitlines()
        io = dict(line.split(": ") for line in lines)
        counts = int(io["rchar"]), int(io["wchar"])
        program = os.path.basename(os.readlink(folder / "exe"))
        found = self._found.get(pid)
        if found is None or found.program != program:
            # Also where a shell's child has become another program: what the shell
            # wrote before does not count.
            found = self._found[pid] = _Counted(program, counts)
        else:
            found.reads += counts[0] > found.counts[0]
            found.writes += counts[1] > found.counts[1]
        found.counts = counts
        # Each time: a program's words and files may change without its name.
        words = (folder / "cmdline").read_bytes().split(b"\0")[:-1]
        found.argv = tuple(os.fsdecode(word) for word in words)
        found.stdin = os.readlink(folder / "fd/0")
        found.stdout = os.readlink(folder / "fd/1")

    def stages(self) -> tuple[Stage, ...]:
        """Every process that was seen, in the order in which they were started."""
        return tuple(
            Stage(
                each.argv,
                each.program,
                each.stdin,
                each.stdout,
                each.reads,
                each.writes,
            )
            for _, each in sorted(self._found.items())
            if each.argv
        )


def _family(pid: int) -> Iterator[int]:
    """A process and its descendants, of those that Linux lists."""
    waiting = [pid]
    for _ in range(MAX_PROCESSES):
        if not waiting:
            return
        one = waiting.pop()
        yield one
        try:
            listed = (_PROC / f"{one}/task/{one}/children").read_text("ascii")
        except OSError:  # it has ended, or this kernel has no such file
            continue
        waiting += map(int, listed.split())


def held_back_by(
    held: Sequence[Stage], released: Sequence[Stage], pieces: int
) -> tuple[Stage, ...]:
    """
    Who wrote at fewer moments in one trial than in another, where output came live.

    What stands behind such a process writes at fewer moments, too, since it gets
    nothing to pass on; so only the first of a pipeline counts.

    @param pieces: in how many pieces it came when it came live.
    """
    slow: list[Stage] = []
    for stage in released:
        same = [each.writes for each in held if each.argv == stage.argv]
        if same and stage.writes - max(same) >= max(2, pieces // 2):
            slow.append(stage)
    pipes = {stage.stdout for stage in slow if stage.stdout.startswith("pipe:")}
    return tuple(stage for stage in slow if stage.stdin not in pipes)


def takes_without_giving(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Who read at several moments, and wrote at one at most."""
    return tuple(
        stage
        for stage in stages
        if stage.stdin.startswith("pipe:") and stage.reads > 2 and stage.writes < 2
    )


def ignores_environment(argv: Sequence[str]) -> bool:
    """Whether this is Python, told to ignore its variables by -E or -I."""
    if not argv or not os.path.basename(argv[0]).startswith("python"):
        return False
    options = itertools.takewhile(lambda word: word.startswith("-"), argv[1:])
    return any(re.fullmatch("-[A-Zabdhiqsuv]*[EI][A-Za-z]*", word) for word in options)
