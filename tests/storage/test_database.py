"""Tests for L{shellstream.storage.database} and L{shellstream.storage.schema}."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import evolve, fields
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.errors import IdempotencyKeyReused, TooManyKeys
from shellstream.model.events import OnDisconnect, Reason, State
from shellstream.model.run_input import StdinState, Tty
from shellstream.model.run_record import IdempotencyKey, Retention, RunQuery, RunRecord
from shellstream.storage.database import BATCH, KEY_AGE, Database
from shellstream.storage.schema import (
    MIGRATIONS,
    SELECT,
    DatabaseDamaged,
    DatabaseGone,
    DatabaseNewer,
    checksum,
    from_row,
    to_row,
    why,
)
from shellstream.storage.state.age_clock import AgeClock

ALL = Retention(age=float("inf"), runs=1 << 40, bytes=1 << 60)
SECOND = 1_000_000


def record(run_id: str, **values: Any) -> RunRecord:
    """Return a run with these fields."""
    made = RunRecord(
        id=run_id,
        command="build",
        params={},
        created=0,
        on_disconnect=OnDisconnect.KEEP,
    )
    return evolve(made, **values)


def ended(run_id: str, when: int | None, stored: int = 0) -> RunRecord:
    """A run that ended at some time, in seconds."""
    when = None if when is None else when * SECOND
    return record(run_id, state=State.EXITED, ended=when, stored=stored)


FULL = RunRecord(
    id="1",
    command="bäuld",
    params={"b": "", "a": "\0\ud800é\n"},
    created=1_700_000_000_000_001,
    on_disconnect=OnDisconnect.CANCEL,
    state=State.SIGNALED,
    principal="ci",
    started=2,
    ended=3,
    code=4,
    signal=9,
    reason=Reason.OUTPUT_LIMIT,
    failure="its program was not found",
    start=5,
    size=1 << 50,
    stored=6,
    cpu=0.25,
    memory=7,
    stdin=StdinState(offset=1 << 50, open=False),
    tty=Tty(rows=1, columns=2, term="vt100"),
    secrets={"a": "\0\ud800é\n"},
    pid=8,
    pid_start=9,
    output=b"\0\xff",
)


#: The same as its row has it, which has no more of secrets than their names.
STORED = evolve(FULL, secrets={"a": ""})


#: The same, before anything had become of it.
WAITING = RunRecord(
    id="1",
    command=FULL.command,
    params=FULL.params,
    created=FULL.created,
    on_disconnect=FULL.on_disconnect,
    principal=FULL.principal,
)


class DatabaseTests(SynchronousTestCase):
    """A L{Database} holds runs and keys."""

    def setUp(self) -> None:
        self.age = AgeClock(lambda: 0.0)  # it stands still
        self.database = Database.open(":memory:", self.age)
        self.addCleanup(self.database.close)
        within = self.database.transaction()
        within.__enter__()
        self.addCleanup(within.__exit__, None, None, None)

    def add(self, *records: RunRecord) -> None:
        """Add runs, those that have ended at the time of their end."""
        for one in records:
            self.age.seen = one.ended or 0
            self.database.add(one, None)

    def ids(self, *args: Any) -> str:
        return "".join(one.id for one in self.database.page(RunQuery(*args)))

    def test_every_field(self) -> None:
        """A run is read as it was written, with all of its fields or none."""
        self.add(FULL, record("2"))
        self.assertEqual(self.database.get("1"), STORED)
        self.assertEqual(self.database.get("1").output, FULL.output)
        self.assertEqual(list(self.database.get("1").params), ["b", "a"])
        self.assertEqual(self.database.get("2"), record("2"))
        self.assertIsNone(self.database.get("3"))
        self.assertTrue(all(getattr(FULL, one.name) for one in fields(RunRecord)))

    def test_save(self) -> None:
        """A run that is saved again has other changeable fields, until it has ended."""
        self.add(WAITING)
        self.assertTrue(self.database.save(FULL))
        self.assertEqual(self.database.get("1"), STORED)
        self.assertFalse(self.database.save(evolve(FULL, code=5)))
        self.assertEqual(self.database.get("1"), STORED)
        self.assertTrue(self.database.save(record("2")))
        self.assertEqual(self.database.get("2"), record("2"))

    def test_withdrawn(self) -> None:
        """A run that was refused is withdrawn with its key, and with no other's."""
        key = IdempotencyKey("k", "print")
        self.database.add(WAITING, key)
        self.database.add_key("2", evolve(key, key="l"))
        self.database.withdraw("1", key)
        self.assertIsNone(self.database.get("1"))
        self.assertIsNone(self.database.run_of_key(key))
        self.assertEqual(self.database.run_of_key(evolve(key, key="l")), "2")

    def test_added_once(self) -> None:
        """An id is used once."""
        self.add(FULL)
        self.assertRaises(sqlite3.IntegrityError, self.database.add, FULL, None)

    def test_not_text(self) -> None:
        """A reason that quotes a name which is no UTF-8 is recorded readably."""
        self.add(record("1", failure="no caf\udce9"))
        self.assertEqual(self.database.get("1"), record("1", failure=r"no caf\udce9"))

    def test_page(self) -> None:
        """Pages go from the newest to the oldest, of a state, a command, or both."""
        for n, state, command in (
            ("1", State.EXITED, "a"),
            ("2", State.RUNNING, "a"),
            ("3", State.EXITED, "b"),
            ("4", State.EXITED, "a"),
        ):
            self.add(record(n, state=state, command=command))
        self.assertEqual(self.ids(10), "4321")
        self.assertEqual(self.ids(2), "43")
        self.assertEqual(self.ids(2, "3"), "21")
        self.assertEqual(self.ids(10, "4", State.EXITED), "31")
        self.assertEqual(self.ids(10, None, None, "a"), "421")
        self.assertEqual(self.ids(10, "4", State.EXITED, "a"), "1")
        self.assertEqual(self.ids(10, "1"), "")

    def test_unended(self) -> None:
        """Runs that have not ended come in the order in which they began."""
        self.add(*(record(str(n), state=one) for n, one in enumerate(State)))
        found = [one.state for one in self.database.unended()]
        self.assertEqual(found, [State.QUEUED, State.RUNNING])

    def test_newest(self) -> None:
        """The newest id is found, if a run exists."""
        self.assertIsNone(self.database.newest_id())
        self.add(record("2"), record("1"))
        self.assertEqual(self.database.newest_id(), "2")

    def test_known(self) -> None:
        """The known ids among any number of ids are found."""
        self.add(*(record(str(n)) for n in range(0, 3 * BATCH, 2)))
        found = self.database.known(str(n) for n in range(3 * BATCH))
        self.assertEqual(found, {str(n) for n in range(0, 3 * BATCH, 2)})
        self.assertEqual(self.database.known([]), set())

    def test_delete(self) -> None:
        """Only ended runs can be deleted."""
        self.add(record("1", state=State.RUNNING), ended("2", 0))
        self.assertFalse(self.database.delete("1"))
        self.assertTrue(self.database.delete("2"))
        self.assertFalse(self.database.delete("2"))
        self.assertEqual(self.ids(10), "1")

    def test_key(self) -> None:
        """A known key leads to its run, and adds none."""
        key = IdempotencyKey("k", "print")
        self.assertIsNone(self.first("k"))
        self.database.add(record("1"), key)
        self.assertEqual(self.first("k"), "1")
        self.assertRaises(IdempotencyKeyReused, self.first, "k", "another")
        with self.undone():
            self.assertRaises(
                sqlite3.IntegrityError, self.database.add, record("2"), key
            )
        self.assertEqual(self.ids(10), "1")
        self.database.delete_key(key)
        self.assertIsNone(self.first("k"))

    def test_key_of_another(self) -> None:
        """Each principal has its own keys, even for another principal's run."""
        self.add(record("1"))
        for run_id, principal in (("2", "ann"), ("3", "bob")):
            mine = record(run_id, principal=principal)
            self.database.add(mine, IdempotencyKey("k", run_id, principal))
        key = IdempotencyKey("k", "print", "cid")
        self.database.add_key("1", key)
        self.assertEqual(self.database.run_of_key(key), "1")

    def test_key_outlives_its_run(self) -> None:
        """A key prevents a second run even if its run was deleted."""
        self.database.add(ended("1", 0), IdempotencyKey("k", "print"))
        self.database.delete("1")
        self.expire(ALL, KEY_AGE)
        self.assertEqual(self.first("k"), "1")
        self.expire(ALL, KEY_AGE + 1)
        self.assertIsNone(self.first("k"))

    def test_key_of_a_run(self) -> None:
        """A key never expires before its run."""
        self.database.add(ended("1", 0), IdempotencyKey("k", "print"))
        self.expire(ALL, 9 * KEY_AGE)
        self.assertEqual(self.first("k"), "1")

    def first(self, key: str, fingerprint: str = "print") -> str | None:
        """The run that a key leads to."""
        return self.database.run_of_key(IdempotencyKey(key, fingerprint))

    def test_expire(self) -> None:
        """Runs are expired by age, by number and by size on disk, oldest first."""
        keeps = (
            ("123", ALL),
            ("123", evolve(ALL, age=20)),
            ("23", evolve(ALL, age=19.9)),
            ("3", evolve(ALL, runs=1)),
            ("23", evolve(ALL, bytes=110)),
            ("3", evolve(ALL, bytes=109)),
            ("", evolve(ALL, bytes=9)),
        )
        for left, keep in keeps:
            with self.subTest(keep=keep), self.undone():
                self.add(record("0", stored=1 << 30), *self.three())
                self.age.seen = 30 * SECOND
                gone = self.database.expire(keep)
                self.assertFalse(gone.more)
                self.assertEqual("".join(gone.runs) + left, "123")
                self.assertEqual(self.ids(10), f"{left[::-1]}0")

    def test_expire_what_has_ended_since(self) -> None:
        """A run counts from the record of its end, with its size at that time."""
        self.add(*self.three(), record("4", stored=1 << 30))
        self.assertEqual(self.expire(ALL), "")
        self.age.seen = 25 * SECOND
        self.database.save(ended("4", 25, stored=10))
        self.assertEqual(self.expire(evolve(ALL, bytes=120)), "1")
        self.assertEqual(self.expire(evolve(ALL, bytes=120)), "")

    def test_expire_shares(self) -> None:
        """A principal that keeps much loses its own runs before those of others."""
        old = [evolve(ended(f"0{n}", n, 10), principal="old") for n in range(3)]
        new = [evolve(ended(f"1{n}", 10 + n, 9), principal="new") for n in range(6)]
        huge = evolve(ended("20", 20, 100), principal="huge")
        self.add(*old, *new, huge)
        keeps = (
            (("10", "11", "12", "00"), evolve(ALL, runs=6)),
            (("20", "10"), evolve(ALL, bytes=76)),
            (("00", "01", "02", "10", "11"), evolve(ALL, age=18)),
        )
        for gone, keep in keeps:
            with self.subTest(keep=keep), self.undone():
                self.age.seen = 30 * SECOND
                found = self.database.expire(keep).runs
                self.assertEqual(found, gone)

    def test_expire_changed(self) -> None:
        """Runs that another program has removed from the file stop nothing."""
        self.add(*self.three())
        self.database._do("DELETE FROM runs WHERE id != '3'")
        found = self.database.expire(evolve(ALL, runs=1))
        self.assertEqual((found.runs, found.more), (("3",), False))

    def test_share_of_keys(self) -> None:
        """
        One principal may have three quarters of the keys, and others still find room.
        """

        def add(principal: str, name: str) -> None:
            key = IdempotencyKey(name, "print", principal)
            self.database.require_share(key, 8)
            self.database.add_key("1", key)

        for number in range(6):
            add("ann", str(number))
        error = self.assertRaises(TooManyKeys, add, "ann", "more")
        self.assertEqual(error.headers["Retry-After"], "3600")
        add("bob", "first")
        self.assertRaises(TooManyKeys, add, "bob", "second")
        add("cid", "first")
        self.assertRaises(TooManyKeys, add, "dee", "first")  # the whole is bounded
        for number in range(2):
            self.database.delete_key(IdempotencyKey(str(number), "print", "ann"))
        add("dee", "first")

    def test_share_of_keys_after_an_error(self) -> None:
        """A key whose transaction fails does not count."""
        key = IdempotencyKey("k", "print", "ann")
        for _ in range(9):
            with self.undone():
                self.database.require_share(key, 4)
                self.database.add_key("1", key)

    def three(self) -> Iterator[RunRecord]:
        yield from (ended("3", 20, 10), ended("1", 10, 10), ended("2", 15, 100))

    def expire(self, keep: Retention, now: int = 30 * SECOND) -> str:
        self.age.seen = now
        return "".join(self.database.expire(keep).runs)

    @contextlib.contextmanager
    def undone(self) -> Iterator[None]:
        """Roll back everything that is done inside."""
        with contextlib.suppress(ZeroDivisionError), self.database.attempt():
            yield
            raise ZeroDivisionError

    def test_expire_by_its_own_clock(self) -> None:
        """The times in the records, which are the machine's, do not count."""
        for n, when in enumerate((2000, -5, 10), 1):
            self.age.seen = n * SECOND
            self.database.add(ended(str(n), when), None)
        self.assertEqual(self.expire(evolve(ALL, age=10), 11 * SECOND), "")
        self.assertEqual(self.expire(evolve(ALL, age=10), 12 * SECOND), "1")
        self.assertEqual(self.expire(evolve(ALL, runs=1), 12 * SECOND), "2")

    def test_removed(self) -> None:
        """Forgotten runs are remembered until their output is off the disk."""
        self.add(*self.three())
        self.database.delete("2")
        self.assertEqual(self.expire(evolve(ALL, runs=1)), "1")
        self.assertEqual(self.database.removed(), {"1", "2"})
        self.database.forget_removed(["2", "3"])
        self.assertEqual(self.database.removed(), {"1"})

    def test_expire_by_and_by(self) -> None:
        """One call does a bounded part of the work, and says that there is more."""
        for n in range(BATCH + 1):
            self.age.seen = n
            self.database.add(ended(f"{n:05}", n), IdempotencyKey(str(n), ""))
        none = evolve(ALL, runs=0)
        self.age.seen = KEY_AGE * 2
        first = self.database.expire(none)
        self.assertEqual((len(first.runs), first.more), (BATCH, True))
        second = self.database.expire(none)
        self.assertEqual((second.runs, second.more), ((f"{BATCH:05}",), True))
        self.assertFalse(self.database.expire(none).more)

    def test_undone(self) -> None:
        """A failed transaction does not change the totals."""
        self.add(ended("1", 10, 10))
        with self.undone():
            self.database.delete("1")
            self.add(ended("2", 5, 1000))
        self.assertEqual(self.expire(Retention(age=99, runs=1, bytes=10)), "")
        self.assertEqual(self.expire(Retention(age=99, runs=1, bytes=9)), "1")

    def test_damaged_key(self) -> None:
        """A key that leads to a damaged row starts no second run."""
        self.database.add(record("1"), IdempotencyKey("k", "print"))
        self.database._do("UPDATE keys SET run = '2'")
        self.assertRaises(DatabaseDamaged, self.first, "k")


