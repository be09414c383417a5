"""The clock of the machine is set, while the daemon runs."""

import json
from pathlib import Path
from typing import Any

from tests.end_to_end.state_daemons import StateTestCase
from tests.support.http_watcher import RunOutput, fetch, get, watch
from tests.support.programs import Daemon, Gate, needs, start_daemon

CONFIG = '''
[keep]
age = 500
[commands.one]
argv = ["echo", "hi"]
get = true
[commands.endless]
argv = ["sleep", "1000"]
get = true
timeout = 0.5
[commands.gated]
get = true
shell = """{gated}"""
'''


class ClockTests(StateTestCase):
    """Runs keep their order and time limits when the clock jumps."""

    skip = needs("faketime")

    async def clocked(self, gate: Gate) -> Daemon:
        """A daemon whose clock is set by L{set}."""
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
        env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # this clock cannot be set
        }
        config = CONFIG.format(gated=gate.shell)
        options = ("--state-dir", str(self.state))
        return await start_daemon(self, config, *options, env=env)

    def set(self, seconds: int) -> None:
        """Set the clock off by this much."""
        aside = self.clock.with_name(f"{self.clock.name}.new")
        aside.write_text(f"{seconds:+d}")
        aside.replace(self.clock)

    async def runs(self, daemon: Daemon) -> list[dict[str, Any]]:
        """Return all kept runs, oldest first."""
        page = json.loads((await fetch(daemon.port, "/runs")).body)
        return list(reversed(page["runs"]))

    async def test_set_back(self) -> None:
        """Back and forth: ids, timeouts and retention do not mind; nothing is lost."""
        self.clock = Path(self.mktemp()).absolute()
        self.set(0)
        gate = Gate(self)
        daemon = await self.clocked(gate)
        first = await fetch(daemon.port, "/stream/one")
        gated = await watch(daemon.port, get("/stream/gated?format=frames"))
        await gated.seen(b"line 1")
        self.set(-3600)
        second = await fetch(daemon.port, "/stream/one")
        endless = await fetch(daemon.port, "/stream/endless?format=frames")
        end = RunOutput.of("frames", endless.body).end
        self.assertEqual(end and end["reason"], "timeout")
        for _ in range(gate.LINES):
            gate.let_through()
        await gated.gone
        self.assertIn(b'"exited"', gated.body)
        runs = await self.runs(daemon)
        ids = [first.run, gated.run, second.run, endless.run]
        self.assertEqual([each["id"] for each in runs], ids)
        self.assertLess(runs[2]["created"], runs[0]["created"])  # it was set
        # Before its time server answered, and with a battery that is empty; then right.
        day = 86_400
        for seconds in (60 * day, -50 * 365 * day, 0):
            self.set(seconds)
            ids.append((await fetch(daemon.port, "/stream/one")).run)
            await self.stop(daemon)
            daemon = await self.clocked(gate)  # it looks for old runs at once
            ids.append((await fetch(daemon.port, "/stream/one")).run)
            found = [each["id"] for each in await self.runs(daemon)]
            self.assertEqual(found, ids)
        await self.stop(daemon)
