"""The memory of a process."""

import os
from pathlib import Path


def resident(pid: int) -> int:
    """The memory that a process has, in bytes (proc(5))."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
