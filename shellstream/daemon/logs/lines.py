"""
Lines of the log: for a person, for the journal, and as JSON for programs.

What comes from outside, even as part of an error, forges no line and does nothing to a
terminal: what is not printable is escaped.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from twisted.logger import LogEvent, LogLevel, eventAsText

from shellstream.model.events import rfc3339, utc
from shellstream.web.server.access_log import AccessLine

#: The priorities of syslog(3), which the journal reads at the beginning of a line
#: (sd-daemon(3)).
PRIORITIES = {
    LogLevel.debug: 7,
    LogLevel.info: 6,
    LogLevel.warn: 4,
    LogLevel.error: 3,
    LogLevel.critical: 2,
}

LineFormat = Callable[[LogEvent], str]


def text_on_terminal(event: LogEvent) -> str:
    """A short time, the level, the run if the line is about one, and what happened."""
    return f"{_local(event):%H:%M:%S} {_level(event).name:<5} {_text(event)}"


def text_in_file(event: LogEvent) -> str:
    """The same with a whole time, in the zone of the machine."""
    time = f"{_local(event):%Y-%m-%dT%H:%M:%S%z}"
    return f"{time} [{_level(event).name}] {_text(event)}"


def text_in_journal(event: LogEvent) -> str:
    """Without time and level, of which the journal keeps its own."""
    return "".join(f"{_mark(event)}{line}\n" for line in _lines(event))


def json_line(event: LogEvent) -> str:
    """
    An object with C{time}, C{level} and C{message}; C{run}, C{trace} and C{traceback}
    where there is one; and C{request} of a line of the access log.
    """
    first, *more = eventAsText(
        event, includeTimestamp=False, includeSystem=False
    ).splitlines() or [""]
    found: dict[str, object] = {
        "time": rfc3339(_micros(event)),
        "level": _level(event).name,
        "message": first,
    }
    for name in ("run", "trace"):
        if event.get(name) is not None:
            found[name] = str(event[name])
    access = event.get("line")
    if isinstance(access, AccessLine):
        found |= {"message": access.short, "request": access.document}
    elif more:
        found["traceback" if "log_failure" in event else "more"] = more
    return f"{json.dumps(found)}\n"  # ASCII, with all else escaped


def json_in_journal(event: LogEvent) -> str:
    """The same, with its priority, which the journal takes off."""
    return f"{_mark(event)}{json_line(event)}"


def _mark(event: LogEvent) -> str:
    return f"<{PRIORITIES[_level(event)]}>"


def _level(event: LogEvent) -> Any:
    return event.get("log_level", LogLevel.info)


def _local(event: LogEvent) -> datetime:
    return utc(_micros(event)).astimezone()


def _micros(event: LogEvent) -> int:
    return int(event["log_time"] * 1_000_000)


def _text(event: LogEvent) -> str:
    first, *more = _lines(event)
    lines = (first, *(f"    {line}" for line in more))
    return "".join(f"{line}\n" for line in lines)


def _lines(event: LogEvent) -> list[str]:
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    first, *more = map(_printable, text.splitlines() or [""])
    run = event.get("run")
    if run is not None and str(run) not in first:
        first = f"[{run}] {first}"
    return [first, *more]


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )
