"""C{/metrics}: what is counted, for Prometheus."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from shellstream.model.errors import ShellstreamError
from shellstream.programs import installing
from shellstream.security.authorization import Action
from shellstream.web.resources.base import Resource, requires
from shellstream.web.server.request import Request

from .table import Values

T = TypeVar("T")


class Monitor(Protocol):
    """
    Measures the daemon.

    @ivar lag: how long the event loop took to answer, the last time, in seconds.
    """

    @property
    def lag(self) -> float: ...

    def measure(self) -> Mapping[str, Values]:
        """All that is known at once, by the names of L{table.METRICS}."""

    def measure_disk(self) -> Mapping[str, Values]:
        """What the disk has to tell; blocks, and belongs into a thread."""

    def in_thread(self, call: Callable[[], T]) -> Deferred[T]:
        """Make a call that blocks."""


class MetricsUnavailable(ShellstreamError):
    """The library that writes the format is not there."""

    status = 501

    def __init__(self) -> None:
        super().__init__(
            "there are no metrics here: the operator has to install their library, by "
            f"what fits the installation: {installing('prometheus_client')}. The next "
            "scrape finds it; the daemon need not be restarted"
        )


class Metrics(Resource):
    """
    C{/metrics}. Requests that come while one is answered share its answer: however
    many ask, one thread is busy with it.
    """

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        self._monitor = monitor
        self._waiting: list[Deferred[Any]] = []

    @requires(Action.METRICS)
    async def render_GET(self, request: Request) -> None:
        answer: Deferred[tuple[bytes, bytes]] = Deferred()
        self._waiting.append(answer)
        if len(self._waiting) == 1:
            measured = self._monitor.measure()
            made = self._monitor.in_thread(lambda: self._render(measured))
            made.addBoth(self._rendered)
        media_type, text = await answer
        request.respond(media_type, text)

    def _rendered(self, result: Any) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(result)  # a Failure makes it fail

    def _render(self, measured: Mapping[str, Values]) -> tuple[bytes, bytes]:
        try:
            from .exposition import CONTENT_TYPE, render
        except ModuleNotFoundError:
            raise MetricsUnavailable from None
        disk = self._monitor.measure_disk()
        return CONTENT_TYPE, render({**measured, **disk})
