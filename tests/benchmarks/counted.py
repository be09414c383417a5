"""
Runs a Python script and counts its work: SOCKET [PYTHON] SCRIPT ARGUMENTS.

This is a script of its own, which imports nothing of ours. It connects to the UNIX
socket of L{tests.benchmarks.counts}, and answers each byte from there with all counts
so far, a line of JSON. A thread that is not counted does this.

Calls are what C{cProfile} counts: Python functions, and functions of C that Python
calls.
"""

import json
import runpy
import socket
import sqlite3
import sys
import threading
from collections import defaultdict
from types import CodeType, FrameType
from typing import Any

#: The thread that wakes the reactor now and then: it follows the clock, not the work.
WATCHDOG = "watchdog"

#: How Python sends on a socket.
SENDS = {"send", "sendall", "sendmsg"}

#: The events of all threads in their order: "h" for a hop, a call that a thread gives
#: back to the reactor; "s" when the reactor sends.
order: list[str] = []

#: The statements of SQLite. Their list counts them, since a function of Python would
#: count as a call.
statements: list[str] = []


class Counter:
    """The calls of one thread: of Python functions, and of functions of C by caller."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.python: dict[CodeType, int] = defaultdict(int)
        self.c: dict[CodeType, int] = defaultdict(int)

    def count(self, frame: FrameType, event: str, called: Any) -> None:
        """@see: C{sys.setprofile}"""
        if event == "call":
            self.python[frame.f_code] += 1
            if frame.f_code.co_name == "callFromThread" and self.name != "MainThread":
                order.append("h")
        elif event == "c_call":
            self.c[frame.f_code] += 1
            if called.__name__ in SENDS and self.name == "MainThread":
                order.append("s")


counters: list[Counter] = []


def count_this_thread(*_: object) -> None:
    """Count the calls of the thread that makes this call, the first of a new thread."""
    name = threading.current_thread().name
    if name == WATCHDOG:
        sys.setprofile(None)
        return
    counters.append(Counter(name))
    sys.setprofile(counters[-1].count)


def counts() -> dict[str, Any]:
    """All counts so far; calls by thread, kind and file."""
    threads: dict[str, dict[str, dict[str, int]]] = {}
    for counter in counters:
        kinds = threads.setdefault(counter.name, {"python": {}, "c": {}})
        for kind, found in (("python", counter.python), ("c", counter.c)):
            for code, count in found.copy().items():
                files = kinds[kind]
                files[code.co_filename] = files.get(code.co_filename, 0) + count
    return {
        "threads": threads,
        "statements": len(statements),
        "order": "".join(order),
    }


def answer(asked: socket.socket) -> None:
    """Answer until the other end closes."""
    while asked.recv(1):
        asked.sendall(json.dumps(counts()).encode() + b"\n")


def main() -> None:
    """Count a script while it runs."""
    _, path, *sys.argv = sys.argv
    if sys.argv[0] == sys.executable:
        del sys.argv[0]
    asked = socket.socket(socket.AF_UNIX)
    asked.connect(path)
    threading.Thread(target=answer, args=(asked,), daemon=True).start()
    connect = sqlite3.connect

    def connect_traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.set_trace_callback(statements.append)
        return connection

    sqlite3.connect = connect_traced  # type: ignore[assignment]
    threading.setprofile(count_this_thread)
    count_this_thread()
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
