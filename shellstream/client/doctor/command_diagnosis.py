"""
Whether a command holds back what it writes into a pipe, and what cures that.

Pure. C's stdio, Python and Perl collect output in blocks when they write into a pipe,
and write line by line on a terminal (setvbuf(3), stdout(3)). So the two are compared.
In a pipeline all stages but the last write into a pipe either way; there the comparison
is with the same command while it is told to write at once.
"""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from math import inf

from attrs import frozen

from .exchange import Arrival, bursts
from .findings import Finding, Kind, Layer, Report, duration, in_bursts
from .process_watch import (
    OWN_WAYS,
    Stage,
    held_back_by,
    ignores_environment,
    takes_without_giving,
)
from .ticks import NOTICEABLE


@frozen
class Setup:
    """
    How a trial starts the command.

    @ivar prefix: words before the command.
    @ivar env: variables to set; C{PERL5OPT} is added to what it holds already.
    @ivar pty: whether the output is a terminal, not a pipe.
    @ivar option: words behind the name of the program.
    """

    name: str
    prefix: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    pty: bool = False
    option: tuple[str, ...] = ()

    def argv(self, argv: Sequence[str]) -> list[str]:
        """The words to start."""
        return [*self.prefix, argv[0], *self.option, *argv[1:]]

    def line(self, argv: Sequence[str]) -> str:
        """What to type in a shell for the same."""
        if self.pty:
            return f"script -qec {shlex.quote(shlex.join(argv))} /dev/null"
        env = [f"{name}={shlex.quote(value)}" for name, value in self.env.items()]
        return " ".join([*env, shlex.join(self.argv(argv))])


PIPE = Setup("pipe")
PTY = Setup("terminal", pty=True)

#: Seconds of silence after which several lines at once are suspicious: fewer do not
#: trouble a person who watches.
SILENCE = 0.5

_SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "busybox", "env", "make")

#: Setups that may cure the command, in the order of trial: the least intrusive first.
CURES = (
    # stdbuf(1), for programs that use C's stdio.
    Setup("stdbuf", prefix=("stdbuf", "-oL")),
    Setup("PYTHONUNBUFFERED", env={"PYTHONUNBUFFERED": "1"}),
    # Perl has no variable for it, but -MX executes "use X;" (perlrun(1)), so this
    # executes "use strict();$|=1;", whose second statement is the one that we want.
    Setup("PERL5OPT", env={"PERL5OPT": "-Mstrict();$|=1"}),
)

#: Python's own switch, for what makes it ignore its variables.
PYTHON_OPTION = Setup("-u", option=("-u",))


def together(cures: Sequence[Setup]) -> Setup:
    """Several cures at once."""
    prefix = tuple(word for each in cures for word in each.prefix)
    env = {name: value for each in cures for name, value in each.env.items()}
    return Setup(" + ".join(each.name for each in cures), prefix, env)


@frozen
class Trial:
    """
    One run of the command.

    @ivar began: when it was started.
    @ivar ended: when its output ended, or we stopped reading.
    @ivar code: its exit code, or minus the number of the signal that killed it; L{None}
        if we ended it.
    @ivar stages: its processes, as far as they were seen.
    """

    setup: Setup
    began: float
    arrivals: tuple[Arrival, ...]
    ended: float
    code: int | None
    stages: tuple[Stage, ...] = ()

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


def seems_held(pipe: Trial, terminal: Trial) -> bool:
    """Whether it is worth a trial with cures."""
    if needs_terminal(pipe, terminal):
        return False
    return holds_back(pipe, terminal) or _is_suspicious(pipe)


def _is_suspicious(trial: Trial) -> bool:
    """Whether several lines came at once after a silence, or nothing at all."""
    if not trial.arrivals:
        return trial.code is None
    # Bursts of lines in place of bytes.
    lines = [Arrival(at, b"\n" * data.count(b"\n")) for at, data in trial.arrivals]
    came = bursts(lines)
    before = [trial.began, *(burst.time for burst in came)]
    return any(
        burst.time - earlier >= SILENCE and burst.size > 1
        for earlier, burst in zip(before, came, strict=False)
    )


def helps(cured: Trial, pipe: Trial, terminal: Trial) -> bool:
    """Whether output comes live in a trial, and does not on a pipe alone."""
    if holds_back(pipe, terminal):
        return not holds_back(cured, terminal)
    return bool(cured.arrivals) and holds_back(pipe, cured)


def needs_terminal(pipe: Trial, terminal: Trial) -> bool:
    """Whether the command fails on a pipe, and writes only on a terminal."""
    fails = pipe.code not in (None, 0, terminal.code) and not pipe.arrivals
    return fails and bool(terminal.arrivals)


def diagnose(
    argv: Sequence[str],
    pipe: Trial,
    terminal: Trial,
    cures: Sequence[Trial] = (),
    unbuffering: Sequence[str] = (),
) -> Report:
    """
    What a command does on a pipe, and what cures it.

    @param cures: the trials with cures: the first with all of them, then each up to the
        first that helps.
    @param unbuffering: variables of this environment that cure some programs anyway.
    """
    facts = tuple(map(_facts, (pipe, terminal, *cures)))
    if needs_terminal(pipe, terminal):
        return Report(facts, (_terminal_finding(argv, pipe, terminal),))
    helping = [each for each in cures if helps(each, pipe, terminal)]
    if helping:
        return Report(facts, (_cured(argv, pipe, terminal, helping[-1]),))
    if cures and (known := _known_holder(argv, cures[0])):
        return Report(facts, (_uncured(argv, pipe, *known),))
    if holds_back(pipe, terminal):
        return Report(facts, (_terminal_only(argv, pipe, terminal),))
    notes = _unknown(pipe, terminal, unbuffering, cures)
    return Report(facts, (), tuple(notes))


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


