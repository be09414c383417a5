"""
A history at its start: it is brought to this version, and looked through for damage.

SQLite finds a page that is no page any more. It does not find a bit that flipped in a
value, so each row has a checksum. An index that does not agree with its table hides
runs, and is made again. A disk that fails to read is not damage: what it holds may be
sound.
"""

import re
import sqlite3
from contextlib import ExitStack, suppress
from typing import Any

from attrs import frozen

from .schema import (
    CHECKED,
    CHECKSUMS_SINCE,
    MIGRATIONS,
    SELECT,
    SELECT_KEY,
    DatabaseDamaged,
    DatabaseNewer,
    checksum,
)
from .state.wal_sync import MAX_FRAMES

#: The text by which a check of SQLite tells of an error in its middle, and the primary
#: codes of errors that are not damage: they are raised instead.
_ERROR_CODE = re.compile(r"error code[= ](\d+)")
_NOT_DAMAGE = {
    sqlite3.SQLITE_IOERR: "disk I/O error",
    sqlite3.SQLITE_NOMEM: "out of memory",
}


@frozen
class DamagedRow:
    """
    A run whose row is not as it was written.

    @ivar number: finds the row, whatever its columns hold (SQLite's C{rowid}).
    @ivar values: all that its columns hold, for a person.
    """

    number: int
    id: str
    values: tuple[Any, ...]


#: Rows of earlier versions get their checksums.
_ADD_CHECKSUMS = (
    f"UPDATE runs SET checksum = checksum({', '.join(CHECKED)}); "  # noqa: S608  # nosec B608  # names of ours
    "UPDATE keys SET checksum = checksum(principal, key, fingerprint, run, created);"
)


def prepare(connection: sqlite3.Connection) -> list[str]:
    """
    Check a file, and bring it to this version. Returns messages for the operator.

    @raise DatabaseNewer: if a later version of this program made it.
    @raise DatabaseDamaged: if the file is damaged.
    @raise sqlite3.Error: if it is of another program, or cannot be used.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise DatabaseNewer
    notices = []
    if _mend_indexes(connection):
        notices.append(
            "an index of the run history was damaged, and was made again; all runs "
            "are there"
        )
    for pragma in (
        # In WAL mode a commit that is not synced cannot damage the file, only be lost.
        "journal_mode = WAL",
        # Secret parameters of runs that waited must not stay in free pages.
        "secure_delete = ON",
        # What has to survive a loss of power is synced beside this: see WalSync.
        "synchronous = NORMAL",
        f"wal_autocheckpoint = {MAX_FRAMES}",
        # A burst may let the WAL grow; without a limit it would stay so large.
        f"journal_size_limit = {16 << 20}",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.create_function("checksum", -1, lambda *values: checksum(values))
    for number, migration in enumerate(MIGRATIONS[version:], version + 1):
        steps = migration + (_ADD_CHECKSUMS if number == CHECKSUMS_SINCE else "")
        connection.executescript(
            f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {number}; COMMIT"
        )
    if version < len(MIGRATIONS):
        # The log of older versions may have secrets of runs that have begun.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    keys = len(_mismatches(connection, SELECT_KEY, 0))
    if keys:
        notices.append(
            f"{keys} Idempotency-Keys in the run history are damaged: a request with "
            "one of them is refused, or may start a second run"
        )
    known = "run IN (SELECT id FROM runs)"
    sql = f"UPDATE keys SET gone = NOT ({known}) WHERE gone = ({known})"  # noqa: S608  # nosec B608  # names of ours
    connection.execute(sql)
    return notices


def _mend_indexes(connection: sqlite3.Connection) -> bool:
    """
    Check all pages. Returns whether indexes had to be made again.

    @raise DatabaseDamaged: if that does not mend it.
    @raise sqlite3.Error: if the disk fails.
    """
    if not _findings(connection):
        return False
    # The rows may be sound nevertheless: their checksums will tell.
    with ExitStack() as unless_mended:
        connection.execute("BEGIN IMMEDIATE")
        unless_mended.callback(_roll_back, connection)
        try:
            connection.execute("REINDEX")
        except sqlite3.IntegrityError as error:  # two rows have the same id
            raise DatabaseDamaged(str(error)) from None
        left = _findings(connection)
        if left:
            raise DatabaseDamaged(left.splitlines()[-1])
        connection.execute("COMMIT")
        unless_mended.pop_all()
    return True


def damaged_rows(connection: sqlite3.Connection) -> list[DamagedRow]:
    """The runs whose rows do not match their checksums."""
    found = []
    rows = SELECT.replace("SELECT", "SELECT rowid,", 1)
    for number, *values, check in _mismatches(connection, rows, 1):
        run_id = str(values[0]).encode("utf-8", "surrogateescape")
        name = run_id.decode("utf-8", "replace")
        sql = "SELECT CAST(output AS BLOB) FROM runs WHERE rowid = ?"
        output = connection.execute(sql, (number,)).fetchone()
        found.append(DamagedRow(number, name, (*values, check, *output)))
    return found


def _mismatches(
    connection: sqlite3.Connection, sql: str, first: int
) -> list[tuple[Any, ...]]:
    """
    Rows that do not match their checksum, which is the last column.

    @param first: the first column that it covers.
    """

    def wrong() -> list[tuple[Any, ...]]:
        rows = connection.execute(sql)
        return [row for row in rows if checksum(row[first:-1]) != row[-1]]

    with suppress(sqlite3.OperationalError):  # a text that is no UTF-8, at least
        return wrong()
    # This takes three times as long.
    factory = connection.text_factory
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        return wrong()
    finally:
        connection.text_factory = factory


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # some errors roll back by themselves
        connection.execute("ROLLBACK")


def _findings(connection: sqlite3.Connection) -> str:
    """What is wrong; empty if nothing is."""
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found == "ok":
        return ""
    code = _ERROR_CODE.search(found)
    number = int(code[1]) if code else 0
    if number & 0xFF in _NOT_DAMAGE:
        error = sqlite3.OperationalError(_NOT_DAMAGE[number & 0xFF])
        error.sqlite_errorcode = number
        raise error
    return str(found)
