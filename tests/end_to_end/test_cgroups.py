"""Where a cgroup is delegated to the daemon, each run has one of its own."""

import os
import signal
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.end_to_end.state_daemons import StateTestCase
from tests.support.cgroups import entering, make_cgroup, needs_cgroups, runs_in
from tests.support.http_watcher import ask, get, post, watch
from tests.support.programs import Daemon, Lifeline, needs, start_daemon

CONFIG = """
[commands.hidden]
# Leaves its session, its parent and its environment, and ignores TERM.
shell = '''
(env -i setsid sh -c 'exec 3> "{line}" >&- 2>&-; trap "" TERM; echo >&3
while :; do sleep 9; done' &)
exec sleep 999'''
get = true
grace = 0.1
[commands.leaving]
shell = '''(env -i setsid sh -c 'exec 3> "{line}" >&- 2>&-; echo >&3
exec sleep 999' &)'''
get = true
[commands.dies]
shell = '''env -i sh -c 'exec 3> "{line}" >&- 2>&-; echo >&3; exec sleep 999' &
exec sleep 999'''
get = true
die_with_daemon = true
"""


class CgroupTests(StateTestCase):
    """The daemon is started as systemd starts a service with C{Delegate=yes}."""

    skip = needs_cgroups() or needs("setsid")

    def setUp(self) -> None:
        super().setUp()
        self.cgroup = make_cgroup(self)
        self.line = Lifeline(self)

    async def daemon(self) -> Daemon:
        """Start one that has the cgroup."""
        options = "--state-dir", str(self.state)
        config = CONFIG.replace("{line}", self.line.path)
        daemon = await start_daemon(
            self, config, *options, before=entering(self.cgroup)
        )
        where = Path(f"/proc/{daemon.pid}/cgroup").read_text()
        self.assertIn(f"/{self.cgroup.name}/daemon\n", where)
        return daemon

    async def removed(self, run: str) -> None:
        """Wait until a run has no cgroup."""
        while run in runs_in(self.cgroup):
            await deferLater(reactor, 0.05)

    async def test_cancelled(self) -> None:
        """
        A cancel ends a process that has left its session, its parent and its
        environment, and ignores TERM.
        """
        daemon = await self.daemon()
        watcher = await watch(daemon.port, get("/stream/hidden"))
        await self.line.spoken()
        await watcher.headed
        run = watcher.run
        assert run is not None
        self.assertGreaterEqual(len(runs_in(self.cgroup)[run]), 2)
        answer = await ask(daemon.port, post(f"/runs/{run}/cancel"))
        self.assertEqual(answer.status, 202, answer.head)
        await watcher.gone
        await self.line.cut()
        await self.removed(run)

    async def test_goes_on(self) -> None:
        """
        A process that outlives its command goes on, when the daemon is stopped too; its
        cgroup is removed after it.
        """
        daemon = await self.daemon()
        watcher = await ask(daemon.port, get("/stream/leaving"))
        run = watcher.run
        assert run is not None
        await self.line.spoken()
        (pid,) = runs_in(self.cgroup)[run]
        await self.stop(daemon)
        await self.daemon()
        self.assertEqual(runs_in(self.cgroup), {run: [pid]})
        os.kill(pid, signal.SIGKILL)
        await self.line.cut()
        await self.removed(run)

    async def test_killed(self) -> None:
        """
        After C{kill -9} of the daemon the next one ends the processes that it finds by
        the run's cgroup alone.
        """
        daemon = await self.daemon()
        watcher = await watch(daemon.port, get("/stream/dies"))
        await self.line.spoken()
        await watcher.headed
        os.kill(daemon.pid, signal.SIGKILL)
        await daemon.program.ended()
        await watcher.gone
        run = watcher.run
        assert run is not None
        while len(runs_in(self.cgroup)[run]) > 1:
            await deferLater(reactor, 0.05)
        await self.daemon()
        await self.line.cut()
