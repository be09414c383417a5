"""
The phases of a run, and which event leads from one to the next.

Theory of operation: the life of a run
======================================

B{Request.} L{Registry.submit} checks the parameters, makes a record with a new id,
and asks L{Admission} for a place. The run gets its turn (STARTING) or a place in the
queue (QUEUED), or the request is refused with L{Busy}. So far the run exists in memory
only.

B{Start and record.} A run without an C{Idempotency-Key} whose turn is at once is
started before it is recorded. Nobody is told of it yet, neither its caller nor the
subscribers of the news: they wait until its record, with its process id, is in the page
cache. That is written C{run.END_MAY_FOLLOW} seconds after its first output, at once if
that is long, at its end, or C{registry.RECORD_WITHIN} seconds after its start,
whichever comes first, and shows the run as it stands when the store comes to it: so a
short run is recorded once, with its end and its output. If the daemon is killed before,
the process has C{$SHELLSTREAM_RUN} in its environment. The next daemon knows by its
secret that it is an id of this history, finds no run of that id, and ends the process
(L{storage.state_dir.StateDir.never_recorded}). If the disk does not take the record,
the run is cancelled, its caller gets the error, and runs are started in the second way,
until the disk has taken something again.

A run with a key, one that has to wait for its turn, and any on a disk in doubt is
recorded first (L{History.add}), and then started; with a key the record has reached the
disk itself by then. If the disk does not take it, the request is refused and the run is
dropped: it never ran. While a record is being written, a second request with its key
waits; it then finds the first one's run. So no failure runs a command twice.

One that comes from the queue is recorded as running first, synced: if the daemon died
between the start and that record, the next daemon would find it queued and start it
again. If the disk does not take that, the run waits again in its old place, and the
queue with it, for L{history.RETRY} seconds.

While its process is being started the run is LAUNCHING: a thread may do that, and what
stops the run meanwhile waits for that. Once there is a process, the run is RUNNING, and
its process id is recorded soon. If none can be started, the run ends as C{failed}.

B{Reload.} A run that has a process keeps the definition of its command under which it
was started. One that waits follows the new definition ahead of its turn, and once more
before its process is started; if that does not take its parameters, it ends as
C{failed}.

B{Stop.} A client, a limit, the loss of the last viewer, or the end of the daemon stops
a run. Without a process it ends at once, as C{cancelled}. Otherwise its
session gets TERM (STOPPING), and KILL after the command's grace time (KILLED). If
the leader is reaped before the session is empty, the rest of it still has its
grace time (REAPED): it may be finishing the work of the leader. KILL is repeated while
processes are left, since they may have been started meanwhile.

B{End.} Once the process is reaped, its output read, and a stopped session gone, the
outcome is fixed (ENDED). The run's place goes to the next one at once. Then, in this
order: the output is synced if the command says so, the outcome is recorded, the end is
written to the audit and the news, and the log is closed, by which viewers learn of the
end (PUBLISHED). So a viewer that saw an end finds the same end later, even after a
crash. If the outcome cannot be recorded, the log is closed nevertheless: viewers have
waited long enough, and the daemon may have to stop. It is tried again every
L{history.RETRY} seconds. If that never works, the run is C{lost} for the next daemon.

B{The unforeseen.} What is raised while a run is looked after goes no further than the
run: L{Run.broke} logs it. A run without a process fails. Otherwise it is stopped like a
run that was cancelled, with C{error} as the reason, since its output may lack a part.
If the end of a killed process is never told, though the process is gone, the run is
C{lost}: how it ended cannot be known. What is raised after the outcome is fixed is only
logged, and the next step is taken: the place, the audit, the viewers and the files do
not wait for each other.

B{Stop of the daemon.} Queued runs are left to the next daemon (LEFT_QUEUED): they stay
recorded as queued, and their viewers are cut off so that clients come back. The others
have the time that C{drain} gives them, and are then stopped.

B{Death of the daemon.} Nothing is undone. The next daemon finds runs recorded as
running: these are C{lost}. It ends their sessions, and keeps their output. As long
as processes of a lost run live it counts as running, and the loss is not recorded: if
this daemon is killed meanwhile, the next one looks for them again. Runs
recorded as queued wait again, in the old order.
"""

