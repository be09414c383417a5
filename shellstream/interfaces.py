"""
The seams: what the HTTP face and viewers know of runs, wherever these are.

Here a run is a process of this machine. A run of another machine is one more
implementation; C{tests/contract.py} tells whether it is a good one.
"""

from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen
from zope.interface import Attribute, Interface

from .access import SOMEBODY, Caller
from .command import Command
from .config import Config
from .events import Chunk, OnDisconnect, State, Stream
from .input import Piece, Tty
from .record import RunRecord, Within


@frozen
class View:
    """
    What a viewer wants of an output.

    @ivar follow: whether to wait for what is still to come.
    @ivar lossless: whether the command is to wait before a byte is dropped that
        this viewer has not been given.
    @ivar skip_gaps: whether to go on behind bytes that are gone, even where the
        format has no way to say so.
    @ivar only: the one stream that is wanted, or both.
    @ivar until: the offset to stop at, if not the end.
    """

    offset: int = 0
    follow: bool = True
    lossless: bool = False
    skip_gaps: bool = False
    only: Stream | None = None
    until: int | None = None


@frozen
class Order:
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


class ILog(Interface):
    """An output, as it is read: by offset, never waiting."""

    start: int = Attribute("Offset of the oldest byte that can be read.")
    end: int = Attribute("Offset after the newest byte that can be read.")
    closed: bool = Attribute("Whether C{end} is final.")

    def read(offset: int, size: int) -> list[Chunk]:
        """
        Some of the output from C{offset} on, about C{size} bytes at the most;
        nothing if none is there yet: a subscriber is told when it is.

        @raise OffsetGone: if C{offset} is not between C{start} and C{end}, or what is
            there cannot be read any more; it says where to go on.
        """

    def subscribe(wake: Callable[[], None]) -> Callable[[], None]:
        """Call C{wake} whenever there is news; returns how to stop that."""


class IViewer(Interface):
    """One who reads an output."""

    offset: int = Attribute("The first byte that it has not been given.")
    lossless: bool = Attribute("See L{View.lossless}.")

    def cut() -> None:
        """Leave, so that the client can tell that there was more."""


class IRun(Interface):
    """One execution of a command."""

    record: RunRecord = Attribute("The run as it stands now.")
    log: ILog = Attribute("Its output.")
    stall_timeout: float = Attribute(
        "Seconds after which to give up a viewer that takes nothing."
    )

    def attach(viewer: IViewer) -> None:
        """A viewer begins to follow the log."""

    def detach(viewer: IViewer) -> None:
        """A viewer leaves. Harmless for one that has left, or never came."""

    def pace() -> None:
        """A lossless viewer has moved on: the command may, too."""


class IRuns(Interface):
    """All runs there are, and all that can be done with them."""

    config: Config = Attribute("What the operator decided.")
    events: ILog = Attribute("What happens to runs, each a JSON document and a chunk.")

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

    def submit(order: Order) -> Awaitable[tuple[IRun, bool]]:
        """
        Run a command; with the run, whether this order is what began it.

        A run that could not be started is one that C{failed}, now and whenever the
        order comes again with its key; an order that was refused may come again.

        @raise CommandUnknown: if there is no such command.
        @raise ParametersRefused: if they do not fit, or the command may have no
            input or terminal.
        @raise KeyReused: if the key came with another order before.
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
        within: Within | None = None,
    ) -> Awaitable[list[RunRecord]]:
        """At most C{limit} runs, newest first, from below the id C{after} on."""

    def feed(run_id: str, piece: Piece) -> Awaitable[int]:
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
