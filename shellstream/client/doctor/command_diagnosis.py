"""
Whether a command holds back what it writes into a pipe, and what cures that.

Pure: how its output came on a pipe is compared with how it came on a terminal.
"""

import shlex
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from math import inf

from attrs import frozen

from .exchange import Piece, moments
from .findings import Finding, Kind, Layer, Report, seconds
from .ticks import FELT

#: Seconds: what comes within that came in one go.
APART = 0.05


@frozen
class Cure:
    """
    A way to start a command so that it might not hold its output back.

    @ivar prefix: words to put before it.
    @ivar env: variables to add to its environment; one that is there already, and
        is a list, is added to.
    @ivar pty: whether its output is a terminal.
    """

    name: str
    prefix: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    pty: bool = False

    def line(self, argv: Sequence[str]) -> str:
        """What to type."""
        if self.pty:
            return f"script -qec {shlex.quote(shlex.join(argv))} /dev/null"
        env = [f"{name}={shlex.quote(value)}" for name, value in self.env.items()]
        return " ".join([*env, shlex.join([*self.prefix, *argv])])


PIPE = Cure("pipe")
PTY = Cure("terminal", pty=True)

#: Perl has no variable for it, but one for C{-M}, of which it makes C{use strict();}:
#: that ends before the statement that we want.
_PERL = "-Mstrict();$|=1"

#: In the order in which they are tried: what costs least comes first.
CURES = (
    Cure("stdbuf", prefix=("stdbuf", "-oL")),
    Cure("PYTHONUNBUFFERED", env={"PYTHONUNBUFFERED": "1"}),
    Cure("PERL5OPT", env={"PERL5OPT": _PERL}),
)


@frozen
class Trial:
    """
    One run of the command.

    @ivar began: when it was started.
    @ivar ended: when its output ended, or we did not want more.
    @ivar code: its exit code, or less the number of the signal that killed it;
        L{None} if we did.
    """

    cure: Cure
    began: float
    pieces: tuple[Piece, ...]
    ended: float
    code: int | None

    @property
    def goes(self) -> int:
        """In how many goes its output came."""
        return len(moments(self.pieces, APART))

    @property
    def first(self) -> float | None:
        """Seconds until the first of it came."""
        return self.pieces[0].time - self.began if self.pieces else None


def holds_back(pipe: Trial, terminal: Trial) -> bool:
    """Whether its output plainly came in fewer goes on a pipe, and later."""
    fewer = terminal.goes > 1 and 2 * pipe.goes <= terminal.goes
    return fewer and _later(pipe, terminal) > FELT


def _later(pipe: Trial, terminal: Trial) -> float:
    """
    By how many seconds the same part of its output came later on a pipe, at most.

    Parts, not bytes: a program may write in columns, or colors, on a terminal.
    """
    on_pipe, on_terminal = _parts(pipe), _parts(terminal)
    latest = 0.0
    for part, time in on_terminal:
        came = next((when for what, when in on_pipe if what >= part), inf)
        latest = max(latest, came - time)
    return latest


def _parts(trial: Trial) -> list[tuple[Fraction, float]]:
    """How much of its output there was, and after how many seconds."""
    goes = moments(trial.pieces, APART)
    sizes = list(accumulate(size for _, size in goes))
    return [
        (Fraction(size, sizes[-1]), time - trial.began)
        for size, (time, _) in zip(sizes, goes, strict=True)
    ]


def cured(trial: Trial, terminal: Trial) -> bool:
    """Whether this way its output came about as it does on a terminal."""
    return not holds_back(trial, terminal)


def silent(pipe: Trial, terminal: Trial) -> bool:
    """Whether nothing came in any way, so that nothing can be said."""
    return not pipe.pieces and not terminal.pieces


def diagnose(
    argv: Sequence[str],
    pipe: Trial,
    terminal: Trial,
    tried: Sequence[Trial] = (),
    helped: Sequence[str] = (),
) -> Report:
    """
    What a command does on a pipe, and what cures it.

    @param tried: the cures that were tried; the last is one that works, or none is.
    @param helped: variables of the environment that un-buffer some programs anyway.
    """
    facts = tuple(_facts(each) for each in (pipe, terminal, *tried))
    if not holds_back(pipe, terminal):
        return Report(facts, (), tuple(_unknown(pipe, terminal, helped)))
    works = tried[-1] if tried and cured(tried[-1], terminal) else None
    return Report(facts, (_finding(argv, pipe, terminal, works),))


def _facts(trial: Trial) -> dict[str, object]:
    first = trial.first
    return {
        "how": trial.cure.name,
        "goes": trial.goes,
        "first_byte_seconds": None if first is None else round(first, 3),
        "seconds": round(trial.ended - trial.began, 3),
        "bytes": sum(len(each.data) for each in trial.pieces),
        "exit_code": trial.code,
    }


def _unknown(pipe: Trial, terminal: Trial, helped: Sequence[str]) -> list[str]:
    """Why there is less to be told than one might think."""
    notes = []
    if terminal.goes < 2 and pipe.goes < 2:
        notes.append(
            "it wrote all it had in one go on a terminal too, so what it would do with "
            "more, or over a longer time, cannot be told (--seconds)"
        )
    if terminal.code not in (None, 0) or pipe.code not in (None, 0):
        notes.append(
            f"it exited with {pipe.code} on a pipe, with {terminal.code} on a terminal"
        )
    notes += [
        f"{name} is set here, which un-buffers some programs; where it is not, this "
        "may be one of them"
        for name in helped
    ]
    return notes


def _finding(
    argv: Sequence[str], pipe: Trial, terminal: Trial, works: Trial | None
) -> Finding:
    if works is None:
        cure = (
            "# shellstream, in the command's table:",
            'unbuffer = "pty"',
            "# elsewhere:",
            PTY.line(argv),
        )
        said = "stdbuf, PYTHONUNBUFFERED and PERL5OPT do not help: it needs a terminal"
    else:
        cure = (
            "# shellstream does this by itself, in the command's table:",
            'unbuffer = "auto"',
            "# elsewhere:",
            works.cure.line(argv),
        )
        said = f"{works.cure.name} cures it: {_came(works)}"
    return Finding(
        kind=Kind.COMMAND_BUFFERS,
        layer=Layer.COMMAND,
        where=shlex.join(argv),
        what=f"{argv[0]} keeps its output back when it writes into a pipe",
        seen=f"on a terminal {_came(terminal)}; on a pipe {_came(pipe)}. {said}",
        cure=cure,
        evidence={
            "goes_on_terminal": terminal.goes,
            "goes_on_pipe": pipe.goes,
            "cure": "pty" if works is None else works.cure.name,
        },
    )


def _came(trial: Trial) -> str:
    first = trial.first
    if first is None:
        return f"nothing came in {seconds(trial.ended - trial.began)}"
    goes = "one go" if trial.goes == 1 else f"{trial.goes} goes"
    return f"it came in {goes}, the first after {seconds(first)}"
