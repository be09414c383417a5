"""When to try again what a network got in the way of."""

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

#: Seconds to wait at most before the second try, and before any.
FIRST_DELAY, MAX_DELAY = 0.2, 10.0

#: Answers of a proxy whose server is away, or of a server that comes or goes, or has
#: no time or no room for us.
_AWAY = (408, 429, 502, 503, 504)

#: What can mean that the server cannot be reached just now; see L{passing}.
RETRYABLE = (NoResponse, CutShort, CannotConnect, NoSuchHost, Refused, ServerFailed)


def is_temporary(error: ServerError) -> bool:
    """Whether an error may be gone the next time."""
    if isinstance(error, Refused | ServerFailed):
        return error.status in _AWAY
    return isinstance(error, RETRYABLE)


class RetryPolicy:
    """
    Again at once at first, then ever later, and not any more when the way has been
    broken for too long.
    """

    def __init__(
        self,
        wire: "Wire",
        retry_for: float,
        on_retry: Callable[[ServerError, float], object],
    ) -> None:
        """
        @param retry_for: seconds to try, from the moment that the way broke.
        @param on_retry: is told of each failure, and of how long is waited now.
        """
        self._wire = wire
        self._retry_for = retry_for
        self._on_retry = on_retry
        self._since: float | None = None  # when the way broke
        self._count = 0

    def well(self) -> None:
        """All is well: what fails next is a new trouble."""
        self._since, self._count = None, 0

    def reached(self) -> None:
        """The server was heard of, though the trouble may not be over."""
        self._since = None

    async def wait(self, error: ServerError) -> bool:
        """Until it is time to try again; L{False} if that was tried for too long."""
        from random import uniform

        now = self._wire.seconds()
        if self._since is None:
            self._since = now
        left = self._since + self._retry_for - now
        if left <= 0:
            return False
        most = min(FIRST_DELAY * 2.0 ** min(self._count - 1, 10), MAX_DELAY)
        delay = min(uniform(most / 2, most), left) if self._count else 0  # noqa: S311  # nosec B311  # to spread load
        self._count += 1
        self._on_retry(error, delay)
        if delay:
            await self._wire.sleep(delay)
        return True

    def given_up(self, what: str, error: ServerError, then: str) -> CutShort:
        """That something was not to be, and what can be done now."""
        tried = f" for {self._retry_for:g} s" if self._retry_for else ""
        return CutShort(what, f"not resumed{tried} ({error.why}); {then}")

    async def persist(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """
        Call until it is answered, which must do no harm.

        One that was never there at all is not waited for.
        """
        heard = False
        while True:
            try:
                answer = await call()
            except RETRYABLE as error:
                heard = heard or isinstance(error, NoResponse | CutShort)
                if not (heard and is_temporary(error)):
                    raise
                if not await self.wait(error):
                    then = "nobody knows whether it was carried out"
                    raise self.given_up("the request", error, then) from error
            else:
                self.well()
                return answer