class FileTests(SynchronousTestCase):
    """A L{Database} in a file."""

    def setUp(self) -> None:
        self.path = self.mktemp()

    def open(self) -> Database:
        database = Database.open(self.path)
        self.addCleanup(database.close)
        return database

    def write(self, sql: str, *values: object) -> None:
        """Write to the file as no L{Database} would."""
        with contextlib.closing(sqlite3.connect(self.path)) as other:
            other.create_function("checksum", -1, lambda *values: checksum(values))
            other.execute(sql, values)
            other.commit()

    def fill(self, *records: RunRecord) -> None:
        database = self.open()
        with database.transaction():
            for one in records:
                database.add(one, None)
        database.close()

    def test_again(self) -> None:
        """Committed runs and totals survive a restart."""
        self.fill(FULL, ended("2", 1, 10))
        database = self.open()
        with database.transaction():
            self.assertEqual(database.get("1"), STORED)
            keep = evolve(ALL, bytes=10)
            self.assertEqual(database.expire(keep).runs, ("2",))

    def test_age(self) -> None:
        """The age clock goes on where the last daemon left it."""
        database = Database.open(self.path, AgeClock(lambda: 0.0))
        database.age.seen = 5
        with database.transaction():
            database.add(ended("1", 1), None)
        database.close()
        self.assertEqual(self.open().age.seen, 5)
        database = Database.open(self.path, AgeClock(lambda: 0.0))
        database.age.seen = 7
        with database.transaction():
            database.expire(ALL)
        database.close()
        self.assertEqual(self.open().age.seen, 7)
        self.write("UPDATE clock SET seen = ?", 1 << 60)  # a bit has flipped
        self.assertEqual(self.open().age.seen, 5)

    def test_shares_again(self) -> None:
        """What each principal has is known after a restart, too."""
        database = self.open()
        key = IdempotencyKey("k", "print", "ci")
        with database.transaction():
            database.add(FULL, key)
            database.add(ended("2", 1), IdempotencyKey("k", "print", "ann"))
        database.close()
        database = self.open()
        self.assertRaises(TooManyKeys, database.require_share, key, 2)
        database.require_share(key, 4)
        with database.transaction():
            database.delete_key(key)
        database.require_share(key, 2)

    def test_rolled_back(self) -> None:
        """A failed transaction leaves nothing."""
        database = self.open()
        with contextlib.suppress(ZeroDivisionError), database.transaction():
            database.add(FULL, None)
            raise ZeroDivisionError
        self.assertFalse(database.in_transaction)
        with database.transaction():
            self.assertIsNone(database.get("1"))

    def test_modes(self) -> None:
        """A loss of power makes the history older, and never damages it."""
        self.open()
        database = self.open()
        with database.transaction():
            asked = [
                database._one(f"PRAGMA {name}")[0]
                for name in ("journal_mode", "synchronous")
            ]
        self.assertEqual(asked, ["wal", 1])

    def test_check(self) -> None:
        """The check tries a real write."""
        database = self.open()
        database.check()
        self.assertEqual(database._one("PRAGMA user_version")[0], len(MIGRATIONS))
        database._do("PRAGMA query_only = ON")
        self.assertRaises(sqlite3.OperationalError, database.check)

    def test_newer(self) -> None:
        """
        A database of a later version is left alone, and the error says what to do.
        """
        self.fill(FULL)
        self.write("PRAGMA user_version = 1000")
        error = self.assertRaises(DatabaseNewer, Database.open, self.path)
        self.assertIn("upgrade, or choose another --state-dir", str(error))

    def test_not_a_database(self) -> None:
        """A file of another kind is damaged."""
        Path(self.path).write_text("no database" * 1000, "ascii")
        error = self.assertRaises(DatabaseDamaged, Database.open, self.path)
        self.assertEqual(error.detail, "file is not a database")

    def test_not_ours(self) -> None:
        """A database with other tables is damaged, with any version."""
        for version in (0, 1):
            with self.subTest(version=version):
                self.write("CREATE TABLE IF NOT EXISTS runs (answer)")
                self.write(f"PRAGMA user_version = {version}")
                self.assertRaises(DatabaseDamaged, Database.open, self.path)

    def test_overwritten(self) -> None:
        """A page of rubbish is found, wherever it is."""
        self.fill(*(record(str(n)) for n in range(1000)))
        with open(self.path, "r+b") as file:
            file.seek(40 * 4096)
            file.write(b"\xff" * 4096)
        error = self.assertRaises(DatabaseDamaged, Database.open, self.path)
        self.assertNotIn("\n", str(error))

    def test_impossible(self) -> None:
        """A value that no run can have is damage, and is not shown to anybody."""
        for name, value in (
            ("state", "secret"),
            ("reason", "secret"),
            ("on_disconnect", "secret"),
            ("params", "secret"),
            ("params", '["secret"]'),
            ("params", '{"a": 1}'),
            ("created", "secret"),
            ("created", 1 << 62),
            ("ended", -1),
            ("size", -1),
            ("cpu", "secret"),
            ("cpu", float("inf")),
            ("failure", b"secret"),
            ("stdin", "secret"),
            ("stdin", '["secret"]'),
            ("stdin", '{"offset": "secret", "open": true}'),
            ("stdin", '{"secret": 1}'),
            ("tty", '{"rows": 0}'),
            ("tty", '{"term": "/secret"}'),
        ):
            with self.subTest(name=name, value=value):
                self.path = self.mktemp()
                self.fill(FULL)
                self.write(f"UPDATE runs SET {name} = ?", value)
                self.sign()
                database = self.open()
                with database.transaction():
                    error = self.assertRaises(DatabaseDamaged, database.get, "1")
                self.assertIn(name, str(error))
                self.assertNotIn("secret", str(error))

    def test_unable_to_start(self) -> None:
        """Damage of a run that a restart has to care for is found at once."""
        self.fill(record("1"))
        self.write("UPDATE runs SET params = '?'")
        self.sign()
        self.assertRaises(DatabaseDamaged, Database.open, self.path)

    def sign(self) -> None:
        """Make the checksums right, as if this program had written the rows."""
        columns = ", ".join([*FIELDS, "since"])
        self.write(f"UPDATE runs SET checksum = checksum({columns})")

    def test_damaged_rows(self) -> None:
        """A row with any other value is found at the start, and no run any more."""
        columns = [*FIELDS, "since", "checksum"]
        ids = [f"{n:02}" for n in range(len(columns))]
        self.fill(*(evolve(FULL, id=one) for one in ids), record("sound"))
        for run_id, name in zip(ids, columns, strict=True):
            sql = f"UPDATE runs SET {name} = CAST(x'fffe' AS TEXT) WHERE id = ?"
            self.write(sql, run_id)
        database = self.open()
        self.assertEqual(
            [one.id for one in database.damaged], ["\ufffd\ufffd", *ids[1:]]
        )
        database.discard_damaged()
        with database.transaction():
            self.assertEqual(database.page(RunQuery(99)), [record("sound")])

    def test_damaged_index(self) -> None:
        """An index that disagrees with its table hides no run: it is made again."""
        self.fill(*(record(str(n)) for n in range(3)))
        with contextlib.closing(sqlite3.connect(self.path)) as other:
            ((root,),) = other.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = 'runs_command'"
            )
        data = bytearray(Path(self.path).read_bytes())
        start = (root - 1) * 4096
        data[start : start + 4096] = data[start : start + 4096].replace(
            b"build", b"built"
        )
        Path(self.path).write_bytes(data)
        database = self.open()
        with database.transaction():
            found = database.page(RunQuery(10, command="build"))
        self.assertEqual(len(found), 3)
        self.assertIn("an index of the run history was damaged", database.notices[0])

    def test_damaged_keys(self) -> None:
        """Damaged keys are counted for the operator; marks are set right."""
        database = self.open()
        with database.transaction():
            for n in ("1", "2", "3"):
                database.add(ended(n, 1), IdempotencyKey(n, "print"))
        database.close()
        self.write("UPDATE keys SET fingerprint = 'prinT' WHERE key = '1'")
        self.write("UPDATE keys SET gone = 1 WHERE key = '2'")
        database = self.open()
        self.assertIn("1 Idempotency-Keys in the run history", database.notices[0])
        marks = database._do("SELECT gone FROM keys").fetchall()
        self.assertEqual(marks, [(0,)] * 3)

    def test_gone(self) -> None:
        """A file that was removed or replaced takes nothing more."""
        for suffix in ("", "-wal"):
            for replace in (False, True):
                with self.subTest(suffix=suffix, replace=replace):
                    self.path = self.mktemp()
                    database = self.open()
                    file = Path(f"{self.path}{suffix}")
                    file.rename(f"{file}.away")
                    if replace:
                        file.write_bytes(b"")
                    error = self.assertRaises(DatabaseGone, database.look)
                    if not suffix:
                        with self.assertRaises(DatabaseGone), database.transaction():
                            self.fail("it began")
                    self.assertIn("was removed or replaced", why(error))
                    self.assertNotIn("/", why(error))
                    Path(f"{file}.away").rename(file)
                    with database.transaction():
                        database.add(FULL, None)

    def test_cannot_be_opened(self) -> None:
        """An error that is not damage is reported as what it is."""
        Path(self.path).mkdir()
        error = self.assertRaises(sqlite3.OperationalError, Database.open, self.path)
        self.assertEqual(why(error), "the files of the state cannot be opened")

    def test_in_use(self) -> None:
        """A database that another program is using is not damaged."""
        with contextlib.closing(sqlite3.connect(self.path)) as other:
            other.execute("BEGIN EXCLUSIVE")
            error = self.assertRaises(
                sqlite3.OperationalError, Database.open, self.path
            )
        self.assertEqual(why(error), "another program is using the state")

    def test_older(self) -> None:
        """A file without columns for input gets them, and keeps its rows."""
        for statement in MIGRATIONS[0].split(";\n\n"):
            with contextlib.closing(sqlite3.connect(self.path)) as older:
                older.executescript(statement)
        self.write(
            "INSERT INTO runs (id, command, params, created, on_disconnect, state, "
            "principal, start, size, stored) VALUES "
            "('1', 'build', '{}', 0, 'keep', 'queued', 'anonymous', 0, 0, 0)"
        )
        self.write("PRAGMA user_version = 1")
        database = self.open()
        with database.transaction():
            self.assertEqual(database.get("1"), record("1"))
            grown = evolve(record("1"), stdin=FULL.stdin, tty=FULL.tty)
            self.assertTrue(database.save(grown))
            self.assertEqual(database.get("1"), grown)

    def test_audit_table(self) -> None:
        """The audit that older versions kept in the history is dropped, runs stay."""
        with contextlib.closing(sqlite3.connect(self.path)) as older:
            older.executescript("".join(MIGRATIONS[:4]) + "PRAGMA user_version = 4")
        self.write("INSERT INTO audit (time, entry) VALUES (1, 'an entry')")
        self.write(
            "INSERT INTO runs (id, command, params, created, on_disconnect, state, "
            "principal, start, size, stored) VALUES "
            "('1', 'build', '{}', 0, 'keep', 'queued', 'anonymous', 0, 0, 0)"
        )
        database = self.open()
        with database.transaction():
            self.assertEqual(database.get("1"), record("1"))
        tables = database._do("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = {"runs", "keys", "clock", "removed", "outbox", "sqlite_sequence"}
        self.assertEqual({name for (name,) in tables}, names)

    def test_schema(self) -> None:
        """The last version of the schema has a column for each field of a run."""
        database = self.open()
        with database.transaction():
            described = database._do(f"{SELECT} LIMIT 0").description
            columns = [*FIELDS, "since", "checksum"]
            self.assertEqual([one[0] for one in described], columns)
            there = database._do("SELECT * FROM runs LIMIT 0").description
        self.assertCountEqual([one[0] for one in there], [*columns, "output"])
        self.assertEqual(from_row(to_row(STORED, 0)), STORED)


#: What a checksum covers.
FIELDS = [one.name for one in fields(RunRecord) if one.name != "output"]


class WhyTests(SynchronousTestCase):
    """L{why} explains an error to an operator."""

    def test_known(self) -> None:
        """An error that an operator can fix has its own message."""
        for number, said in (
            (sqlite3.SQLITE_FULL, "full"),
            (sqlite3.SQLITE_READONLY, "read-only"),
            (sqlite3.SQLITE_IOERR | 3 << 8, "I/O error"),
            (sqlite3.SQLITE_BUSY, "another program"),
            (sqlite3.SQLITE_CORRUPT, "the state is damaged: as SQLite says"),
        ):
            with self.subTest(said=said):
                error = sqlite3.OperationalError("as SQLite says")
                error.sqlite_errorcode = number
                self.assertIn(said, why(error))

    def test_unknown(self) -> None:
        """Any other error is reported in SQLite's words."""
        error = sqlite3.ProgrammingError("as Python says")
        self.assertEqual(why(error), "the state cannot be used (as Python says)")
