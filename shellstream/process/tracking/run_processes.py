"""All processes of a run: those of its session, and those that have left it."""

from collections.abc import Callable, Iterator
from signal import SIGKILL

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from .cgroups import RunCgroup
from .process_scanner import ProcessScanner
from .process_table import (
    Member,
    ProcessTable,
    group_exists,
    group_in,
    process_info,
    process_start,
    signal_group,
)

_log = Logger()


@define(eq=False)
class RunProcesses:
    """
    Signals the processes of a run, and finds out whether any is left.

    The session is the unit: a shell with job control, timeout(1) and others give what
    they start a process group of its own, and only setsid(2) leaves the session. What
    has left it is a stray, and is known by the run's id in its environment, or by the
    run's cgroup if it has one. Strays are left alone unless the run is cancelled:
    programs leave a session in order to outlive it.

    @ivar leader: the process that leads the session.
    @ivar leader_reaped: whether its id may be given to another process, once its
        session is empty.
    """

    run_id: str
    leader: int
    _scanner: ProcessScanner
    _start: int | None = None
    _cgroup: RunCgroup | None = None
    leader_reaped: bool = field(default=False, init=False)
    _strays: bool = field(default=False, init=False)
    # One that lived when it was looked for last, and is most likely still alive.
    _known: Member | None = field(default=None, init=False)
    _refused: tuple[int, ...] = field(default=(), init=False)
    _looking: bool = field(default=False, init=False)
    #: Looks in a row that found nothing, and how many of these are believed.
    _empty: int = field(default=0, init=False)
    _believed: int = field(default=1, init=False)

    @property
    def start(self) -> int | None:
        """
        When the leader began, in clock ticks since the machine was started; L{None} if
        that is not known. It is looked up when it is needed: few runs are signalled.
        """
        if self._start is None and not self.leader_reaped:
            self._start = process_start(self.leader)
        return self._start

    @property
    def known_pid(self) -> int:
        """A process that was found alive, or the leader."""
        return self.leader if self._known is None else self._known.pid

    def signal(self, *numbers: int, strays: bool = False) -> None:
        """
        Send signals to all processes of the session.

        @param strays: and, from now on, to those that have left it.
        """
        self._strays |= strays
        at_once: set[int] = set()
        if not self.leader_reaped:  # then its id is its own
            at_once.add(self.leader)
            self._start = self.start
            self._signal_groups(at_once, numbers)
        if SIGKILL in numbers and self._strays and self._kill_cgroup():
            return
        self._scan(lambda table: self._signal_others(table, at_once, numbers))

    def live(self) -> bool:
        """
        Whether any of those is more than a zombie; L{True} as long as that is not known
        for certain.
        """
        if self._known is not None:
            if self._known.alive:
                return True
            self._known = None
        if self._empty < self._believed and not self._looking:
            self._looking = True
            self._scan(self._look)
        return self._empty < self._believed

    def remove_cgroup(self) -> None:
        """Remove the run's cgroup, once no process is left in it."""
        if self._cgroup is not None:
            self._cgroup.remove()

    def _scan(self, then: Callable[[ProcessTable], Iterator[None]]) -> None:
        """Find all processes, then take the steps that this returns."""
        scanned = self._find()
        done = scanned.addCallback(lambda table: self._scanner.in_slices(then(table)))
        done.addErrback(self._scan_failed)

    def _kill_cgroup(self) -> bool:
        # The leader, which may not be in it yet, gets the signal before.
        return self._cgroup is not None and self._cgroup.kill()

    def _find(self) -> Deferred[ProcessTable]:
        if self._cgroup is None:
            return self._scanner.scan(self._strays)
        table = ProcessTable()
        filled = self._scanner.in_slices(table.fill_from(self._cgroup, self.run_id))
        return filled.addCallback(lambda _: table)

    def _scan_failed(self, failure: Failure) -> None:
        self._looking = False  # the next look is another attempt
        text = "while looking for the processes of run {run}"
        _log.failure(text, failure, run=self.run_id)

    def _signal_others(
        self, table: ProcessTable, told: set[int], numbers: tuple[int, ...]
    ) -> Iterator[None]:
        told = {*told}
        if table.is_of(self.leader, self.start):
            for pid in table.sessions.get(self.leader, ()):
                group = group_in(pid, self.leader)
                if group is not None and group not in told:
                    told.add(group)
                    self._signal_groups({group}, numbers)
                yield
        believed = 1 if told <= {self.leader} else 2
        for pid in self._marked(table):
            stray = self._stray(pid)
            if stray is not None:
                believed = 2
                for number in numbers:
                    self._note(pid, stray.signal(number))
            yield
        # The kernel keeps a group together while it is signalled, but not several: one
        # look may miss a process that moves on by fork(2) and exit.
        self._believed = max(self._believed, believed)

    def _look(self, table: ProcessTable) -> Iterator[None]:
        found: Member | None = None
        if table.is_of(self.leader, self.start):
            for pid in table.sessions.get(self.leader, ()):
                process = process_info(pid)
                if process and process.alive and process.session == self.leader:
                    found = Member(pid, process.start)
                    break
                yield
        for pid in self._marked(table):
            if found is not None:
                break
            found = self._stray(pid)
            yield
        self._known, self._looking = found, False
        # Without a descriptor to look any closer, nobody knows more than the kernel.
        lives = not table.complete and group_exists(self.leader)
        self._empty = 0 if lives or found is not None else self._empty + 1
        if self._empty and self.leader_reaped:
            self.remove_cgroup()

    def _marked(self, table: ProcessTable) -> list[int]:
        return table.marked.get(self.run_id, []) if self._strays else []

    def _stray(self, pid: int) -> Member | None:
        process = process_info(pid)
        if process is None or not process.alive or process.session == self.leader:
            return None
        return Member(pid, process.start)

    def _signal_groups(self, groups: set[int], numbers: tuple[int, ...]) -> None:
        for group in groups:
            for number in numbers:
                self._note(group, signal_group(group, number))

    def _note(self, target: int, allowed: bool) -> None:
        if not allowed and target not in self._refused:
            self._refused += (target,)
            _log.warn(
                "run {run}: process or group {target} is another user's, and is not "
                "signalled",
                run=self.run_id,
                target=target,
            )