def _unknown(
    pipe: Trial, terminal: Trial, unbuffering: Sequence[str], cures: Sequence[Trial]
) -> Iterator[str]:
    if terminal.bursts < 2 and pipe.bursts < 2:
        yield (
            "the command wrote everything at once on a terminal too: that does not "
            "show what it does with more output, or over a longer time (--seconds)"
        )
    for stage in takes_without_giving(cures[0].stages) if cures else ():
        yield (
            f"{stage.name} read its input piece by piece, and wrote only at its end: "
            "if it had something to write before, look for an option of its own that "
            "makes it write at once"
        )
    if terminal.code not in (None, 0) or pipe.code not in (None, 0):
        yield (
            f"the command exited with {pipe.code} on a pipe, with {terminal.code} on a "
            "terminal"
        )
    for name in unbuffering:
        yield (
            f"{name} is set here, which makes some programs write at once; where it is "
            "not set, this command may hold output back"
        )


def _cured(argv: Sequence[str], pipe: Trial, terminal: Trial, works: Trial) -> Finding:
    """A command that holds output back, and a setup that cures it."""
    stages = held_back_by(pipe.stages, works.stages, works.bursts)
    options = [each for stage in stages if (each := stage.option)]
    if works.setup.option:
        cure: tuple[str, ...] = (
            "# in the command; its variables do not help, since it ignores them:",
            works.setup.line(argv),
        )
    else:
        cure = (
            "# shellstream does this by itself, in the command's table:",
            'unbuffer = "auto"',
            "# elsewhere:",
            works.setup.line(argv),
        )
    if options:
        cure = (*cure, "# or in the command itself:", *options)
    live = (
        f"on a terminal {_figures(terminal)}; "
        if holds_back(pipe, terminal)
        else "on a terminal it comes no earlier, since only the last of a pipeline "
        "writes there; "
    )
    return _held_finding(
        argv,
        _names(stages, argv),
        seen=f"{live}on a pipe {_figures(pipe)}. {works.setup.name} cures it: "
        f"{_figures(works)}",
        cure=cure,
    )


def _known_holder(argv: Sequence[str], trial: Trial) -> tuple[str, str, str] | None:
    """
    Who holds output back for a reason that no variable changes: its name, the reason,
    and what to do.
    """
    for stage in trial.stages:
        if ignores_environment(stage.argv) and stage.writes < 2:
            line = shlex.join(PYTHON_OPTION.argv(stage.argv))
            return stage.name, "it ignores PYTHONUNBUFFERED", line
    for stage in takes_without_giving(trial.stages):
        if stage.program in OWN_WAYS:
            return stage.name, *OWN_WAYS[stage.program]
    return None


def _uncured(
    argv: Sequence[str], pipe: Trial, name: str, why: str, cure: str
) -> Finding:
    return _held_finding(
        argv,
        name,
        seen=f"on a pipe {_figures(pipe)}, and {name} wrote at its end only: {why}",
        cure=("# in the command:", cure),
    )


def _terminal_only(argv: Sequence[str], pipe: Trial, terminal: Trial) -> Finding:
    """A command that writes at once on a terminal only."""
    # Words such as "env -i" start the program in their place.
    stages = pipe.stages if len(pipe.stages) == 1 else ()
    options = [each for stage in stages if (each := stage.option)]
    return _held_finding(
        argv,
        _names(stages, argv),
        seen=f"on a terminal {_figures(terminal)}; on a pipe {_figures(pipe)}. stdbuf, "
        "PYTHONUNBUFFERED and PERL5OPT do not help, only a terminal does",
        cure=(
            "# shellstream, in the command's table:",
            'unbuffer = "pty"',
            "# elsewhere:",
            PTY.line(argv),
            *(["# or in the command itself:", *options] if options else ()),
        ),
    )


def _terminal_finding(argv: Sequence[str], pipe: Trial, terminal: Trial) -> Finding:
    """A command that fails where it has no terminal."""
    return Finding(
        kind=Kind.NEEDS_TERMINAL,
        layer=Layer.COMMAND,
        where=shlex.join(argv),
        what=f"{os.path.basename(argv[0])} does not work without a terminal",
        seen=f"on a pipe it exited with {pipe.code} and wrote nothing; on a terminal "
        f"{_figures(terminal)}",
        cure=(
            "# shellstream, in the command's table:",
            'unbuffer = "pty"',
            "# or, where people also type at it:",
            "tty = true",
            "# elsewhere:",
            PTY.line(argv),
        ),
    )


def _held_finding(
    argv: Sequence[str], names: str, seen: str, cure: tuple[str, ...]
) -> Finding:
    return Finding(
        kind=Kind.COMMAND_BUFFERS,
        layer=Layer.COMMAND,
        where=shlex.join(argv),
        what=f"{names} holds output back when it writes into a pipe",
        seen=seen,
        cure=cure,
    )


def _names(stages: Sequence[Stage], argv: Sequence[str]) -> str:
    """Who holds output back, in words."""
    program = os.path.basename(argv[0])
    names = list(dict.fromkeys(stage.name for stage in stages))
    if names == [program] or (not names and program not in _SHELLS):
        return program
    if not names:
        return f"one of the programs that {program} starts"
    one = names[0] if len(names) == 1 else f"one of {', '.join(names)}"
    return f"{one}, which {program} starts,"


def _figures(trial: Trial) -> str:
    if trial.first_byte is None:
        return f"nothing came in {duration(trial.ended - trial.began)}"
    came = in_bursts(trial.bursts)
    return f"output came {came}, the first after {duration(trial.first_byte)}"
