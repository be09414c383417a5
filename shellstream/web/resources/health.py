"""C{/healthz}: whether the daemon lives and takes runs."""

from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from shellstream.model.errors import ShellstreamError
from shellstream.output.fair_turns import FairTurns
from shellstream.runs.authorized_runs import AuthorizedRuns
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

    def __init__(self) -> None:
        super().__init__(
            "the daemon takes no runs just now; look again in 10 seconds, or ask its "
            "operator",
            retry_after=10,
        )


class Health(Resource):
    """
    C{/healthz}: for a supervisor that restarts the daemon, or a balancer.

    All requests that come during a check, or soon after, share its result.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__()
        self._clock = clock
        self._turns = FairTurns(clock)
        self._waiting: list[Deferred[None]] = []
        self._ready = False
        self._until = float("-inf")

    @requires()
    async def render_GET(self, request: Request) -> None:
        if self._clock.seconds() >= self._until:
            checked: Deferred[None] = Deferred()
            self._waiting.append(checked)
            if len(self._waiting) == 1:  # others wait for the same result
                Deferred.fromCoroutine(self._renew(request.context.runs))
            await checked
        if not self._ready:
            raise NotReady
        respond_json(request, {"status": "ok"})

    async def _renew(self, runs: AuthorizedRuns) -> None:
        self._ready = await self._check(runs)
        self._until = self._clock.seconds() + FRESH
        waiting, self._waiting = self._waiting, []
        # One after the other, and not each from within the one before, as a
        # DeferredLock would: with hundreds Python's stack would not be deep enough.
        for each in waiting:
            fire = partial(each.callback, None)
            if not self._turns.now(fire):
                self._turns.later(fire)

    async def _check(self, runs: AuthorizedRuns) -> bool:
        checking = Deferred.fromCoroutine(runs.check())
        try:
            await checking.addTimeout(HEALTH_TIMEOUT, self._clock)
        except (ShellstreamError, TookTooLong):
            return False
        except Exception:  # noqa: BLE001  # any other is a mistake of ours
            _log.failure("while checking whether runs can be taken")
            return False
        return True
