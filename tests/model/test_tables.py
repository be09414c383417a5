"""Tests for L{shellstream.model.tables}."""

import re
from datetime import date

from attrs import evolve, frozen
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model import checks
from shellstream.model.tables import (
    Mistake,
    Table,
    abbreviated,
    section,
    setting,
    settings_of,
)


class AbbreviatedTests(SynchronousTestCase):
    """A message shows a value in few words."""

    def test_abbreviated(self) -> None:
        """A value is shown in few words, which are those of TOML."""
        self.assertEqual((abbreviated(True), abbreviated(False)), ("true", "false"))
        self.assertEqual(abbreviated("a"), "'a'")
        self.assertEqual(abbreviated(date(2026, 1, 2)), "datetime.date(2026, 1, 2)")
        self.assertEqual(len(abbreviated("x" * 58)), 60)
        self.assertTrue(abbreviated("x" * 58).endswith("x'"))
        self.assertTrue(abbreviated("x" * 59).endswith("xxx..."))
        self.assertEqual(len(abbreviated("x" * 1000)), 60)

    def test_abbreviated_whatever_it_is(self) -> None:
        """A value that Python would not print is shown too."""
        # Both can be written in a file: get.a.a.a… = 1, get = 0xfff…
        nested: object = 1
        for _ in range(5000):
            nested = {"a": nested}
        for value in (nested, 16**5000):
            self.assertLessEqual(len(abbreviated(value)), 60)


class TableTests(SynchronousTestCase):
    """A L{Table} is read key by key, and mistakes are reported."""

    def setUp(self) -> None:
        self.mistakes: list[Mistake] = []

    def table(self, values: dict[str, object], key: str = "a.b") -> Table:
        return Table("b", key, values, self.mistakes)

    def test_take(self) -> None:
        """A value that fits is returned; an absent one is the default."""
        table = self.table({"count": 3})
        self.assertEqual(table.read("count", checks.count, 1), 3)
        self.assertEqual(table.read("other", checks.count, 7), 7)
        table.report_unknown()
        self.assertEqual(self.mistakes, [])
        self.assertIn("count", table)
        self.assertNotIn("other", table)
        self.assertEqual((table.raw("count"), table.raw("other")), (3, None))

    def test_wrong(self) -> None:
        """A value that does not fit is reported, and replaced by the default."""
        self.assertEqual(self.table({"count": "x"}).read("count", checks.count, 7), 7)
        expected = Mistake("a.b.count", "'x'", "an integer from 1 to 1000000000")
        self.assertEqual(self.mistakes, [expected])
        self.assertEqual(
            str(expected),
            "a.b.count: found 'x'; allowed: an integer from 1 to 1000000000",
        )

    def test_top(self) -> None:
        """The top of the file adds nothing to a key."""
        self.table({"count": "x"}, key="").read("count", checks.count, 7)
        self.assertEqual([each.key for each in self.mistakes], ["count"])

    def test_unknown(self) -> None:
        """Unknown keys are reported, with the likely ones, and the known ones once."""
        table = self.table({"cuont": 3, "odd key": 1})
        table.read("count", checks.count, 1)
        table.report_unknown()
        self.assertEqual(
            self.mistakes,
            [
                Mistake(
                    "a.b.cuont",
                    "an unknown key (did you mean 'count'?)",
                    "the keys count",
                ),
                Mistake('a.b."odd key"', "an unknown key", ""),
            ],
        )

    def test_tables(self) -> None:
        """Tables inside have their names; everything else is reported."""
        values: dict[str, object] = {"x": {"good": {"k": 1}, "b d": {}, "no": 1}}
        table = self.table(values)
        (good,) = table.tables("x", re.compile("[a-z]+"))
        self.assertEqual((good.name, good.key), ("good", "a.b.x.good"))
        self.assertEqual(good.read("k", checks.integer, 0), 1)
        self.assertEqual(
            self.mistakes,
            [
                Mistake('a.b.x."b d"', "the name 'b d'", "names like [a-z]+"),
                Mistake("a.b.x.no", "1", "a table"),
            ],
        )

    def test_table(self) -> None:
        """A table inside has its own keys; an absent one is empty."""
        table = self.table({"x": {"k": 1, "z": 2}, "y": 3})
        inside = table.table("x")
        self.assertEqual((inside.name, inside.key), ("x", "a.b.x"))
        self.assertEqual(inside.read("k", checks.integer, 0), 1)
        self.assertEqual(self.mistakes, [])
        inside.report_unknown()
        self.assertEqual([each.key for each in self.mistakes], ["a.b.x.z"])
        self.assertEqual(table.table("none").read("k", checks.integer, 7), 7)
        self.assertEqual(table.table("y").read("k", checks.integer, 7), 7)
        self.assertEqual(self.mistakes[1:], [Mistake("a.b.y", "3", "a table")])

    def test_no_tables(self) -> None:
        """A value in the place of a table is reported, and the table is empty."""
        self.assertEqual(list(self.table({"x": 3}).tables("x", re.compile(""))), [])
        self.assertEqual(self.mistakes, [Mistake("a.b.x", "3", "a table")])


