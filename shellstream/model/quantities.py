"""Times and sizes as people write and read them."""

import re

#: The seconds of each unit of a time. No months or years: their length differs.
TIME_UNITS = {
    **{"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0},
    **{"h": 3600.0, "d": 86_400.0, "w": 604_800.0},
}
TIME = r"([0-9]{1,10}(?:\.[0-9]{1,3})?) ?(ms|s|m|min|h|d|w)"

# Powers of two alone: to some MB is 10^6 bytes, to others 2^20.
SIZE_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
SIZE = "([0-9]{1,15}) ?([KMGT]iB)?"


def parse_time(text: str) -> float | None:
    """The seconds of a time with its unit, such as C{10 min}; L{None} if it is none."""
    match = re.fullmatch(TIME, text, re.ASCII)
    return None if match is None else float(match[1]) * TIME_UNITS[match[2]]


def parse_size(text: str) -> int | None:
    """The bytes of a size, such as C{64 MiB}; L{None} if it is none."""
    match = re.fullmatch(SIZE, text)
    return None if match is None else int(match[1]) * SIZE_UNITS[match[2] or ""]


def show_time(seconds: float) -> str:
    """A time in the largest unit of which it is a whole number."""
    for unit in ("d", "h", "min"):
        if seconds and seconds % TIME_UNITS[unit] == 0:
            return f"{seconds / TIME_UNITS[unit]:.0f} {unit}"
    return f"{seconds:g} s"


def show_size(size: int) -> str:
    """A size in the largest unit of which it is a whole number."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % SIZE_UNITS[unit] == 0:
            return f"{size // SIZE_UNITS[unit]} {unit}"
    return f"{size} bytes"
