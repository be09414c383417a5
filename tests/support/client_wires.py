"""A wire of a client that answers as the test says, in no time at all."""

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field

from shellstream.client.errors import ClientError, CutShort

Step = bytes | ClientError


def frame(number: int, payload: bytes) -> bytes:
    """A frame, from the contract's words."""
    return struct.pack(">B3xI", number, len(payload)) + payload


def control(**fields: object) -> bytes:
    """A control record."""
    return frame(0, json.dumps(fields).encode())


def begun(offset: int = 0, run: str = "r") -> bytes:
    """The record that comes first."""
    return control(type="run", run=run, command="c", offset=offset)


def ended(offset: int, state: str = "exited", **fields: object) -> bytes:
    """The record that comes last."""
    known: dict[str, object] = {"code": None, "signal": None, "reason": None}
    if state == "exited":
        known["code"] = 0
    return control(type="end", state=state, offset=offset, **{**known, **fields})


@define
class FakeAnswer:
    """Gives its steps one by one, and whether anybody was there to take them."""

    steps: list[Step]
    status: int = 200
    phrase: str = "OK"
    headers: Mapping[str, str] = field(factory=dict)
    closed: bool = False

    async def read(self, timeout: float | None = None) -> bytes:
        if not self.steps:
            return b""
        step = self.steps.pop(0)
        if isinstance(step, ClientError):
            raise step
        return step

    def close(self) -> None:
        self.closed = True


def stream(*steps: Step, run: str = "r") -> FakeAnswer:
    """An answer that is output, in frames; cut unless it ends in a record."""
    headers = {
        "shellstream-run": run,
        "content-type": "application/vnd.shellstream.frames",
    }
    return FakeAnswer([*steps, CutShort("there", "cut")], headers=headers)


def document(value: object, status: int = 200) -> FakeAnswer:
    """An answer that is a JSON document."""
    kind = "application/json" if status < 400 else "application/problem+json"
    body = json.dumps(value).encode()
    return FakeAnswer([body], status, "Phrase", {"content-type": kind})


@define
class Asked:
    """A request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def line(self) -> str:
        """The method, and the URL without the host."""
        return f"{self.method} {self.url.removeprefix('http://h')}"


@define
class FakeWire:
    """
    Answers each request with the next of what it was given.

    @ivar slept: the seconds of each wait.
    """

    answers: Sequence[FakeAnswer | ClientError]
    asked: list[Asked] = field(factory=list)
    slept: list[float] = field(factory=list)
    now: float = 0.0

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout: float | None = None,
    ) -> FakeAnswer:
        self.asked.append(Asked(method, url, headers, body))
        answers = list(self.answers)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.answers = answers
        if isinstance(answer, ClientError):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def seconds(self) -> float:
        return self.now

    @property
    def lines(self) -> list[str]:
        """Return all requests, as lines."""
        return [each.line for each in self.asked]


def finish(coroutine: Any) -> Any:
    """Return the result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


async def whole(following: Iterable[Any] | Any) -> list[Any]:
    """Return all events."""
    return [event async for event in following]
