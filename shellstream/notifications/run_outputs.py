"""The last lines of a run's output, without its secrets."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import define, field

from shellstream.config.command import MASK
from shellstream.config.notification import Notification
from shellstream.config.notification_trigger import STARTED
from shellstream.model.errors import ShellstreamError
from shellstream.output.interfaces import IRun

from .plain_text import last_lines, masked

#: Of how many runs the secrets are kept, to find them in the output.
MOST_SECRETS = 1000

#: How much of an output is read for its last lines, in bytes.
MOST_OUTPUT = 1 << 14


@define(eq=False)
class RunOutputs:
    """
    Finds the output of runs.

    @ivar _find: finds a run.
    @ivar _secrets_of: the values of the secret parameters of a run that has just ended.
    """

    _find: Callable[[str], Awaitable[IRun]]
    _secrets_of: Callable[[str], Mapping[str, str]]
    _secrets: dict[str, list[str]] = field(factory=dict, init=False)

    def remember(self, run_id: str) -> None:
        """A run has just ended: keep its secrets until L{forget}."""
        secrets = self._secrets_of(run_id)
        if secrets:
            self._secrets[run_id] = [
                each.replace("\r\n", "\n") for each in secrets.values()
            ]
            if len(self._secrets) > MOST_SECRETS:
                del self._secrets[next(iter(self._secrets))]  # the oldest

    def forget(self, run_id: str) -> None:
        """Nobody is told of this run any more."""
        self._secrets.pop(run_id, None)

    async def last_lines(
        self, to: Notification, event: str, run: Mapping[str, Any]
    ) -> str | None:
        """
        The lines that a notification wants; L{None} if it wants none, if the run is
        forgotten, or if it has secrets that nobody knows any more: they could be there.
        """
        if not to.lines or event == STARTED:
            return None
        secrets = self._secrets.get(run["id"], [])
        if not secrets and MASK in run["params"].values():
            return None
        try:
            found = await self._find(run["id"])  # its log is open as long as this is
            log = found.log
            # A terminal may print a character in four bytes, and a line end in two.
            longest = 4 * max(map(len, secrets), default=0)
            begin = max(log.start, log.end - MOST_OUTPUT - longest)
            data = b""
            while begin < log.end:
                chunks = log.read(begin)
                data += b"".join(each.data for each in chunks)
                begin = chunks[-1].end
        except ShellstreamError:
            return None
        data = data[-MOST_OUTPUT - longest :]
        text = data.decode("utf-8", "replace").replace("\r\n", "\n")
        # Before anything is cut off: a part of a secret would not be known as one.
        text = masked(text, secrets, MASK)
        if len(data) < log.end:  # it may begin within a secret
            text = text[longest:]
        return masked(last_lines(text.encode(), to.lines), secrets, MASK)
