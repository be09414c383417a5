"""What a notification says: a run as JSON, or as the operator's template has it."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from signal import Signals
from typing import Any
from urllib.parse import quote, quote_plus

from attrs import frozen

from shellstream.config.notification import Notification
from shellstream.config.notification_trigger import STARTED
from shellstream.config.templates import DOTTED, fill

#: An exit code for a run that has none: it never ran, or nobody knows how it ended.
NO_CODE = 255

#: The media type of the run as JSON.
JSON = "application/json"


@frozen(kw_only=True)
class Message:
    """
    One event of a run, for one notification.

    @ivar delivery: its id, the same at each attempt.
    @ivar run: the run as clients see it (L{model.run_record.to_document}).
    @ivar link: the address of its page; empty if there is none.
    @ivar output: its last lines; L{None} if they are not wanted, or not there.
    """

    delivery: str
    notify: str
    event: str
    run: Mapping[str, Any]
    link: str = ""
    output: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long the run took; L{None} if it never started, or has not ended."""
        started, ended = self.run["started"], self.run["ended"]
        if started is None or ended is None:
            return None
        took = datetime.fromisoformat(ended) - datetime.fromisoformat(started)
        return max(0.0, took.total_seconds())

    def to_json(self) -> str:
        """All of it, for programs."""
        document = {
            "delivery": self.delivery,
            "notify": self.notify,
            "event": self.event,
            "summary": self._summary(),
            "run": self.run,
            "seconds": self.seconds,
            "link": self.link or None,
            "output": self.output,
        }
        return json.dumps(document)

    def values(self) -> dict[str, str]:
        """
        What stands for each placeholder: C{params.NAME}, and those that
        L{config.notification.FACTS} explains.
        """
        run, seconds = self.run, self.seconds
        return {
            **{f"params.{name}": value for name, value in run["params"].items()},
            "summary": self._summary(),
            "event": self.event,
            "command": run["command"],
            "state": run["state"],
            "outcome": self._outcome(),
            "exit_code": str(self._exit_code()),
            "reason": run["reason"] or "",
            "failure": run["failure"] or "",
            "duration": "" if seconds is None else in_words(seconds),
            "run": run["id"],
            "owner": run["principal"],
            "link": self.link,
            "output": self.output or "",
            "delivery": self.delivery,
        }

    def text_for(self, to: Notification) -> tuple[str, str]:
        """The text that a notification sends, and its media type."""
        if to.body is None:
            return self.to_json(), to.content_type or JSON
        kind = to.content_type.lower()
        quoting: Callable[[str], str] = str
        if "json" in kind:
            quoting = _in_json
        elif "x-www-form-urlencoded" in kind:
            quoting = quote_plus
        text = fill(to.body, self.values(), DOTTED, quoting)
        return text, to.content_type or "text/plain; charset=utf-8"

    def url_for(self, to: Notification) -> str:
        """The address that it is sent to."""
        put = lambda value: quote(value, safe="")  # noqa: E731
        return fill(to.url or "", self.values(), DOTTED, put)

    def headers_for(self, to: Notification) -> dict[str, str]:
        """The operator's headers; a value that had several lines has one."""
        values = self.values()
        return {
            name: fill(text, values, DOTTED, _in_one_line)
            for name, text in to.headers.items()
        }

    def argv_for(self, to: Notification) -> tuple[str, ...]:
        """The program, and its arguments."""
        values = self.values()
        return tuple(fill(item, values, DOTTED, _in_one_line) for item in to.argv)

    def _exit_code(self) -> int:
        """As a shell tells it, and our client."""
        end = self.run["end"] or {}
        if end.get("code") is not None:
            return int(end["code"])
        signal = end.get("signal")
        return NO_CODE if signal is None else 128 + _signal_number(signal)

    def _outcome(self) -> str:
        if self.run["end"] is None:
            return ""
        good = self.run["state"] == "exited" and self.run["code"] == 0
        return "success" if good else "failure"

    def _summary(self) -> str:
        run, seconds = self.run, self.seconds
        if self.event == STARTED or run["end"] is None:
            return f"{run['command']} started"
        if self.event == "test":
            return f"trial of the notification {self.notify}; no command was run"
        if self._outcome() == "success":
            what = "succeeded"
        elif run["state"] == "exited":
            what = f"failed: exit code {run['code']}"
        elif run["state"] == "signaled":
            what = f"was ended by signal {run['signal']}"
        elif run["state"] == "failed":
            what = f"was not started: {run['failure'] or 'for an unknown reason'}"
        else:
            what = "was lost" if run["state"] == "lost" else "was cancelled"
        after = "" if seconds is None else f" after {in_words(seconds)}"
        why = "" if run["reason"] in (None, run["state"]) else f" ({run['reason']})"
        return f"{run['command']} {what}{after}{why}"


def in_words(seconds: float) -> str:
    """A duration for people: C{20 ms}, C{2.5 s}, C{2 min 5 s}, C{3 h 20 min}."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, next_size, next_unit in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // next_size
            return f"{whole // size} {unit}" + (f" {rest} {next_unit}" if rest else "")
    return f"{whole} s"


def _signal_number(name: str) -> int:
    try:
        return int(name)
    except ValueError:
        return int(Signals[f"SIG{name}"])


def _in_json(value: str) -> str:
    """A value within a string of JSON."""
    return json.dumps(value)[1:-1]


def _in_one_line(value: str) -> str:
    return "".join(each if each.isprintable() else " " for each in value)
