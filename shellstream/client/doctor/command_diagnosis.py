"""
Whether a command holds back what it writes into a pipe, and what cures that.

Pure. C's stdio, Python and Perl collect output in blocks when they write into a pipe,
and write line by line on a terminal (setvbuf(3), stdout(3)). So the two are compared.
"""

import shlex
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from math import inf

from attrs import frozen

from .exchange import Arrival, bursts
from .findings import Finding, Kind, Layer, Report, duration, in_bursts
from .ticks import NOTICEABLE


@frozen
class Setup:
    """
    How a trial starts the command.

    @ivar prefix: words before the command.
    @ivar env: variables to set; C{PERL5OPT} is added to what it holds already.
    @ivar pty: whether the output is a terminal, not a pipe.
    """

    name: str
    prefix: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    pty: bool = False

    def line(self, argv: Sequence[str]) -> str:
        """What to type in a shell for the same."""
        if self.pty:
            return f"script -qec {shlex.quote(shlex.join(argv))} /dev/null"
        env = [f"{name}={shlex.quote(value)}" for name, value in self.env.items()]
        return " ".join([*env, shlex.join([*self.prefix, *argv])])


PIPE = Setup("pipe")
PTY = Setup("terminal", pty=True)

#: Setups that may cure the command, in the order of trial: the least intrusive first.
CURES = (
    # stdbuf(1), for programs that use C's stdio.
    Setup("stdbuf", prefix=("stdbuf", "-oL")),
    Setup("PYTHONUNBUFFERED", env={"PYTHONUNBUFFERED": "1"}),
    # Perl has no variable for it, but -MX executes "use X;" (perlrun(1)), so this
    # executes "use strict();$|=1;", whose second statement is the one that we want.
    Setup("PERL5OPT", env={"PERL5OPT": "-Mstrict();$|=1"}),
)


@frozen
class Trial:
    """
    One run of the command.

    @ivar began: when it was started.
    @ivar ended: when its output ended, or we stopped reading.
    @ivar code: its exit code, or minus the number of the signal that killed it; L{None}
        if we ended it.
    """

    setup: Setup
    began: float
    arrivals: tuple[Arrival, ...]
    ended: float
    code: int | None

    @property
    def bursts(self) -> int:
        """In how many bursts the output came."""
        return len(bursts(self.arrivals))

    @property
    def first_byte(self) -> float | None:
        """Seconds until output came; L{None} if none came."""
        return self.arrivals[0].time - self.began if self.arrivals else None


def holds_back(trial: Trial, terminal: Trial) -> bool:
    """Whether output plainly came in fewer bursts than on a terminal, and later."""
    # Half of the bursts: one fewer is an accident. And later: a terminal is slow, so a
    # pipe may well bring the same output in fewer bursts, and earlier.
    fewer = terminal.bursts > 1 and 2 * trial.bursts <= terminal.bursts
    return fewer and _extra_delay(trial, terminal) > NOTICEABLE


def _extra_delay(trial: Trial, terminal: Trial) -> float:
    """The most seconds by which a part of the output came later than on a terminal."""
    parts = _parts(trial)
    return max(
        next((time for part, time in parts if part >= wanted), inf) - earlier
        for wanted, earlier in _parts(terminal)
    )


def _parts(trial: Trial) -> list[tuple[Fraction, float]]:
    """
    Which part of the output had come after how many seconds.

    Parts, not bytes: many programs write columns or colors on a terminal only, so the
    sizes differ.
    """
    came = bursts(trial.arrivals)
    sizes = list(accumulate(burst.size for burst in came))
    return [
        (Fraction(size, sizes[-1]), burst.time - trial.began)
        for size, burst in zip(sizes, came, strict=True)
    ]


def diagnose(
    argv: Sequence[str],
    pipe: Trial,
    terminal: Trial,
    cures: Sequence[Trial] = (),
    unbuffering: Sequence[str] = (),
) -> Report:
    """
    What a command does on a pipe, and what cures it.

    @param cures: the trials with cures; only the last of them can have worked.
    @param unbuffering: variables of this environment that cure some programs anyway.
    """
    facts = tuple(map(_facts, (pipe, terminal, *cures)))
    if not holds_back(pipe, terminal):
        return Report(facts, (), tuple(_unknown(pipe, terminal, unbuffering)))
    works = cures[-1] if cures and not holds_back(cures[-1], terminal) else None
    return Report(facts, (_finding(argv, pipe, terminal, works),))


def _facts(trial: Trial) -> dict[str, object]:
    first = trial.first_byte
    return {
        "how": trial.setup.name,
        "goes": trial.bursts,
        "first_byte_seconds": None if first is None else round(first, 3),
        "seconds": round(trial.ended - trial.began, 3),
        "bytes": sum(len(each.data) for each in trial.arrivals),
        "exit_code": trial.code,
    }


def _unknown(pipe: Trial, terminal: Trial, unbuffering: Sequence[str]) -> list[str]:
    notes = []
    if terminal.bursts < 2 and pipe.bursts < 2:
        notes.append(
            "the command wrote everything in one go on a terminal too: that does not "
            "show what it does with more output, or over a longer time (--seconds)"
        )
    if terminal.code not in (None, 0) or pipe.code not in (None, 0):
        notes.append(
            f"the command exited with {pipe.code} on a pipe, with {terminal.code} on a "
            "terminal"
        )
    notes += [
        f"{name} is set here, which makes some programs write at once; where it is not "
        "set, this command may hold output back"
        for name in unbuffering
    ]
    return notes


def _finding(
    argv: Sequence[str], pipe: Trial, terminal: Trial, works: Trial | None
) -> Finding:
    """
    A command that holds output back.

    @param works: the trial whose setup cures it; L{None} if only a terminal does.
    """
    if works is None:
        ours, setup, word = "# shellstream,", PTY, "pty"
        seen = "stdbuf, PYTHONUNBUFFERED and PERL5OPT do not help: it needs a terminal"
    else:
        ours, setup, word = "# shellstream does this by itself,", works.setup, "auto"
        seen = f"{setup.name} cures it: {_figures(works)}"
    return Finding(
        kind=Kind.COMMAND_BUFFERS,
        layer=Layer.COMMAND,
        where=shlex.join(argv),
        what=f"{argv[0]} holds its output back when it writes into a pipe",
        seen=f"on a terminal {_figures(terminal)}; on a pipe {_figures(pipe)}. {seen}",
        cure=(
            f"{ours} in the command's table:",
            f'unbuffer = "{word}"',
            "# elsewhere:",
            setup.line(argv),
        ),
    )


def _figures(trial: Trial) -> str:
    if trial.first_byte is None:
        return f"nothing came in {duration(trial.ended - trial.began)}"
    came = in_bursts(trial.bursts)
    return f"output came {came}, the first after {duration(trial.first_byte)}"
