"""Turns of the reactor that stay short when very many descriptors are ready at once."""

import gc
import select
from typing import Any

from attrs import frozen

#: The most descriptors of a turn. A request that starts a run takes up to 2 ms.
MOST_EVENTS = 16


@frozen
class BoundedTurn:
    """
    A turn of a reactor with epoll, for at most L{MOST_EVENTS} descriptors.

    Twisted handles all that are ready in one turn, so hundreds of clients that ask at
    the same moment, or runs that end at it, would keep timers and live streams waiting.
    The kernel goes round: it tells of the others next (epoll_wait(2)).

    Twisted also sets the context of its older logger for each descriptor, in 14 calls
    of Python. Nothing here reads that.
    """

    _reactor: Any
    _epoll: select.epoll

    def __call__(self, timeout: float | None) -> None:
        """@param timeout: how many seconds to wait; L{None} for as long as it takes."""
        descriptors = self._reactor._selectables
        for fd, event in self._epoll.poll(timeout, MOST_EVENTS):
            if event == select.EPOLLHUP and fd in self._reactor._reads:
                # The end of a pipe. Twisted would remove it, twice, and then have it
                # read: what reads it finds the end, and removes it.
                event = select.EPOLLIN
            if fd in descriptors:  # or the one before has closed it
                self._reactor._doReadOrWrite(descriptors[fd], fd, event)


def bound_turns(reactor: Any) -> bool:
    """
    Bound the turns of a reactor. Returns whether it is one with epoll, as Twisted's
    default on Linux is. Its attributes are private; a test fails if one is renamed.
    """
    epoll = getattr(reactor, "_poller", None)
    if not isinstance(epoll, select.epoll):
        return False
    reactor.doIteration = BoundedTurn(reactor, epoll)
    return True


def spare_old_objects() -> None:
    """
    Take all objects that exist now out of the collection of garbage. Call it once the
    daemon has started.

    Modules, the configuration and the tree of resources stay until the end. To look
    through them each time takes a turn of 30 ms, and more if there are many commands.
    """
    gc.collect()
    gc.freeze()
