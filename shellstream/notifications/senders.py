"""Which sender a notification needs."""

from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from shellstream.config.notification import Notification
from shellstream.model.events import WallClock

from .attempt import Attempt, Result
from .message import Message
from .process_sender import ProcessSender


class Sender(Protocol):
    """Sends one message, once."""

    async def send(self, to: Notification, message: Message) -> Attempt: ...


@define(eq=False)
class Senders:
    """
    Chooses a sender.

    @ivar processes: starts programs.
    """

    _reactor: Any
    _wall: WallClock
    processes: ProcessSender
    _http: Sender | None = field(default=None, init=False)

    def __call__(self, to: Notification) -> Sender:
        """The sender for a notification."""
        if to.url is None:
            return self.processes
        if self._http is None:
            # Late: treq takes 20 ms and some MB, which most daemons do without.
            from .http_sender import HttpSender, http_client

            client = http_client(self._reactor)
            self._http = HttpSender(client, self._reactor, self._wall)
        return self._http


def send(
    sender: Sender, to: Notification, message: Message, clock: IReactorTime
) -> Deferred[Attempt]:
    """Send a message once, within the time of its notification."""
    late = Attempt(Result.LATER, f"no end after {to.timeout:g} seconds")
    sending = Deferred.fromCoroutine(sender.send(to, message))
    return sending.addTimeout(to.timeout, clock, lambda result, timeout: late)
