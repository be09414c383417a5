"""
Errors that nobody foresaw: they are logged, and stay where they happen.

A fault in one run must not take another run with it, and must not pass in silence. So
wherever control comes to a run from outside (the reactor, a request, its process, its
viewers), exceptions end there. They are logged with the run's id, and what they
interrupted is ended: a run by L{shellstream.runs.run.Run.broke}, a viewer by a cut of
its connection.
"""

from types import TracebackType

from attrs import define
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()

#: All that a client is told.
UNFORESEEN = "something unforeseen went wrong in the daemon; its log says more"


def log_unforeseen(run_id: str, failure: Failure | None = None) -> None:
    """
    Log an error with its traceback and the run that it concerns.

    @param failure: by default, the exception that is being handled.
    """
    _log.failure("run {run}: unforeseen", failure, run=run_id)


@define
class contained:  # noqa: N801  # used like the functions of contextlib
    """
    A context from which no error comes: it is logged, and work goes on behind it.

    Twisted's C{Logger.failuresHandled} also swallows L{GeneratorExit}, which must
    pass, or a coroutine could not be closed.

    @ivar run_id: the run that the work is for.
    """

    run_id: str

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        log_unforeseen(self.run_id, Failure(error, kind, trace))
        return True
