"""One thread for blocking calls, which answers through the reactor."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

T = TypeVar("T")


@define(eq=False)
class WorkerThread:
    """
    Makes blocking calls, one after the other, in the order in which they come; or a few
    at a time, by several threads.

    The threads are there from the start: later the user may be at the limit of
    processes, which counts threads, and what has begun could not be ended.

    Twisted's thread pools could do this, too. But every run comes this way three times,
    and there each time costs some sixty calls of Python more: for teams of workers, and
    for a context and a logger that are carried along.
    """

    _reactor: Any
    _calls: "SimpleQueue[tuple[Callable[[], Any], Deferred[Any]] | None]" = field(
        factory=SimpleQueue, init=False
    )
    _threads: list[Thread] = field(factory=list, init=False)

    def start(self, name: str, count: int = 1) -> None:
        """
        Begin to work. Must not be followed by a fork: threads do not survive one.

        @raise RuntimeError: if the system has no thread to spare.
        """
        for _ in range(count):
            # As a daemon thread: when a later part of the daemon cannot start, the
            # process exits without stop(), and would otherwise wait for it for ever.
            thread = Thread(target=self._work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the threads, after the calls that wait."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def __call__(self, call: Callable[[], T], /) -> Deferred[T]:
        """Fires with what C{call} returns or raises."""
        # Before the reactor runs nothing else waits, and nothing could answer.
        if not self._reactor.running:
            return maybeDeferred(call)
        made: Deferred[T] = Deferred()
        self._calls.put((call, made))
        return made

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            call, made = item
            result: Any
            try:
                result = call()
            except Exception:  # noqa: BLE001  # it goes to the caller
                result = Failure()
            self._reactor.callFromThread(made.callback, result)
