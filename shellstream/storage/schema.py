"""The tables of the run history, a run as a row, and what errors of SQLite mean."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any
from zlib import crc32

from attrs import asdict, fields

from shellstream.model.errors import ShellstreamError
from shellstream.model.events import OnDisconnect, Reason, State
from shellstream.model.run_input import StdinState, Tty
from shellstream.model.run_record import RunRecord

#: Each brings a file from one version to the next. Never edit one: add another.
#: C{since} is when an ended run began to age, by the clock of
#: L{shellstream.storage.state.age_clock}; C{created} of a key is by that clock, too.
#: C{gone} marks the keys of forgotten runs; a trigger sets it, since a search for
#: them would have to look up the run of every key. C{removed} has the ids of forgotten
#: runs whose output may still be on the disk: output of a run that is neither there nor
#: among the runs belongs to a row that was lost.
MIGRATIONS = (
    """
    CREATE TABLE runs (
        id TEXT NOT NULL PRIMARY KEY, command TEXT NOT NULL, params TEXT NOT NULL,
        created INTEGER NOT NULL, on_disconnect TEXT NOT NULL, state TEXT NOT NULL,
        principal TEXT NOT NULL, started INTEGER, ended INTEGER, code INTEGER,
        signal INTEGER, reason TEXT, failure TEXT, start INTEGER NOT NULL,
        size INTEGER NOT NULL, stored INTEGER NOT NULL, cpu REAL, memory INTEGER,
        pid INTEGER, pid_start INTEGER, since INTEGER
    );
    CREATE INDEX runs_state ON runs (state, id);
    CREATE INDEX runs_command ON runs (command, id);
    CREATE INDEX runs_command_state ON runs (command, state, id);
    CREATE INDEX runs_since ON runs (since, id, stored) WHERE since IS NOT NULL;

    CREATE TABLE keys (
        principal TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL,
        run TEXT NOT NULL, created INTEGER NOT NULL, gone INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (principal, key)
    ) WITHOUT ROWID;
    CREATE INDEX keys_run ON keys (run);
    CREATE INDEX keys_gone ON keys (created) WHERE gone;
    CREATE TRIGGER run_gone AFTER DELETE ON runs BEGIN
        UPDATE keys SET gone = 1 WHERE run = old.id;
    END;
    """,
    """
    ALTER TABLE runs ADD COLUMN stdin TEXT;
    ALTER TABLE runs ADD COLUMN tty TEXT;
    """,
    """
    ALTER TABLE runs ADD COLUMN secrets TEXT NOT NULL DEFAULT '{}';
    CREATE TABLE audit (
        id INTEGER NOT NULL PRIMARY KEY, time INTEGER NOT NULL, entry TEXT NOT NULL
    );
    """,
    "CREATE INDEX runs_principal ON runs (principal, id);",
    "DROP TABLE audit;",  # the audit is the file alone
    # The oldest run of the principal that keeps the most.
    "CREATE INDEX runs_principal_since ON runs (principal, since, id, stored) "
    "WHERE since IS NOT NULL;",
    # Until here ages were told by the clock of the machine, which may have jumped: so
    # all begin to age now, in the order of their ids.
    """
    ALTER TABLE runs ADD COLUMN checksum INTEGER;
    ALTER TABLE keys ADD COLUMN checksum INTEGER;
    UPDATE runs SET since = 0 WHERE since IS NOT NULL;
    UPDATE keys SET created = 0;
    CREATE TABLE clock (seen INTEGER NOT NULL, checksum INTEGER NOT NULL);
    CREATE TABLE removed (id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
    DROP TRIGGER run_gone;
    CREATE TRIGGER run_gone AFTER DELETE ON runs BEGIN
        UPDATE keys SET gone = 1 WHERE run = old.id;
        INSERT OR IGNORE INTO removed (id) VALUES (old.id);
    END;
    """,
    # Rows have only the names of secrets from here on; an older program knows no such
    # rows. What has to be moved is moved at the start.
    "SELECT 1;",
    # Never a number twice: what has a higher one was added later.
    """
    CREATE TABLE outbox (
        number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, notify TEXT NOT NULL,
        run TEXT NOT NULL, event TEXT NOT NULL, document TEXT NOT NULL,
        created INTEGER NOT NULL, attempts INTEGER NOT NULL
    );
    CREATE UNIQUE INDEX outbox_once ON outbox (notify, run, event);
    """,
    # A short output is in the row of its run. Each index costs every run a page of the
    # log: what is asked for seldom is searched for along the ids.
    """
    ALTER TABLE runs ADD COLUMN output BLOB NOT NULL DEFAULT x'';
    DROP INDEX runs_state;
    DROP INDEX runs_command_state;
    CREATE INDEX runs_unended ON runs (id) WHERE since IS NULL;
    """,
)

#: The first version whose rows have checksums.
CHECKSUMS_SINCE = 7


class DatabaseNewer(ShellstreamError):
    """A later version of this program made the file."""

    def __init__(self) -> None:
        super().__init__(
            "the run history was made by a newer shellstream; "
            "upgrade, or choose another --state-dir"
        )


class DatabaseDamaged(ShellstreamError):
    """The file is no database, or holds data that this program never wrote."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"the state is damaged: {detail}")
        self.detail = detail


class DatabaseGone(sqlite3.OperationalError):
    """The file that is open is not in its place any more."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{os.path.basename(path)} was removed or replaced while the daemon ran; "
            "its operator has to stop the daemon, put the file back, and start it"
        )


_WHY = {
    sqlite3.SQLITE_FULL: "the disk that holds the state is full",
    sqlite3.SQLITE_READONLY: "the disk that holds the state is read-only",
    sqlite3.SQLITE_PERM: "the state may not be used (permission denied)",
    sqlite3.SQLITE_CANTOPEN: "the files of the state cannot be opened",
    sqlite3.SQLITE_IOERR: "the disk that holds the state fails (I/O error)",
    sqlite3.SQLITE_BUSY: "another program is using the state",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
}


def code(error: sqlite3.Error) -> int:
    """The primary result code of SQLite; those of Python itself have none."""
    extended: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return extended & 0xFF


def damaged(error: sqlite3.Error) -> bool:
    """Whether an error says that the file itself is damaged."""
    return code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def why(error: sqlite3.Error | OSError) -> str:
    """An error of the state in words for operators. Clients see it: it has no path."""
    if isinstance(error, OSError):
        return f"the disk that holds the state fails ({error.strerror})"
    if isinstance(error, DatabaseGone):
        return str(error)
    if damaged(error):
        return str(DatabaseDamaged(str(error)))
    return _WHY.get(code(error), f"the state cannot be used ({error})")


def _params(text: str) -> dict[str, str]:
    params: dict[str, str] = json.loads(text)
    if not all(isinstance(value, str) for value in params.values()):
        raise ValueError("a parameter is no text")
    return params


def _secrets(text: str) -> dict[str, str]:
    """The names of secrets. Rows of older versions have their values, too."""
    found: dict[str, str | None] = json.loads(text)
    if not all(isinstance(value, str | None) for value in found.values()):
        raise ValueError("a secret is no text")
    return {name: value or "" for name, value in found.items()}


def _object(kind: Callable[..., object]) -> Callable[[str | None], object]:
    """Read an object from JSON, or L{None} if it is missing."""
    return lambda text: None if text is None else kind(**json.loads(text))


#: When the year 10000 begins, in microseconds since 1970: RFC 3339 ends before.
_TOO_LATE = 253_402_300_800 * 1_000_000


def _below(end: float) -> Callable[[Any], object]:
    """Read a number that is not negative and below C{end}, or may be missing."""

    def read(value: Any) -> object:
        if value is not None and not 0 <= value < end:
            raise ValueError("the number is out of range")
        return value

    return read


_READ: Mapping[str, Callable[[Any], object]] = {
    **dict.fromkeys(("created", "started", "ended"), _below(_TOO_LATE)),
    **dict.fromkeys(("start", "size", "stored", "cpu", "memory"), _below(inf)),
    "params": _params,
    "secrets": _secrets,
    "on_disconnect": OnDisconnect,
    "state": State,
    "reason": lambda value: None if value is None else Reason(value),
    "stdin": _object(StdinState),
    "tty": _object(Tty),
}
#: The columns, and what each is in a record: a class, or a union of some.
_COLUMNS: dict[str, Any] = {
    **{one.name: one.type for one in fields(RunRecord)},
    "params": dict,
    "secrets": dict,
}
del _COLUMNS["output"]  # it has a checksum of its own
#: These never change, and so are written once.
_CONSTANT = {"id", "command", "params", "created", "on_disconnect", "principal"}

#: What a checksum covers, in this order.
CHECKED = (*_COLUMNS, "since")
SELECT = f"SELECT {', '.join(CHECKED)}, checksum FROM runs"  # noqa: S608  # nosec B608  # names of ours
#: With the output, which a page of runs does not need. Whatever damage has made of it,
#: it is read as bytes.
SELECT_ALL = SELECT.replace(" FROM", ", CAST(output AS BLOB) FROM")
INSERT = (
    f"INSERT INTO runs ({', '.join(CHECKED)}, checksum, output) "  # noqa: S608  # nosec B608  # names of ours
    f"VALUES ({'?, ' * len(CHECKED)}?, ?)"
)
_CHANGED = (f"{name} = excluded.{name}" for name in CHECKED if name not in _CONSTANT)
#: Also of a run that is there. An end is final: a run that has one is not changed.
SAVE = (
    f"{INSERT} ON CONFLICT (id) DO UPDATE SET {', '.join(_CHANGED)}, "  # nosec B608  # names of ours
    "checksum = excluded.checksum, output = excluded.output WHERE since IS NULL"
)
#: A key, and what its checksum covers.
SELECT_KEY = "SELECT principal, key, fingerprint, run, created, checksum FROM keys"

#: How a reason is written: it may quote a name that is no UTF-8.
_SAFE = "utf-8", "backslashreplace"

# One encoder for all: json.dumps would make a new one for each value.
_encode = json.JSONEncoder(separators=(",", ":")).encode


def checksum(values: Iterable[object]) -> int:
    """
    The checksum of the values of a row: CRC-32, which no single bit, and no burst of up
    to 32, leaves as it was. SQLite does not notice a bit that flips in a value.
    """
    # Not repr(): which letters that escapes depends on the version of Python.
    return crc32(ascii([*values]).encode("ascii"))


def to_row(record: RunRecord, age: int) -> list[object]:
    """
    A run as its columns hold it, in the order of L{CHECKED}, then its checksum and its
    output.

    @param age: the time of the age clock.

    Written out instead of derived from the fields, since every change of a run
    comes this way: a loop that looks at the type of each value takes ten times as long.
    """
    stdin, tty, reason = record.stdin, record.tty, record.reason
    failure = record.failure
    row: list[object] = [
        record.id,
        record.command,
        _encode(dict(record.params)) if record.params else "{}",
        record.created,
        record.on_disconnect.value,
        record.state.value,
        record.principal,
        record.started,
        record.ended,
        record.code,
        record.signal,
        None if reason is None else reason.value,
        None if failure is None else failure.encode(*_SAFE).decode(),
        record.start,
        record.size,
        record.stored,
        record.cpu,
        record.memory,
        None if stdin is None else _encode(asdict(stdin)),
        None if tty is None else _encode(asdict(tty)),
        _encode(dict.fromkeys(record.secrets)) if record.secrets else "{}",
        record.pid,
        record.pid_start,
        age if record.state.ended else None,
    ]
    row += (checksum(row), record.output)
    return row


def from_row(row: Sequence[Any]) -> RunRecord:
    """
    The run that L{to_row} made a row of, which may lack the output.

    @raise DatabaseDamaged: if its checksum is another, or no run can have made it.
    """
    count = len(CHECKED)
    if checksum(row[:count]) != row[count]:
        raise DatabaseDamaged("the record of a run does not match its checksum")
    values: dict[str, Any] = dict(zip(("output",), row[count + 1 :], strict=False))
    for (name, kind), value in zip(_COLUMNS.items(), row[: count - 1], strict=True):
        try:
            values[name] = _READ[name](value) if name in _READ else value
            sound = isinstance(values[name], kind)
        except (ValueError, TypeError, AttributeError):
            sound = False
        if not sound:  # the text is without the value, which clients must not see
            raise DatabaseDamaged(f"a run has an impossible {name}")
    return RunRecord(**values)