@frozen(kw_only=True)
class Engine:
    """A class whose fields are keys."""

    label: str
    power: int = setting("How strong it is.", checks.count, 7)
    fuel: str | None = setting("What it burns.", checks.string, None, shared=False)


@frozen(kw_only=True)
class Small:
    """A class that is a whole table."""

    power: int = setting("How strong it is.", checks.count, 7)
    fuel: str | None = setting("What it burns.", checks.string, None)


def check_engine(table: Table, engine: Small) -> None:
    """A rule that spans keys."""
    if engine.fuel is not None and engine.power > 10:
        table.report("power", str(engine.power), "at most 10 beside fuel")


@frozen(kw_only=True)
class Car:
    """A class with tables among its keys."""

    doors: int = setting("How many doors it has.", checks.count, 4)
    engine: Small = section("What moves it.", Small, Small(), check_engine)
    trailer: Small | None = section("What it pulls.", Small, None)


class SettingsTests(SynchronousTestCase):
    """A class declares its keys as metadata of its fields."""

    def setUp(self) -> None:
        self.mistakes: list[Mistake] = []

    def table(self, values: dict[str, object]) -> Table:
        return Table("", "", values, self.mistakes)

    def test_settings_of(self) -> None:
        """Each field that is a key has its check and its text."""
        found = settings_of(Engine)
        self.assertEqual(list(found), ["power", "fuel"])
        self.assertEqual(found["power"].about, "How strong it is.")
        self.assertEqual((found["power"].default, found["fuel"].default), (7, None))
        self.assertEqual(Engine(label="x"), Engine(label="x", power=7, fuel=None))

    def test_read(self) -> None:
        """Keys that are absent or wrong have the defaults of the class."""
        found = self.table({"power": 3}).read_settings(Engine, label="x")
        self.assertEqual(found, Engine(label="x", power=3))
        self.assertEqual(self.mistakes, [])
        found = self.table({"power": 0}).read_settings(Engine, label="x")
        self.assertEqual(found, Engine(label="x"))
        self.assertEqual([each.key for each in self.mistakes], ["power"])

    def test_fallback(self) -> None:
        """Or those of another instance."""
        other = Engine(label="y", power=9, fuel="oil")
        found = self.table({"fuel": "gas"}).read_settings(Engine, other, label="x")
        self.assertEqual(found, evolve(other, label="x", fuel="gas"))

    def test_shared_only(self) -> None:
        """A key that is not shared is unknown where only shared ones may be."""
        table = self.table({"power": 3, "fuel": "gas"})
        found = table.read_settings(Engine, shared_only=True, label="x")
        self.assertEqual(found, Engine(label="x", power=3))
        table.report_unknown()
        self.assertEqual([each.key for each in self.mistakes], ["fuel"])

    def test_section(self) -> None:
        """A table among the keys is read like the rest; unknown keys are reported."""
        values: dict[str, object] = {"engine": {"power": 3, "x": 1}, "trailer": {}}
        found = self.table(values).read_settings(Car)
        self.assertEqual(found, Car(engine=Small(power=3), trailer=Small()))
        self.assertEqual([each.key for each in self.mistakes], ["engine.x"])
        self.assertEqual(self.table({}).read_settings(Car), Car())

    def test_rule(self) -> None:
        """A rule gets all keys of a table together."""
        self.table({"engine": {"fuel": "gas", "power": 11}}).read_settings(Car)
        expected = Mistake("engine.power", "11", "at most 10 beside fuel")
        self.assertEqual(self.mistakes, [expected])
