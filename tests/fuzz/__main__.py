"""
C{python -m tests.fuzz}: fuzz each target for its share of some time.

Each does so in a process of its own, and begins with the inputs that are kept of it.
What is wrong is told with the input that shows it; put into the folder of the others,
it is replayed by C{tests/fuzz/test_corpus.py} for ever.
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

#: The most inputs that are kept of a target; the largest that is tried, in bytes.
KEPT, LARGEST = 40, 2048

#: Seconds that one input may take, and that a process may take to begin and to end.
PATIENCE, BEGIN = 10, 60

#: What is watched to see what an input reaches: modules, and all that is in them.
WATCHED = ("shellstream", "twisted.web.http", "twisted.web._abnf")

CORPUS = Path(__file__).with_name("corpus")


def main(argv: Sequence[str]) -> int:
    """Returns 1 if something is wrong."""
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
        well = list(pool.map(partial(fuzzed, work, seconds=share), targets))
    if given.keep:
        for name in targets:
            keep(work, name)
    if not all(well):
        return 1
    shutil.rmtree(work)
    return 0


def fuzzed(work: Path, name: str, seconds: int) -> bool:
    """Fuzz one target and say what came of it; returns whether nothing is wrong."""
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
    """Be the fuzzer of one target, with the options of libFuzzer."""
    import atheris

    with atheris.instrument_imports(include=list(WATCHED)):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()
    raise AssertionError("libFuzzer has come back")


def keep(work: Path, name: str) -> None:
    """Keep as few inputs as reach all that was reached."""
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
    """From which line to which line of ours a call went."""
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
