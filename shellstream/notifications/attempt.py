"""One attempt to deliver a notification, and what its end means."""

from enum import Enum

from attrs import frozen


class Result(Enum):
    """What follows an attempt."""

    DELIVERED = "delivered"
    LATER = "later"
    NEVER = "never"


@frozen
class Attempt:
    """
    How an attempt went.

    @ivar detail: for the operator, without secrets.
    @ivar answer: what the server or the program said, which may have secrets.
    @ivar retry_after: the seconds that the server asked to wait.
    """

    result: Result
    detail: str
    answer: bytes = b""
    retry_after: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether the other side has it."""
        return self.result is Result.DELIVERED
