"""When to try again after a network error."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from .errors import (
    CannotConnect,
    CutShort,
    NoResponse,
    NoSuchHost,
    Refused,
    ServerError,
    ServerFailed,
)

if TYPE_CHECKING:
    from shellstream.client.transport.wire import Wire

_T = TypeVar("_T")

#: Seconds: the longest delay before the second try, and before any later one.
FIRST_DELAY, MAX_DELAY = 0.2, 10.0

#: Seconds after which a connection is worth another one at once, even if it brought
#: nothing: a quiet run is watched through a proxy that cuts silent connections.
LASTING = 1.0

#: The statuses of a proxy that cannot reach its server, and of a server that starts,
#: stops, or is too busy for us.
_UNAVAILABLE = (408, 429, 502, 503, 504)

#: Errors that may be temporary; see L{is_temporary}.
RETRYABLE = (NoResponse, CutShort, CannotConnect, NoSuchHost, Refused, ServerFailed)


def is_temporary(error: ServerError) -> bool:
    """Whether a later try may succeed."""
    if isinstance(error, Refused | ServerFailed):
        return error.status in _UNAVAILABLE
    return isinstance(error, RETRYABLE)


class RetryPolicy:
    """
    The first try comes at once, each further one later than the last, until a server
    has been unreachable for too long.
    """

    def __init__(
        self,
        wire: "Wire",
        retry_for: float,
        on_retry: Callable[[ServerError, float], object],
    ) -> None:
        """
        @param retry_for: seconds to try, from the first error.
        @param on_retry: called with each error, and the seconds until the next try.
        """
        self._wire = wire
        self._retry_for = retry_for
        self._on_retry = on_retry
        self._failing_since: float | None = None
        self._failures = 0
        self._connected: float | None = None

    def connected(self) -> None:
        """A stream begins: it counts as progress if it lasts, or brings something."""
        self._connected = self._wire.seconds()

    def succeeded(self) -> None:
        """There was progress: the next error is the first of another series."""
        self._failing_since, self._failures = None, 0

    def server_responded(self) -> None:
        """The server can be reached, but the request has not succeeded yet."""
        self._failing_since = None

    async def wait(self, error: ServerError, what: str, advice: str) -> None:
        """
        Wait until the next try.

        @param what: what is tried, for the error message.
        @param advice: how a user may go on.
        @raise CutShort: if there is no time left for one.
        """
        from random import uniform

        now = self._wire.seconds()
        if self._connected is not None and now - self._connected >= LASTING:
            self.succeeded()
        self._connected = None
        if self._failing_since is None:
            self._failing_since = now
        left = self._failing_since + self._retry_for - now
        if left <= 0:
            tried = f" for {self._retry_for:g} s" if self._retry_for else ""
            why = f"not resumed{tried} ({error.why}); {advice}"
            raise CutShort(what, why) from error
        # The exponent is bounded, since a float overflows after 1,024 failures.
        longest = min(FIRST_DELAY * 2.0 ** min(self._failures - 1, 10), MAX_DELAY)
        # A random part keeps many clients of a restarted server from coming at once.
        delay = min(uniform(longest / 2, longest), left) if self._failures else 0  # noqa: S311  # nosec B311
        self._failures += 1
        self._on_retry(error, delay)
        if delay:
            await self._wire.sleep(delay)

    async def persist(self, request: Callable[[], Awaitable[_T]]) -> _T:
        """
        Repeat a request, which has to be idempotent, until it is answered.

        @raise ServerError: at once, if the server was never reached: its address may
            be wrong.
        """
        reached = False
        while True:
            try:
                response = await request()
            except RETRYABLE as error:
                reached = reached or isinstance(error, NoResponse | CutShort)
                if not (reached and is_temporary(error)):
                    raise
                advice = "it is unknown whether the server carried it out"
                await self.wait(error, "the request", advice)
            else:
                self.succeeded()
                return response
