"""Tests for L{shellstream.client.commands.ps}: the table of runs."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client import Client
from shellstream.client.cli.arguments import parse_arguments
from shellstream.client.cli.times import ago, since
from shellstream.client.commands.ps import list_runs, state_of, table
from shellstream.client.commands.screen import Screen
from shellstream.client.escape import printable
from shellstream.client.events import RunInfo
from tests.support.client_wires import FakeWire, document, finish
from tests.support.zones import local_zone

#: 2026-12-01T04:10:00Z
NOW = 1796098200.0
RED, NORMAL = "\x1b[31m", "\x1b[m"


def run(**fields: Any) -> RunInfo:
    """A run that exited with 0."""
    found: Any = {
        "id": "01a23252-7e69-7310-91f8-a80efc2e4997",
        "command": "build",
        "params": {"jobs": "2"},
        "state": "exited",
        "code": 0,
        "signal": None,
        "reason": None,
        "created": "2026-12-01T04:04:04.000000Z",
        "ended": "2026-12-01T04:05:04.000000Z",
        "size": 1234,
        **fields,
    }
    return found  # type: ignore[no-any-return]


class TableTests(SynchronousTestCase):
    """On a terminal the table fits it; elsewhere it is whole."""

    def test_table(self) -> None:
        """Ids are short, times relative, failures red."""
        lines = table(
            [run(), run(id="01a23251", code=3, size=0)], Screen(80, True), NOW
        )
        self.assertEqual(
            lines,
            [
                "ID             STATE     CREATED    OUTPUT  COMMAND",
                "01a23252-7e69  exited 0  5 min ago  1.2 kB  build jobs=2",
                f"01a23251       {RED}exited 3{NORMAL}  5 min ago     0 B  "
                "build jobs=2",
            ],
        )

    def test_width(self) -> None:
        """No line is longer than the screen is wide, whatever a run is called."""
        long = run(params={"text": "x" * 100, "odd": "\x1b[2J語" * 40}, code=1)
        for columns in (1, 20, 40, 80):
            for line in table([long], Screen(columns, False), NOW):
                width = len(line) + line.count("語")
                self.assertLessEqual(width, columns)
                self.assertEqual(printable(line), line)

    def test_ids(self) -> None:
        """Ids are as long as it takes to tell them apart."""
        runs = [run(), run(id="01a23252-7e69-7310-91f9-a80efc2e4997")]
        lines = table(runs, Screen(80, False), NOW)
        ids = {line.split()[0] for line in lines[1:]}
        self.assertEqual(ids, {"01a23252-7e69-7310-91f8", "01a23252-7e69-7310-91f9"})

    def test_failed(self) -> None:
        """A run that somebody stopped has not failed, nor one that goes on."""
        for fields, red in (
            ({"code": 3}, "exited 3"),
            ({"code": None, "signal": "SEGV", "state": "signaled"}, "signaled SEGV"),
            ({"code": None, "state": "lost"}, "lost"),
            ({"code": None, "state": "failed"}, "failed"),
            ({"code": None, "state": "cancelled"}, None),
            ({"code": None, "state": "running", "ended": None}, None),
            ({"code": 1, "reason": "timeout"}, "exited 1 (timeout)"),
            ({"code": 1, "reason": "cancelled"}, None),
        ):
            _, line = table([run(**fields)], Screen(80, True), NOW)
            shown = f"{RED}{red}{NORMAL}"
            self.assertEqual(RED in line, red is not None, line)
            self.assertIn(shown if red else fields.get("state", "exited"), line)

    def test_reason(self) -> None:
        """A run that the server ended shows why; a state is not told twice."""
        for fields, shown in (
            ({"code": None, "signal": "TERM", "state": "signaled"}, "signaled TERM"),
            ({"state": "cancelled", "code": None}, "cancelled"),
        ):
            stopped = run(reason="cancelled", **fields)
            more = "" if shown == "cancelled" else " (cancelled)"
            self.assertEqual(state_of(stopped), f"{shown}{more}")

    def test_screen(self) -> None:
        """A descriptor that is no terminal has no screen."""
        with open("/dev/null") as null:
            self.assertIsNone(Screen.of(null.fileno(), {}))


class ListTests(SynchronousTestCase):
    """The options choose the runs."""

    def listed(self, line: str, *runs: RunInfo) -> str:
        self.wire = FakeWire([document({"runs": runs, "next": None}) for _ in range(2)])
        client = Client("http://h", self.wire)
        text: bytes = finish(list_runs(client, parse_arguments(line.split()), None))
        return text.decode()

    def test_options(self) -> None:
        """What the server can choose is left to it."""
        for line, queries in (
            ("ps", ["limit=1000&state=queued", "limit=1000&state=running"]),
            ("ps --state lost -n 3", ["limit=3&state=lost"]),
            ("ps --failed --command b", ["limit=1000&outcome=failure&command=b"]),
            ("ps --since 1d -q", ["limit=1000"]),
        ):
            self.listed(line)
            asked = [each.removeprefix("GET /runs?") for each in self.wire.lines]
            self.assertEqual(asked, queries, line)

    def test_local(self) -> None:
        """Elsewhere than on a terminal times are local ones, with their offset."""
        local_zone(self, "Asia/Tokyo")
        shown = "2026-12-01T13:04:04+09:00"
        self.assertIn(f"  {shown}  ", self.listed("ps --all", run()))
        self.assertEqual(since(shown), "2026-12-01T04:04:04.000000Z")
        self.assertEqual(since("2026-12-01 13:04"), "2026-12-01T04:04:00.000000Z")
        self.assertIn("  tomorrow  ", self.listed("ps --all", run(created="tomorrow")))

    def test_since(self) -> None:
        """Runs that began before are left out."""
        old = run(id="01a10000", created="2026-11-01T04:04:04.000000Z")
        found = self.listed("ps --since 2026-12-01T00:00Z -q", run(), old)
        self.assertEqual(found.split(), [run()["id"]])

    def test_piped(self) -> None:
        """Elsewhere than on a terminal ids and times are whole."""
        found = self.listed("ps -a", run())
        self.assertIn(run()["id"], found)
        self.assertIn("2026-12-01T", found)


class TimeTests(SynchronousTestCase):
    """People count in days, and programs in seconds."""

    def test_since(self) -> None:
        """An age or a date is a time as the server writes it."""
        self.assertEqual(since("2026-12-01T08:00:00Z"), "2026-12-01T08:00:00.000000Z")
        self.assertEqual(since("2026-12-01T08:00+02:00")[:16], "2026-12-01T06:00")
        week, day, hours = since("1w"), since("1 d"), since("1.5h")
        self.assertLess(week, day)
        self.assertLess(day, hours)
        self.assertEqual(len(week), 27)
        for wrong in ("", "1", "d", "1 year", "99999999d", "0001-01-01T00:00+14:00"):
            self.assertRaises(ValueError, since, wrong)

    def test_ago(self) -> None:
        """The largest unit is enough; a clock that is wrong is no error."""
        for seconds, said in (
            (-100, "just now"),
            (0, "just now"),
            (59, "59 s ago"),
            (61, "1 min ago"),
            (3600, "1 hour ago"),
            (86_399, "23 hours ago"),
            (86_400, "1 day ago"),
            (864_000, "10 days ago"),
        ):
            self.assertEqual(ago("2026-12-01T04:10:00.000000Z", NOW + seconds), said)
        self.assertEqual(ago("odd", NOW), "odd")
