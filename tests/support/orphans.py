"""Processes that a daemon leaves behind."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from uuid import uuid4

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import OnDisconnect, State
from shellstream.model.run_record import RunRecord
from shellstream.process.environment import RUN as MARK
from shellstream.process.tracking.process_table import process_start

RUN = RunRecord(
    id=str(uuid4()),  # others may run these tests, too
    command="build",
    params={},
    created=1,
    on_disconnect=OnDisconnect.KEEP,
    state=State.RUNNING,
)


MARKED = {MARK: RUN.id}


#: Ends only when it is killed, and says when it has come that far.
STUBBORN = "trap '' TERM; echo; while :; do sleep 9; done"


#: Leaves a process in its group, of which it tells the id, and ends.
LEAVING = "sleep 99 & echo $!"


#: Leaves a process in a group of its own, and stays.
JOBS = "exec bash -c 'set -m; sleep 99 & echo $!; wait' 2> /dev/null"


class Started:
    """A process that a daemon might have left."""

    def __init__(
        self,
        test: SynchronousTestCase,
        script: str,
        env: Mapping[str, str] = MARKED,
        own_session: bool = True,
    ) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", script],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            start_new_session=own_session,
        )
        self._own = own_session
        test.addCleanup(self._end)
        self.pid = self._process.pid
        assert self._process.stdout is not None
        #: Its first line, which shows that it has started.
        self.said = self._process.stdout.readline().decode().strip()

    @property
    def record(self) -> RunRecord:
        """Its run, as it was when it began."""
        return evolve(RUN, pid=self.pid, pid_start=process_start(self.pid))

    def wait(self) -> int:
        """Wait for the process, and return its status."""
        return self._process.wait(10)

    def rest(self) -> str:
        """Return the rest of the output, once all writers are gone."""
        assert self._process.stdout is not None
        return self._process.stdout.read().decode()

    def _end(self) -> None:
        # Its first line is the id of another process that it began, or empty.
        for pid in (self.pid, *map(int, self.said.split())):
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if self._own and pid == self.pid else os.kill)(
                    pid, signal.SIGKILL
                )
        self.wait()
        self.rest()  # or the next test might still see one
        assert self._process.stdout is not None
        self._process.stdout.close()
