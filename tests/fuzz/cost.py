"""What a target costs: it may grow with the length of its input, and no faster."""

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any
from zlib import crc32

from tests.support.reactor_deadline import DEADLINE, slowness
from tests.support.watched_tests import TRIES

Target = Callable[[bytes], None]

#: The least size of the smaller of two inputs that are compared, in bytes, and how many
#: times as long the other one is. Some targets do much for each byte, to check their
#: parser's result.
MANY, FEWER, TIMES = 4096, 256, 4
CAREFUL = {"output", "run_request", "channel"}

#: The targets that a daemon meets only at its start, and not in a turn of its reactor.
AT_START = {"configuration", "pattern"}

#: How much faster than the input the work may grow: some of it is the same for all
#: inputs, and some parsers copy what is left.
SLACK = 2.0

#: A fuzzer compares the cost of one input of so many: it takes as long as a hundred.
TRIED = 64

#: Calls, and seconds of CPU, below which nothing is compared.
FEW_CALLS, SHORT = 5000, 0.05


def check_turn(target: Target, data: bytes) -> None:
    """
    Try a target with an input. It must not take longer than a turn of the reactor may.
    """
    took, tries = seconds(target, data), TRIES
    while took > DEADLINE and target.__name__ not in AT_START:
        tries -= 1
        if not tries:
            raise AssertionError(f"a turn of {took * 1000:.0f} ms of CPU: {data!r}")
        took = seconds(target, data) / slowness()


def check_cost(target: Target, data: bytes) -> None:
    """
    Make an input longer, by repeating all of it and by repeating its last byte, and
    compare what two lengths cost.

    Calls are counted, which gives the same number each time. What one call of a C
    function takes, such as C{re.fullmatch}, is measured, and has to grow much faster
    before that is taken for more than noise.
    """
    # The first bytes choose between cases; the rest is what is parsed.
    head, unit = data[:4], data[4:] or b"\0"
    least = FEWER if target.__name__ in CAREFUL else MANY
    growth = TIMES * SLACK
    for first, more in ((head, unit), (data, data[-1:] or b"\0")):
        # The smaller one has the whole input, too: its end may cost the most.
        small = first + more * -(-least // len(more))
        large = small + more * (-(-least // len(more)) * (TIMES - 1))
        _compare(target, small, large, growth, data)


def _compare(
    target: Target, small: bytes, large: bytes, growth: float, data: bytes
) -> None:
    few, many = count_calls(target, small), count_calls(target, large)
    assert many <= FEW_CALLS + growth * few, f"{few} calls became {many}: {data!r}"
    for _ in range(3):
        long = seconds(target, large)
        short = max(seconds(target, small), SHORT / growth)
        if long <= growth * short * SLACK:
            return
    raise AssertionError(f"{short:.3f} s became {long:.3f} s: {data!r}")


def with_cost(target: Target) -> Target:
    """
    A target that also fails on an input that takes too long for a turn of the reactor,
    and if its cost grows too fast, for which some inputs are tried.
    """

    def tried(data: bytes) -> None:
        check_turn(target, data)
        if crc32(data) % TRIED == 0:
            check_cost(target, data)

    return tried


def count_calls(target: Target, data: bytes) -> int:
    """The number of calls that a target makes, of Python and of C functions."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        target(data)
    finally:
        sys.setprofile(before)
    return count


def seconds(target: Target, data: bytes) -> float:
    """The CPU time that a target takes."""
    began = time.thread_time()
    target(data)
    return time.thread_time() - began
