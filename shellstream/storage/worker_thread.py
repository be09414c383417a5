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
    Makes blocking calls, one after the other, in the order in which they come.

    Twisted's thread pools could do this, too. But every run comes this way three times,
    and there each time costs some sixty calls of Python more: for teams of workers, and
    for a context and a logger that are carried along.
    """

    _reactor: Any
    _calls: "SimpleQueue[tuple[Callable[[], Any], Deferred[Any]] | None]" = field(
        factory=SimpleQueue, init=False
    )
    _thread: Thread = field(init=False)

    def start(self, name: str) -> None:
        """Begin to work. Must not be followed by a fork: threads do not survive one."""
        # As a daemon thread: when a later part of the daemon cannot start, the process
        # exits without stop(), and would otherwise wait for this thread for ever.
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the calls that wait."""
        self._calls.put(None)
        self._thread.join()

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
