"""All processes of a run: those of its session, and those that have left it."""

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from .process_scanner import ProcessScanner
from .process_table import Member, ProcessTable, group_exists, signal_group

_log = Logger()


@define(eq=False)
class RunProcesses:
    """
    Signals the processes of a run, and finds out whether any is left.

    The session is the unit: a shell with job control, timeout(1) and others give what
    they start a process group of its own, and only setsid(2) leaves the session. What
    has left it is a stray, and is known by the run's id in its environment. Strays are
    left alone unless the run is cancelled: programs leave a session in order to outlive
    it.

    @ivar leader: the process that leads the session.
    @ivar start: when it began; L{None} if that is not known.
    @ivar leader_reaped: whether its id may be given to another process, once its
        session is empty.
    """

    run_id: str
    leader: int
    start: int | None
    _scanner: ProcessScanner
    leader_reaped: bool = field(default=False, init=False)
    _strays: bool = field(default=False, init=False)
    # One that lived when it was looked for last, and is most likely still alive.
    _known: Member | None = field(default=None, init=False)
    _refused: set[int] = field(factory=set, init=False)
    _looking: bool = field(default=False, init=False)
    #: Looks in a row that found nothing, and how many of these are believed.
    _empty: int = field(default=0, init=False)
    _believed: int = field(default=1, init=False)

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
            self._signal_groups(at_once, numbers)
        self._scan().addCallback(self._signal_others, at_once, numbers).addErrback(
            _report
        )

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
            self._scan().addCallback(self._looked).addErrback(_report)
        return self._empty < self._believed

    def _scan(self) -> Deferred[ProcessTable]:
        return self._scanner.scan(self._strays)

    def _signal_others(
        self, table: ProcessTable, told: set[int], numbers: tuple[int, ...]
    ) -> None:
        groups = table.groups(self.leader, self.start) - told
        self._signal_groups(groups, numbers)
        strays = self._find_strays(table)
        for stray in strays:
            for number in numbers:
                self._note(stray.pid, stray.signal(number))
        if strays or groups - {self.leader}:
            # The kernel keeps a group together while it is signalled, but not several:
            # one look may miss a process that moves on by fork(2) and exit.
            self._believed = 2

    def _looked(self, table: ProcessTable) -> None:
        self._looking = False
        if not table.complete:  # no descriptor is left: nobody knows more than this
            self._empty = 0 if group_exists(self.leader) else self._empty + 1
            return
        strays = self._find_strays(table)
        found = table.member(self.leader, self.start)
        self._known = found or (strays[0] if strays else None)
        self._empty = 0 if self._known is not None else self._empty + 1

    def _find_strays(self, table: ProcessTable) -> list[Member]:
        return table.strays(self.run_id, self.leader) if self._strays else []

    def _signal_groups(self, groups: set[int], numbers: tuple[int, ...]) -> None:
        for group in groups:
            for number in numbers:
                self._note(group, signal_group(group, number))

    def _note(self, target: int, allowed: bool) -> None:
        if not allowed and target not in self._refused:
            self._refused.add(target)
            _log.warn(
                "run {id}: process or group {target} is another user's, and is not "
                "signalled",
                id=self.run_id,
                target=target,
            )


def _report(failure: Failure) -> None:
    _log.failure("while looking for the processes of a run", failure)
