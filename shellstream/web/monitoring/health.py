"""C{/healthz}, C{/readyz} and C{/livez}: whether the daemon lives and takes runs."""

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from shellstream.model.errors import ShellstreamError
from shellstream.output.fair_turns import FairTurns
from shellstream.runs.authorized_runs import AuthorizedRuns
from shellstream.security.authorization import Action
from shellstream.web.resources.base import Resource, requires, respond_json
from shellstream.web.server.request import Request

_log = Logger()

#: Seconds for which a result holds, so that many probes make one check of the disk.
FRESH = 1.0

#: Seconds that a disk may take to answer.
HEALTH_TIMEOUT = 5.0

#: Seconds that the event loop may take to answer.
MOST_LAG = 1.0

#: With this in its query a probe asks for reasons, and needs a credential.
VERBOSE = b"verbose"


class NotReady(ShellstreamError):
    """The daemon takes no runs now. The log says why: strangers may ask."""

    status = 503

    def __init__(self, reason: str = "") -> None:
        super().__init__(
            f"the daemon takes no runs just now: {reason}"
            if reason
            else "the daemon takes no runs just now; look again in 10 seconds, or ask "
            "its operator",
            retry_after=10,
        )


class Health(Resource):
    """
    C{/healthz} and C{/readyz}: for a supervisor that restarts the daemon, or a
    balancer. A caller that may read the metrics is told the reason.

    All requests that come during a check, or soon after, share its result.

    @ivar _lag: returns how long the event loop took to answer, in seconds.
    """

    def __init__(self, clock: IReactorTime, lag: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._lag = lag
        self._turns = FairTurns(clock)
        self._waiting: list[Deferred[None]] = []
        self._reason: str | None = None  # why it is not ready
        self._until = float("-inf")

    @requires()
    async def render_GET(self, request: Request) -> None:
        verbose = asks_for_reasons(request.uri)
        if verbose:
            request.context.runs.require(Action.METRICS)
        if self._clock.seconds() >= self._until:
            checked: Deferred[None] = Deferred()
            self._waiting.append(checked)
            if len(self._waiting) == 1:  # others wait for the same result
                Deferred.fromCoroutine(self._renew(request.context.runs))
            await checked
        if self._reason is not None:
            raise NotReady(self._reason if verbose else "")
        respond_json(request, {"status": "ok"})

    async def _renew(self, runs: AuthorizedRuns) -> None:
        self._reason = await self._check(runs)
        self._until = self._clock.seconds() + FRESH
        waiting, self._waiting = self._waiting, []
        # One after the other, and not each from within the one before, as a
        # DeferredLock would: with hundreds Python's stack would not be deep enough.
        for each in waiting:
            fire = partial(each.callback, None)
            if not self._turns.now(fire):
                self._turns.later(fire)

    async def _check(self, runs: AuthorizedRuns) -> str | None:
        """Why no run can be taken; L{None} if one can."""
        lag = self._lag()
        if lag > MOST_LAG:
            return f"it took {lag:.1f} s to answer itself; the log shows where it was"
        checking = Deferred.fromCoroutine(runs.check())
        try:
            await checking.addTimeout(HEALTH_TIMEOUT, self._clock)
        except ShellstreamError as error:
            return str(error)
        except TookTooLong:
            return f"the disk that holds the state took {HEALTH_TIMEOUT:g} s"
        except Exception:  # noqa: BLE001  # any other is a mistake of ours
            _log.failure("while checking whether runs can be taken")
            return "the check failed; the log says how"
        return None


class Live(Resource):
    """C{/livez}: whether the event loop still answers; nothing else is asked."""

    @requires()
    def render_GET(self, request: Request) -> None:
        respond_json(request, {"status": "ok"})


def asks_for_reasons(uri: bytes) -> bool:
    """Whether a probe asks for the reasons."""
    names = uri.partition(b"?")[2].split(b"&")
    return any(each.partition(b"=")[0] == VERBOSE for each in names)
