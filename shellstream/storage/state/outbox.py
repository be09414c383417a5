"""The notifications that are still to be delivered, in the file of the run history."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field, frozen

from shellstream.model.run_record import RunRecord, to_document

#: How many may wait for each table C{[notify.NAME]}. A server that is away for a day
#: gets the oldest: those tell best when things began to go wrong.
MAX_PENDING = 1000

#: The longest value of a parameter, and the longest document, in characters. A request
#: may have 64 KiB of parameters.
MAX_VALUE, MAX_DOCUMENT = 1000, 32_000

_encode = json.JSONEncoder(separators=(",", ":")).encode


@frozen
class Entry:
    """
    A notification that waits for its delivery.

    @ivar number: orders them, and finds one.
    @ivar notify: the table C{[notify.NAME]} that it is for.
    @ivar run: the id of the run.
    @ivar attempts: how many have failed.
    """

    number: int
    notify: str
    run: str
    event: str
    attempts: int


@frozen
class Content:
    """
    What an L{Entry} tells.

    @ivar document: the run at that event, as clients see it, in JSON.
    @ivar run_ended: whether the run has ended by now.
    """

    document: str
    run_ended: bool


@define(eq=False)
class Outbox:
    """
    The table C{outbox}. All methods belong into a transaction of the database.

    @ivar subscribers: the names of those that are told how a run ended; L{None} while
        nobody is. Another thread may replace it.
    @ivar refused: what there was no room for: see L{take_refused}.
    """

    _connection: sqlite3.Connection
    subscribers: Callable[[RunRecord], Sequence[str]] | None = None
    _refused: list[tuple[str, str]] = field(factory=list, init=False)

    def put(
        self, event: str, record: RunRecord, names: Sequence[str], now: int
    ) -> None:
        """
        Add notifications, unless they were added before.

        @param now: by the age clock.
        """
        document = _document(record)
        for name in names:
            (count,) = self._do(
                "SELECT count(*) FROM outbox WHERE notify = ?", name
            ).fetchone()
            if count >= MAX_PENDING:
                self._refused = [*self._refused[-MAX_PENDING:], (name, record.id)]
                continue
            self._do(
                "INSERT OR IGNORE INTO outbox "
                "(notify, run, event, document, created, attempts) "
                "VALUES (?, ?, ?, ?, ?, 0)",
                *(name, record.id, event, document, now),
            )

    def since(self, number: int) -> list[Entry]:
        """Those that were added behind the one of this number, in order."""
        rows = self._do(
            "SELECT number, notify, run, event, attempts FROM outbox "
            "WHERE number > ? ORDER BY number",
            number,
        )
        return [Entry(*row) for row in rows]

    def take_expired(self, before: int) -> list[tuple[str, str]]:
        """Delete those that are older, by the age clock; returns names and runs."""
        return self._do(
            "DELETE FROM outbox WHERE created < ? RETURNING notify, run", before
        ).fetchall()

    def take_refused(self) -> list[tuple[str, str]]:
        """The names and runs of those that there was no room for; each is told once."""
        refused, self._refused = self._refused, []
        return refused

    def content(self, number: int) -> Content | None:
        """What one tells; L{None} if it is gone."""
        row = self._do(
            "SELECT document, EXISTS (SELECT 1 FROM runs "
            "WHERE id = outbox.run AND since IS NOT NULL) "
            "FROM outbox WHERE number = ?",
            number,
        ).fetchone()
        if row is None:
            return None
        document, ended = row
        return Content(document, bool(ended))

    def delete(self, number: int) -> None:
        """It is delivered, or given up."""
        self._do("DELETE FROM outbox WHERE number = ?", number)

    def count_attempt(self, number: int) -> None:
        """An attempt to deliver it has failed."""
        self._do("UPDATE outbox SET attempts = attempts + 1 WHERE number = ?", number)

    def _do(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)


def _document(record: RunRecord) -> str:
    run = to_document(record)
    del run["output"]  # relative to an address that the reader does not have
    run["params"] = {
        name: value if len(value) <= MAX_VALUE else f"{value[:MAX_VALUE]}\u2026"
        for name, value in record.params.items()
    }
    text = _encode(run)
    if len(text) > MAX_DOCUMENT:
        text = _encode({**run, "params": {}})
    return text
