"""
The seams: what the HTTP face and viewers know of runs, wherever these are.

Here a run is a process of this machine. A run of another machine is one more
implementation; C{tests/support/runs_contract.py} tells whether it is a good one.
"""

from collections.abc import Awaitable, Sequence

from attrs import frozen
from zope.interface import Attribute, Interface

from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.model.events import OnDisconnect, State
from shellstream.model.run_input import StdinChunk, Tty
from shellstream.model.run_record import RunFilter, RunRecord
from shellstream.output.interfaces import IRun
from shellstream.output.log import OutputLog
from shellstream.security.authorization import SOMEBODY, Caller


@frozen
class RunRequest:
    """
    A wish for a run.

    @ivar command: a command's name; L{None} for the default one.
    @ivar given: parameters as they were sent, repeats included.
    @ivar on_disconnect: what becomes of the run without viewers, where its
        command does not say.
    @ivar key: an C{Idempotency-Key}: the same order with the same key, again, is
        for the same run.
    @ivar stdin: whether something will be put into it.
    @ivar tty: the terminal that it is to have, if any.
    @ivar by: whose run it is to be; who may see only their own joins no other.
    """

    command: str | None
    given: Sequence[tuple[str, object]]
    on_disconnect: OnDisconnect
    key: str | None = None
    stdin: bool = False
    tty: Tty | None = None
    by: Caller = SOMEBODY


class IRuns(Interface):
    """All runs there are, and all that can be done with them."""

    config: Config = Attribute("What the operator decided.")
    events: OutputLog = Attribute(
        "What happens to runs, each a JSON document and a chunk."
    )

    def command(name: str | None) -> Command:
        """
        The command of this name; the default one for L{None}.

        @raise CommandUnknown: if none has this name.
        @raise NoDefaultCommand: if no command is the default.
        """

    def check() -> Awaitable[None]:
        """
        Whether orders are taken, as far as that is the same for all of them; there
        may be no room just now, even so.

        @raise Busy: if the daemon stops.
        @raise CannotRecord: if nothing would be known of a run after a restart.
        """

    def submit(order: RunRequest) -> Awaitable[tuple[IRun, bool]]:
        """
        Run a command; with the run, whether this order is what began it.

        A run that could not be started is one that C{failed}, now and whenever the
        order comes again with its key; an order that was refused may come again.

        @raise CommandUnknown: if there is no such command.
        @raise ParametersRefused: if they do not fit, or the command may have no
            input or terminal.
        @raise IdempotencyKeyReused: if the key came with another order before.
        @raise RunForgotten: if the key came before, and its run is forgotten.
        @raise Busy: if too much runs already, or the daemon stops.
        @raise CannotRecord: if nothing would be known of the run after a restart.
        """

    def find(run_id: str) -> Awaitable[IRun]:
        """
        A run by its id.

        @raise RunUnknown: if there is none, or it is forgotten.
        """

    def page(
        limit: int,
        after: str | None,
        state: State | None,
        command: str | None,
        within: RunFilter | None = None,
    ) -> Awaitable[list[RunRecord]]:
        """At most C{limit} runs, newest first, from below the id C{after} on."""

    def feed(run_id: str, piece: StdinChunk) -> Awaitable[int]:
        """
        Put something into a run; when its process has taken it all, with how much
        of the whole input that has. Until it runs, this waits.

        Who cancels it gives up what was not taken yet.

        @raise RunUnknown: if there is no such run.
        @raise RunNotRunning: if it has ended.
        @raise NoInput: if it was ordered without.
        @raise InputNotTaken: with the reason, and where to go on.
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
