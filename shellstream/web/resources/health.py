"""C{/healthz}: whether the daemon lives, and can take runs."""

from collections.abc import Mapping
from typing import ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from shellstream.model.errors import ShellstreamError
from shellstream.runs.interfaces import IRuns
from shellstream.web.server.problem_details import json_line
from shellstream.web.server.request import Request

from .base import ANYBODY, JSON, Resource, Rule

_log = Logger()

#: Seconds for which an answer holds: however many ask, the disk is asked once.
FRESH = 1.0

#: Seconds that a disk may take to answer.
HEALTH_TIMEOUT = 5.0


class NotReady(ShellstreamError):
    """No runs are taken now; why, is for the log: strangers may ask."""

    status = 503

    #: Seconds after which to look again.
    RETRY_AFTER = 10

    def __init__(self) -> None:
        super().__init__(
            "the daemon takes no runs just now; look again in "
            f"{self.RETRY_AFTER} seconds, or ask whoever runs it"
        )

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.RETRY_AFTER)}


class Health(Resource):
    """
    C{/healthz}: for whoever starts the daemon again, or sends it work.

    All who ask while the answer is being found, or is fresh, have the same one.
    """

    rules: ClassVar[Mapping[str, Rule]] = {"GET": ANYBODY}

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__()
        self._clock = clock
        self._ready = False
        self._until = float("-inf")
        self._waiting: list[Deferred[bool]] = []

    async def render_GET(self, request: Request) -> None:
        if not await self._found(request.runs):
            raise NotReady
        request.answer(JSON, json_line({"status": "ok"}))

    def _found(self, runs: IRuns) -> Deferred[bool]:
        found: Deferred[bool] = Deferred()
        if self._clock.seconds() < self._until:
            found.callback(self._ready)
            return found
        self._waiting.append(found)
        if len(self._waiting) == 1:
            asked = Deferred.fromCoroutine(_ask(runs))
            asked.addTimeout(HEALTH_TIMEOUT, self._clock)
            asked.addErrback(_not_ready).addCallback(self._tell)
        return found

    def _tell(self, ready: bool) -> None:
        self._ready, self._until = ready, self._clock.seconds() + FRESH
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(ready)


async def _ask(runs: IRuns) -> bool:
    await runs.check()
    return True


def _not_ready(failure: Failure) -> bool:
    if not failure.check(ShellstreamError, TookTooLong):
        _log.failure("while looking whether runs can be taken", failure)
    return False
