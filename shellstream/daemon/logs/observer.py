"""The observer that writes the daemon's log."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any

from twisted.application.service import MultiService
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
)
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile

from .lines import (
    LineFormat,
    json_in_journal,
    json_line,
    text_in_file,
    text_in_journal,
    text_on_terminal,
)


def log_observer(
    form: str,
    level: str,
    twistd: Mapping[str, Any],
    in_reactor: Callable[[Callable[[], object]], object],
) -> ILogObserver:
    """
    The observer of the log: it writes where twistd itself would.

    @param form: text or json.
    @param level: the least important level that is written.
    @param twistd: the options of twistd.
    @param in_reactor: calls something in the thread of the reactor, for a handler of a
        signal.
    """
    name = twistd.get("logfile")
    if name in (None, "", "-") and twistd.get("nodaemon"):
        file: Any = sys.stdout
        lines = format_for(sys.stdout, os.environ, form)
    else:
        file = LogFile.fromFullPath(name or "twistd.log")
        lines = json_line if form == "json" else text_in_file
        if not signal.getsignal(signal.SIGUSR1):  # as twistd does
            signal.signal(signal.SIGUSR1, lambda *_: in_reactor(file.rotate))
    observer = FileLogObserver(file, lines)
    least = LogLevel.lookupByName(level)
    return FilteringLogObserver(observer, [LogLevelFilterPredicate(least)])


class ObservedServices(MultiService):
    """
    The services of a daemon, which bring the observer of their log to twistd.

    @ivar _observer: makes it.
    """

    def __init__(self, observer: Callable[[], ILogObserver]) -> None:
        super().__init__()
        self._observer = observer

    def setServiceParent(self, parent: Any) -> None:
        # Twistd asks its application for an observer before it makes one of its own,
        # and the application is made after its services.
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer())
        super().setServiceParent(parent)


def format_for(
    stream: IO[str], environ: Mapping[str, str], form: str = "text"
) -> LineFormat:
    """The format of lines for a stream: a terminal, the journal, or anything else."""
    if _is_journal(stream, environ):
        return json_in_journal if form == "json" else text_in_journal
    if form == "json":
        return json_line
    return text_on_terminal if stream.isatty() else text_in_file


def _is_journal(stream: IO[str], environ: Mapping[str, str]) -> bool:
    try:
        found = os.fstat(stream.fileno())
    except OSError:  # it is closed, or has none
        return False
    # Another program may have inherited the variable (systemd.exec(5)).
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
