"""Tests for L{shellstream.storage.integrity}: failures that are not damage."""

import sqlite3
from typing import Any, cast

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from shellstream.storage.integrity import prepare
from shellstream.storage.schema import DatabaseDamaged, why


@define
class FakeConnection:
    """One whose check says what SQLite has been seen to say."""

    found: str
    asked: list[str] = field(factory=list)
    in_transaction: bool = False

    def execute(self, sql: str) -> "FakeConnection":
        self.asked.append(sql)
        return self

    def fetchone(self) -> tuple[object]:
        return (self.found if "integrity" in self.asked[-1] else 0,)


class FailureTests(SynchronousTestCase):
    """SQLite's check has words for a disk that fails, as for damage."""

    def prepare(self, found: str) -> FakeConnection:
        connection = FakeConnection(found)
        self.addCleanup(setattr, self, "_connection", None)
        self._connection = connection
        prepare(cast(Any, connection))
        return connection

    def test_disk(self) -> None:
        """A read that fails is an error of the disk, and nothing is changed."""
        for said, code in (
            ("Tree 2 page 2: btreeInitPage() returns error code 266", 266),
            ("** in main **\nPage 5: unable to get the page. error code=8458", 8458),
            ("Tree 2 page 7 cell 3: unable to get the page. error code=7", 7),
        ):
            with self.subTest(said=said):
                error = self.assertRaises(sqlite3.OperationalError, self.prepare, said)
                self.assertEqual(error.sqlite_errorcode, code)
                expected = "no memory left" if code == 7 else "the disk that holds"
                self.assertIn(expected, why(error))
                self.assertNotIn("REINDEX", self._connection.asked)

    def test_damage(self) -> None:
        """A page that is no page is damage, once new indexes do not mend it."""
        for said in (
            "Tree 2 page 2: btreeInitPage() returns error code 11",
            "wrong # of entries in index runs_state",
        ):
            with self.subTest(said=said):
                error = self.assertRaises(DatabaseDamaged, self.prepare, said)
                self.assertEqual(error.detail, said)
                self.assertIn("REINDEX", self._connection.asked)
