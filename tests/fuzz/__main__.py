"""
C{python -m tests.fuzz}: fuzz each target for its share of the time.

Each target runs in a process of its own, and begins with its corpus. A failure is
printed with the input that causes it; put that into the target's corpus, and
C{tests/fuzz/test_corpus.py} replays it from then on.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from types import FrameType
from typing import Any, NoReturn

#: The most inputs in the corpus of a target; the largest input tried, in bytes.
KEPT, LARGEST = 40, 2048

#: Seconds that one input may take, and that a process may take to start and to exit.
PATIENCE, BEGIN = 10, 180

#: The packages whose coverage counts.
WATCHED = ("shellstream", "twisted.web.http", "twisted.web._abnf")

CORPUS = Path(__file__).with_name("corpus")


def main(argv: Sequence[str]) -> int:
    """Returns the exit code: 1 if a target failed."""
    names = sorted(path.name for path in CORPUS.iterdir())
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", epilog=f"targets: {', '.join(names)}"
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all by default")
    parser.add_argument("--seconds", type=int, default=60, help="in all (60)")
    parser.add_argument(
        "--keep", action="store_true", help="keep the inputs that reach more"
    )
    given = parser.parse_args(argv)
    targets = given.targets or names
    if unknown := set(targets).difference(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if find_spec("atheris") is None:
        parser.error("pip install -e '.[fuzz]' first; it is for Linux on x86-64")
    jobs = min(os.cpu_count() or 1, len(targets))
    share = max(1, given.seconds * jobs // len(targets))
    work = Path(mkdtemp(prefix="fuzzing-"))
    with ThreadPoolExecutor(jobs) as pool:
        well = list(pool.map(partial(fuzz_target, work, seconds=share), targets))
    if given.keep:
        for name in targets:
            minimize_corpus(work, name)
    if not all(well):
        return 1
    shutil.rmtree(work)
    return 0


def fuzz_target(work: Path, name: str, seconds: int) -> bool:
    """Fuzz one target, print the result, and return whether all passed."""
    found, wrong = work / name / "found", work / name / "wrong"
    for folder in (found, wrong):
        folder.mkdir(parents=True)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LARGEST}",
        f"-timeout={PATIENCE}",
        f"-artifact_prefix={wrong}/",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
    ]
    fuzzer = [sys.executable, "-m", "tests.fuzz", "--one", name, *options]
    done = subprocess.run(
        [*fuzzer, str(found), str(CORPUS / name)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=BEGIN + seconds + PATIENCE,
        check=False,
    )
    said = done.stdout.decode(errors="backslashreplace").splitlines()
    stats = {line.split()[0]: line.split()[-1] for line in said if "stat::" in line}
    runs = stats.get("stat::number_of_executed_units:", "?")
    new = len(list(found.iterdir()))
    print(f"{name}: {runs} inputs in {seconds} s, {new} reached more", flush=True)
    inputs = list(wrong.iterdir())
    if done.returncode == 0 and not inputs:
        return True
    print("\n".join(said[-60:]))
    for path in inputs:
        print(f"{name}: {path} holds {path.read_bytes()[:LARGEST]!r}")
        print(f"to have it replayed: cp {path} {CORPUS / name}", flush=True)
    return False


def fuzz_one(name: str, options: Sequence[str]) -> NoReturn:
    """Turn this process into the fuzzer of one target; C{options} are libFuzzer's."""
    import atheris

    with atheris.instrument_imports(include=list(WATCHED)):
        from tests.fuzz.cost import with_cost
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *options], with_cost(TARGETS[name]))
    atheris.Fuzz()
    raise AssertionError("libFuzzer has come back")


def minimize_corpus(work: Path, name: str) -> None:
    """Replace the corpus by the fewest inputs with the same coverage."""
    from tests.fuzz.targets import TARGETS

    folder = CORPUS / name
    paths = [*folder.iterdir(), *(work / name / "found").iterdir()]
    reached = {}
    for data in {path.read_bytes() for path in paths}:
        reached[data] = arcs(partial(TARGETS[name], data))
    chosen: list[bytes] = []
    known: set[tuple[str, int, int]] = set()
    while reached and len(chosen) < KEPT:
        best = max(reached, key=lambda data: (len(reached[data] - known), -len(data)))
        more = reached.pop(best) - known
        if not more:
            break
        known |= more
        chosen.append(best)
    shutil.rmtree(folder)
    folder.mkdir()
    for data in chosen:
        (folder / sha256(data).hexdigest()[:12]).write_bytes(data)
    print(f"{name}: {len(chosen)} inputs reach {len(known)} steps", flush=True)


def arcs(call: partial[None]) -> set[tuple[str, int, int]]:
    """The steps of a call, each from one line to the next, in L{WATCHED} packages."""
    found: set[tuple[str, int, int]] = set()
    before: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_globals.get("__name__", "").startswith(WATCHED):
            return None
        line = frame.f_lineno
        found.add((frame.f_code.co_filename, before.get(frame, 0), line))
        before[frame] = line
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        fuzz_one(sys.argv[2], sys.argv[3:])
    sys.exit(main(sys.argv[1:]))
