"""Tests for L{shellstream.storage.database}: as a list would have it, by hypothesis."""

from collections import Counter
from sqlite3 import IntegrityError
from typing import Any

from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.errors import IdempotencyKeyReused
from shellstream.model.events import OnDisconnect, Reason, State
from shellstream.model.run_input import MAX_SIDE, StdinState, Tty
from shellstream.model.run_record import IdempotencyKey, Retention, RunQuery, RunRecord
from shellstream.storage.database import KEY_AGE, Database, Expired
from shellstream.storage.state.age_clock import AgeClock

IDS = st.sampled_from("abcdefgh")
#: The principal of a run never changes.
OWNERS = {
    **dict.fromkeys("abc", "ann"),
    **dict.fromkeys("def", "bob"),
    **dict.fromkeys("gh", "cid"),
}
COMMANDS = st.sampled_from(["build", "test"])
#: Times are few, so that they are often the same.
TIMES = st.integers(0, 5).map(lambda n: n * KEY_AGE // 2)
COUNTS = st.integers(0, 1 << 62)
SIDES = st.integers(1, MAX_SIDE)
RECORDS = st.builds(
    RunRecord,
    id=IDS,
    command=COMMANDS,
    params=st.dictionaries(st.text(), st.text(), max_size=2),
    created=TIMES,
    on_disconnect=st.sampled_from(OnDisconnect),
    state=st.sampled_from(State),
    started=st.none() | TIMES,
    ended=st.none() | TIMES,
    code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    reason=st.none() | st.sampled_from(Reason),
    failure=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    start=COUNTS,
    size=COUNTS,
    stored=st.integers(0, 9),
    cpu=st.none() | st.floats(0, allow_infinity=False),
    memory=st.none() | COUNTS,
    stdin=st.none()
    | st.builds(StdinState, offset=st.none() | COUNTS, open=st.booleans()),
    tty=st.none() | st.builds(Tty, rows=SIDES, columns=SIDES, term=st.just("vt100")),
    pid=st.none() | COUNTS,
    pid_start=st.none() | COUNTS,
).map(lambda record: evolve(record, principal=OWNERS[record.id]))
KEY = st.builds(
    IdempotencyKey,
    st.sampled_from("kl"),
    st.sampled_from("fg"),
    st.sampled_from(["ann", "bob"]),
)
KEYS = st.none() | KEY
KEEPS = st.builds(
    Retention,
    age=TIMES.map(lambda time: time / 1_000_000),
    runs=st.integers(0, 5),
    bytes=st.integers(0, 30),
)
STEPS = st.one_of(
    st.tuples(st.just("add"), RECORDS, KEYS),
    st.tuples(st.just("save"), RECORDS),
    st.tuples(st.just("run_of_key"), KEY),
    st.tuples(st.just("delete"), IDS),
    st.tuples(st.just("wait"), TIMES),
    st.tuples(st.just("expire"), KEEPS),
)
PAGES = st.tuples(
    st.integers(0, 9),
    st.none() | IDS,
    st.none() | st.sampled_from(State),
    st.none() | COMMANDS,
)


@define(eq=False)
class Kept:
    """A run, and since when it ages."""

    record: RunRecord
    since: int | None = None

    def put(self, record: RunRecord, now: int) -> None:
        if record.state.ended:
            self.since = now
        self.record = record


@define
class Model:
    """A slow reference model of L{Database}, made of lists."""

    kept: list[Kept] = field(factory=list)
    keys: dict[tuple[str, str], tuple[IdempotencyKey, Kept, int]] = field(factory=dict)
    now: int = 0

    def wait(self, time: int) -> None:
        self.now += time

    def like(self, record: RunRecord) -> RunRecord:
        """The record as what is saved of a run may be: some fields never change."""
        old = self.find(record.id)
        if old is None:
            return record
        was = old.record
        return evolve(
            record,
            command=was.command,
            params=was.params,
            created=was.created,
            on_disconnect=was.on_disconnect,
            principal=was.principal,
        )

    def find(self, run_id: str) -> Kept | None:
        return next((one for one in self.kept if one.record.id == run_id), None)

    def run_of_key(self, key: IdempotencyKey) -> object:
        if (key.principal, key.key) not in self.keys:
            return None
        known, first, _ = self.keys[key.principal, key.key]
        return first.record.id if known == key else IdempotencyKeyReused

    def add(self, record: RunRecord, key: IdempotencyKey | None) -> object:
        known = key is not None and (key.principal, key.key) in self.keys
        if known or self.find(record.id) is not None:
            return IntegrityError
        one = Kept(record)
        one.put(record, self.now)
        self.kept.append(one)
        if key is not None:
            self.keys[key.principal, key.key] = key, one, self.now
        return None

    def save(self, record: RunRecord) -> bool:
        old = self.find(record.id)
        if old is None:
            self.add(record, None)
        elif old.since is not None:
            return False
        else:
            old.put(record, self.now)
        return True

    def delete(self, run_id: str) -> bool:
        old = self.find(run_id)
        if old is None or old.since is None:
            return False
        self.kept.remove(old)
        return True

    def expire(self, keep: Retention) -> tuple[str, ...]:
        now = self.now
        for name, (_, first, created) in tuple(self.keys.items()):
            if first not in self.kept and created < now - KEY_AGE:
                del self.keys[name]
        ended = [one for one in self.kept if one.since is not None]
        ended.sort(key=lambda one: (one.since, one.record.id))
        gone = []
        while ended and now - (ended[0].since or 0) > keep.age * 1_000_000:
            gone.append(ended.pop(0))
        while True:
            runs, stored = Counter[str](), Counter[str]()
            for one in ended:
                runs[one.record.principal] += 1
                stored[one.record.principal] += one.record.stored
            if runs.total() > keep.runs:
                weights = runs
            elif stored.total() > keep.bytes:
                weights = stored
            else:
                break
            heaviest = max(weights, key=lambda name: (weights[name], name))
            oldest = next(x for x in ended if x.record.principal == heaviest)
            ended.remove(oldest)
            gone.append(oldest)
        self.kept = [one for one in self.kept if one not in gone]
        return tuple(one.record.id for one in gone)

    def page(
        self, limit: int, after: str | None, state: State | None, command: str | None
    ) -> list[RunRecord]:
        found = [
            one.record
            for one in sorted(self.kept, key=lambda one: one.record.id, reverse=True)
            if (after is None or one.record.id < after)
            and state in (None, one.record.state)
            and command in (None, one.record.command)
        ]
        return found[:limit]


class DatabasePropertyTests(SynchronousTestCase):
    """A L{Database} behaves like L{Model}."""

    @given(st.lists(STEPS, max_size=30), PAGES)
    def test_as_lists(self, steps: list[Any], asked: Any) -> None:
        """After any steps, the database and the model give the same answers."""
        model, database = Model(), Database.open(":memory:", AgeClock(lambda: 0.0))
        self.addCleanup(database.close)
        with database.transaction():
            for name, *values in steps:
                if name == "wait":
                    database.age.seen += values[0]
                    model.wait(*values)
                    continue
                if name == "save":
                    values = [model.like(*values)]
                expected = getattr(model, name)(*values)
                self.assertEqual(self.do(database, name, *values), expected)
            self.assertEqual(database.page(RunQuery(*asked)), model.page(*asked))
            everything = model.page(99, None, None, None)
            self.assertEqual(database.page(RunQuery(99)), everything)
            unended = [one for one in everything[::-1] if not one.state.ended]
            self.assertEqual(database.unended(), unended)
            ids = {one.id for one in everything}
            self.assertEqual(database.known("abcdefghij"), ids)
            self.assertEqual(database.newest_id(), max(ids, default=None))

    def do(self, database: Database, name: str, *values: Any) -> object:
        """Make one call, and return its result or its error."""
        try:
            with database.attempt():
                found = getattr(database, name)(*values)
        except (IdempotencyKeyReused, IntegrityError) as error:
            return type(error)
        if isinstance(found, Expired):
            self.assertFalse(found.more)
            return found.runs
        return found