from collections.abc import Mapping
from enum import StrEnum, auto


# Strings, since those have a hash of their own: looking up a member of a plain Enum
# calls a method written in Python, twice for each transition.
class Phase(StrEnum):
    """Where a run is in its life, in more detail than its record tells clients."""

    QUEUED = auto()
    STARTING = auto()
    LAUNCHING = auto()
    RUNNING = auto()
    STOPPING = auto()
    KILLED = auto()
    REAPED = auto()
    ENDED = auto()
    PUBLISHED = auto()
    LEFT_QUEUED = auto()


class Event(StrEnum):
    """An event that leads from one phase to the next."""

    TURN = auto()  # there is room for one more
    LAUNCH = auto()  # a thread begins to start its process
    START = auto()  # its process is there
    FAIL = auto()  # its process could not, or cannot, be started
    STOP = auto()  # a client or a limit stops it
    KILL = auto()  # its grace time is over
    EXIT = auto()  # its process is reaped, and all its output read
    SESSION_GONE = auto()  # no process of it is left
    PUBLISH = auto()  # its outcome is recorded
    LEAVE = auto()  # the daemon stops before its process was started
    WAIT = auto()  # its turn cannot be recorded: it waits again
    BREAK = auto()  # something unforeseen: nothing more is waited for


_NEXT: Mapping[Phase, Mapping[Event, Phase]] = {
    Phase.QUEUED: {
        Event.TURN: Phase.STARTING,
        Event.FAIL: Phase.ENDED,
        Event.STOP: Phase.ENDED,
        Event.LEAVE: Phase.LEFT_QUEUED,
        Event.BREAK: Phase.ENDED,
    },
    Phase.STARTING: {
        Event.LAUNCH: Phase.LAUNCHING,
        Event.STOP: Phase.ENDED,
        Event.LEAVE: Phase.LEFT_QUEUED,
        Event.WAIT: Phase.QUEUED,
        Event.BREAK: Phase.ENDED,
    },
    # Nothing else: whatever happens meanwhile, its process may be there.
    Phase.LAUNCHING: {
        Event.START: Phase.RUNNING,
        Event.FAIL: Phase.ENDED,
    },
    Phase.RUNNING: {
        Event.STOP: Phase.STOPPING,
        Event.EXIT: Phase.ENDED,
        Event.BREAK: Phase.ENDED,
    },
    Phase.STOPPING: {
        Event.KILL: Phase.KILLED,
        Event.EXIT: Phase.REAPED,
        Event.BREAK: Phase.ENDED,
    },
    Phase.KILLED: {
        Event.EXIT: Phase.REAPED,
        Event.BREAK: Phase.ENDED,
    },
    Phase.REAPED: {
        Event.SESSION_GONE: Phase.ENDED,
        Event.KILL: Phase.REAPED,
        Event.BREAK: Phase.ENDED,
    },
    Phase.ENDED: {
        Event.PUBLISH: Phase.PUBLISHED,
    },
    Phase.PUBLISHED: {},
    Phase.LEFT_QUEUED: {},
}

#: In these a run has a process, or at least a session, that can be signalled.
HAVE_PROCESS = frozenset({Phase.RUNNING, Phase.STOPPING, Phase.KILLED, Phase.REAPED})
#: In these it is over: nothing can be asked of it any more.
OVER = frozenset({Phase.ENDED, Phase.PUBLISHED, Phase.LEFT_QUEUED})


def after(phase: Phase, event: Event) -> Phase:
    """The phase that follows. An event that the table does not list is our mistake."""
    follows = _NEXT[phase].get(event)
    assert follows is not None, f"{event} of a run that is {phase}"
    return follows
