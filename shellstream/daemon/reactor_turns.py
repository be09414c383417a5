"""Turns of the reactor that stay short when very many descriptors are ready at once."""

import gc
import select
from typing import Any

from attrs import frozen

#: The most descriptors of a turn. A request that starts a run takes up to 2 ms.
MOST_EVENTS = 16


@frozen
class BoundedPoll:
    """
    A C{select.epoll} that tells of at most L{MOST_EVENTS} descriptors at once.

    Twisted handles all that are ready in one turn, so hundreds of clients that ask at
    the same moment, or runs that end at it, would keep timers and live streams waiting.
    The kernel goes round: it tells of the others next (epoll_wait(2)).
    """

    _epoll: select.epoll

    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]:
        """@see: C{select.epoll.poll}"""
        return self._epoll.poll(timeout, min(maxevents, MOST_EVENTS))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epoll, name)


def bound_turns(reactor: Any) -> bool:
    """
    Bound the turns of a reactor. Returns whether it is one with epoll, as Twisted's
    default on Linux is. Its attribute is private; a test fails if it is renamed.
    """
    if not isinstance(getattr(reactor, "_poller", None), select.epoll):
        return False
    reactor._poller = BoundedPoll(reactor._poller)
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
