"""A trial of a notification: it is sent for a run that never was."""

import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from shellstream.config.loader import Config
from shellstream.config.notification import Notification
from shellstream.model.errors import ShellstreamError, did_you_mean
from shellstream.model.events import OnDisconnect, State
from shellstream.model.run_record import RunRecord, next_id, to_document
from shellstream.process.launch_plan import prepare
from shellstream.process.tracking.process_scanner import ProcessScanner

from .attempt import Attempt
from .message import Message
from .notifier import Notifications
from .plain_text import last_lines
from .process_sender import ProcessSender
from .senders import Senders, send

#: The event of a trial.
TEST = "test"


class NotificationUnknown(ShellstreamError):
    """The configuration has no notification of this name."""

    def __init__(self, name: str, known: Mapping[str, Notification]) -> None:
        hint = did_you_mean(name, known)
        there = f"; there is {', '.join(known)}" if known else ""
        super().__init__(f"no notification {name!r}{hint}{there}")


async def try_out(reactor: Any, config: Config, name: str) -> Attempt:
    """
    Send one notification, once.

    @raise NotificationUnknown: if the configuration does not have it.
    @raise CannotPrepare: if its program cannot be confined as it asks for.
    """
    to = config.notify.get(name)
    if to is None:
        raise NotificationUnknown(name, config.notify)
    wall = lambda: time.time_ns() // 1000  # noqa: E731
    plans = prepare([to.as_command()]) if to.argv else {}
    senders = Senders(
        reactor, wall, ProcessSender(reactor, lambda: plans, ProcessScanner(reactor))
    )
    message = _message(config, to, wall())
    return await send(senders(to), to, message, reactor)


def explain(attempt: Attempt) -> str:
    """What an operator has to know of a trial, with what the other side said."""
    said = last_lines(attempt.answer, 20)
    how = "delivered" if attempt.delivered else "not delivered"
    return f"{how}: {attempt.detail}" + (said and f"\n{said}")


def _message(config: Config, to: Notification, now: int) -> Message:
    command = next(
        each
        for each in config.commands.values()
        if any(fnmatchcase(each.name, pattern) for pattern in to.commands)
    )
    record = RunRecord(
        id=next_id(now, None),
        command=command.name,
        params=command.masked((each.name, "value") for each in command.params.values()),
        created=now - 125_000_000,
        started=now - 125_000_000,
        ended=now,
        state=State.EXITED,
        code=1,
        on_disconnect=OnDisconnect.KEEP,
    )
    run = to_document(record)
    del run["output"]
    return Message(
        delivery=f"{record.id}.{TEST}.{to.name}",
        notify=to.name,
        event=TEST,
        run=run,
        link=Notifications.of(config).link(record.id),
        output="This is a trial: no command was run." if to.lines else None,
    )
