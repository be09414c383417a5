"""
The seam between the HTTP face and the runs, wherever these are.

L{registry.Registry} runs processes of this machine. Runs on other machines would be one
more implementation; C{tests/support/runs_contract.py} tests whether it is a good one.
"""

from collections.abc import Awaitable, Sequence

from attrs import frozen
from zope.interface import Attribute, Interface

from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.model.events import OnDisconnect
from shellstream.model.run_input import StdinChunk, Tty
from shellstream.model.run_record import RunQuery, RunRecord
from shellstream.model.trace_context import TraceContext
from shellstream.output.interfaces import IRun
from shellstream.output.log import OutputLog
from shellstream.security.authorization import ANONYMOUS_CALLER, Caller


@frozen
class RunRequest:
    """
    A request for a run.

    @ivar command: one of L{IRuns.config}. A caller finds only those there that it may
        run, so nothing asks again whether it may.
    @ivar given: parameters as they were sent, repeats included.
    @ivar on_disconnect: what happens to the run without viewers, unless its
        command decides that.
    @ivar key: an C{Idempotency-Key}: the same request with the same key, again,
        leads to the same run.
    @ivar stdin: whether the run has a standard input that clients can write to.
    @ivar tty: the terminal that it gets, if any.
    @ivar by_default: whether the client named no command. That is part of what a key
        stands for.
    @ivar by: the owner of the run. A caller that may see only its own runs joins no
        other.
    @ivar trace: the trace that the run is a part of, if it is started by this request.
    """

    command: Command
    given: Sequence[tuple[str, object]]
    on_disconnect: OnDisconnect
    key: str | None = None
    stdin: bool = False
    tty: Tty | None = None
    by_default: bool = False
    by: Caller = ANONYMOUS_CALLER
    trace: TraceContext | None = None


class IRuns(Interface):
    """All runs, and all that can be done with them."""

    config: Config = Attribute("The configuration of the daemon.")
    events: OutputLog = Attribute(
        "What happens to runs: each event is a chunk, and a JSON document."
    )

    def check() -> Awaitable[None]:
        """
        Raise if no request can be accepted now. If it does not raise, a request may
        still be refused, because too many runs are active.

        @raise Busy: if the daemon is stopping.
        @raise CannotRecord: if a run could not be recorded.
        """

    def submit(request: RunRequest) -> Awaitable[tuple[IRun, bool]]:
        """
        Run a command. Fires with the run, and whether this request started it.

        A run whose process could not be started is one that C{failed}, now and
        whenever the request comes again with its key. A request that was refused
        may come again.

        @raise ParametersRefused: if they do not fit, or the command may have no
            input or terminal.
        @raise IdempotencyKeyReused: if the key came with another request before.
        @raise RunForgotten: if the key came before, and its run is forgotten.
        @raise Busy: if too much runs already, or the daemon stops.
        @raise CannotRecord: if the run cannot be recorded.
        """

    def find(run_id: str) -> Awaitable[IRun]:
        """
        A run by its id.

        @raise RunUnknown: if there is none, or it is forgotten.
        """

    def page(query: RunQuery) -> Awaitable[list[RunRecord]]:
        """The newest runs that a query asks for, newest first."""

    def feed(run_id: str, chunk: StdinChunk) -> Awaitable[int]:
        """
        Write to the standard input of a run. Fires when its process has taken all of
        it, with how many bytes of the whole input that has. While the run is queued,
        this waits. Cancel it to give up what is not taken yet.

        @raise RunUnknown: if there is no such run.
        @raise RunNotRunning: if it has ended.
        @raise NoInput: if it was started without input.
        @raise InputNotTaken: with the reason, and the offset to go on from.
        """

    def resize(run_id: str, rows: int, columns: int) -> Awaitable[None]:
        """
        Give a run's terminal another size.

        @raise RunUnknown: if there is no such run.
        @raise RunNotRunning: if it has ended.
        @raise NoTerminal: if it has none.
        """

    def signal(run_id: str, number: int) -> Awaitable[None]:
        """
        Send a signal to all processes of a run.

        @raise RunUnknown: if there is no such run.
        @raise RunNotRunning: if it has no processes.
        """

    def cancel(run_id: str) -> Awaitable[None]:
        """
        End a run: TERM, then KILL after its command's grace time.

        @raise RunUnknown: if there is no such run.
        @raise RunNotRunning: if it has ended.
        """

    def delete(run_id: str) -> Awaitable[None]:
        """
        Forget an ended run and its output.

        @raise RunUnknown: if there is no such run.
        @raise RunActive: if it has not ended.
        """
