"""Trials of commands whose output arrives at chosen times."""

from shellstream.client.doctor.command_diagnosis import Setup, Trial
from shellstream.client.doctor.exchange import Arrival
from shellstream.client.doctor.process_watch import Stage

#: Seconds after which output arrives live, and if it is held back.
LIVE, HELD = (0.1, 1.1, 2.1), (2.9,)


def trial(
    setup: Setup,
    *times: float,
    code: int | None = 0,
    lines: int = 1,
    stages: tuple[Stage, ...] = (),
) -> Trial:
    """A run whose output arrived after these seconds, so many lines each time."""
    arrivals = tuple(Arrival(10 + time, b"line\n" * lines) for time in times)
    return Trial(setup, 10.0, arrivals, 13.0, code, stages)


def stage(
    words: str, writes: int, stdin: int = 0, stdout: int = 1, reads: int = 0
) -> Stage:
    """A process that writes into one pipe what it reads from another."""
    argv = tuple(words.split())
    pipes = f"pipe:[{stdin}]", f"pipe:[{stdout}]"
    return Stage(argv, argv[0], *pipes, reads, writes)
