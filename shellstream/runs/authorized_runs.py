"""The runs that one caller may see, and the permission for all that it does."""

from collections.abc import Callable

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError
from zope.interface import implementer

from shellstream.config.loader import Config
from shellstream.model.errors import (
    Forbidden,
    IdempotencyKeyReused,
    RunUnknown,
)
from shellstream.model.run_input import StdinChunk
from shellstream.model.run_record import RunQuery, RunRecord, signal_name
from shellstream.output.interfaces import IRun
from shellstream.output.log import OutputLog
from shellstream.security.audit import AuditAction, AuditEntry
from shellstream.security.authorization import (
    EVERYTHING,
    Action,
    Caller,
    Verdict,
    decide,
)

from .interfaces import IRuns, RunRequest


@implementer(IRuns)
@frozen(eq=False)
class AuthorizedRuns:
    """
    The runs that a caller may see; for this caller no others exist.

    Resources have only this, so that nothing can be done without a check. C{submit}
    takes a L{Command}, which a caller can have only from L{config}: that is its check.
    Every other method but C{check} raises L{Forbidden} if there is no run to which the
    caller may do it. The audit records what a caller does.
    """

    _runs: IRuns
    caller: Caller
    _audit: Callable[[AuditEntry], object]

    def require(self, action: Action) -> None:
        """
        @raise Forbidden: if there is no run to which the caller may do this.
        """
        if not self.can(action):
            raise Forbidden(self.caller.principal.name, action.value)

    def can(self, action: Action) -> bool:
        """Whether there may be a run to which the caller may do this."""
        return decide(self.caller.principal, action) is Verdict.ALLOWED

    def allows(self, action: Action, command: str, owner: str | None = None) -> bool:
        """Whether the caller may do this to a command, or to a run of it."""
        verdict = decide(self.caller.principal, action, command, owner)
        return verdict is Verdict.ALLOWED

    @property
    def config(self) -> Config:
        """What the operator decided, with only the commands that the caller may run."""
        config = self._runs.config
        if self.caller.principal.grant == EVERYTHING:
            return config
        commands = {
            name: command
            for name, command in config.commands.items()
            if self.allows(Action.RUN, name)
        }
        default = config.default if config.default in commands else None
        return evolve(config, commands=commands, default=default)

    @property
    def events(self) -> OutputLog:
        """All events: ask L{allows} of each before passing it on."""
        log: OutputLog = self._runs.events
        return log

    async def check(self) -> None:
        await self._runs.check()

    async def submit(self, request: RunRequest) -> tuple[IRun, bool]:
        run, began = await self._runs.submit(evolve(request, by=self.caller))
        record = run.record
        owner = record.principal
        if not began and not self.allows(Action.RUN, record.command, owner):
            # Another token of the same name, which may see more, used this key.
            raise IdempotencyKeyReused
        return run, began

    async def find(self, run_id: str) -> IRun:
        return await self._find(run_id, Action.READ)

    async def page(self, query: RunQuery) -> list[RunRecord]:
        self.require(Action.READ)
        principal = self.caller.principal
        grant = principal.grant
        owner = principal.name if grant.own else None
        return await self._runs.page(evolve(query, visible=grant.commands, owner=owner))

    async def feed(self, run_id: str, chunk: StdinChunk) -> int:
        run = await self._find(run_id, Action.WRITE)
        try:
            taken = await self._runs.feed(run_id, chunk)
        except CancelledError:  # a part of it may have been taken
            self._done(AuditAction.INPUT, run)
            raise
        self._done(AuditAction.INPUT, run)
        return taken

    async def resize(self, run_id: str, rows: int, columns: int) -> None:
        await self._find(run_id, Action.WRITE)
        await self._runs.resize(run_id, rows, columns)

    async def signal(self, run_id: str, number: int) -> None:
        run = await self._find(run_id, Action.SIGNAL)
        await self._runs.signal(run_id, number)
        self._done(AuditAction.SIGNAL, run, signal=signal_name(number))

    async def cancel(self, run_id: str) -> None:
        run = await self._find(run_id, Action.SIGNAL)
        await self._runs.cancel(run_id)
        self._done(AuditAction.CANCEL, run)

    async def delete(self, run_id: str) -> None:
        run = await self._find(run_id, Action.ADMIN)
        await self._runs.delete(run_id)
        self._done(AuditAction.DELETE, run)

    def _done(self, what: AuditAction, run: IRun, **facts: str) -> None:
        record = run.record
        self._audit(
            AuditEntry.by_caller(
                what, self.caller, command=record.command, run=record.id, facts=facts
            )
        )

    async def _find(self, run_id: str, action: Action) -> IRun:
        self.require(action)
        run: IRun = await self._runs.find(run_id)
        record = run.record
        if not self.allows(action, record.command, record.principal):
            raise RunUnknown(run_id)  # as if it were not there
        return run
