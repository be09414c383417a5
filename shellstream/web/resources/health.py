"""C{/healthz}: whether the daemon lives and takes runs."""

from collections.abc import Mapping

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from shellstream.model.errors import ShellstreamError
from shellstream.runs.interfaces import IRuns
from shellstream.web.server.request import Request

from .base import Resource, requires, respond_json

_log = Logger()

#: Seconds for which a result holds, so that many probes make one check of the disk.
FRESH = 1.0

#: Seconds that a disk may take to answer.
HEALTH_TIMEOUT = 5.0


class NotReady(ShellstreamError):
    """The daemon takes no runs now. The log says why: strangers may ask."""

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
    C{/healthz}: for a supervisor that restarts the daemon, or a balancer.

    All requests that come during a check, or soon after, share its result.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__()
        self._clock = clock
        self._ready = False
        self._until = float("-inf")
        self._waiting: list[Deferred[bool]] = []

    @requires()
    async def render_GET(self, request: Request) -> None:
        if not await self._is_ready(request.context.runs):
            raise NotReady
        respond_json(request, {"status": "ok"})

    def _is_ready(self, runs: IRuns) -> Deferred[bool]:
        found: Deferred[bool] = Deferred()
        if self._clock.seconds() < self._until:
            found.callback(self._ready)
            return found
        self._waiting.append(found)
        if len(self._waiting) == 1:
            checking = Deferred.fromCoroutine(_check(runs))
            checking.addTimeout(HEALTH_TIMEOUT, self._clock)
            checking.addErrback(_not_ready).addCallback(self._answer_all)
        return found

    def _answer_all(self, ready: bool) -> None:
        self._ready, self._until = ready, self._clock.seconds() + FRESH
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(ready)


async def _check(runs: IRuns) -> bool:
    await runs.check()
    return True


def _not_ready(failure: Failure) -> bool:
    if not failure.check(ShellstreamError, TookTooLong):
        _log.failure("while looking whether runs can be taken", failure)
    return False
