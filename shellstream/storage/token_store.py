"""The tokens that are valid now, as their file changes."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import Factory, define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from shellstream.model.events import WallClock
from shellstream.output.fair_turns import FairTurns
from shellstream.security.audit import AuditEntry, token_entry
from shellstream.security.authorization import Principal
from shellstream.security.tokens import (
    CLOCK_SKEW,
    SavedTokens,
    Token,
    TokenTable,
    changes,
    credential_is_valid,
    find_token,
)

from .run_store import InThread
from .state.files import FileStamp
from .token_file import TokenFile, TokensUnusable

_log = Logger(namespace="shellstream")

#: Seconds between two looks whether the file has changed.
POLL_INTERVAL = 1.0


@define(eq=False)
class TokenStore:
    """
    The tokens of the file, and those that are in memory only.

    The file is read again when it has changed. While it cannot be read, the tokens
    stay as they were; when it is gone, so are its tokens.

    The token tool audits its own changes. This class audits what the daemon does, and
    edits by hand, whose author is unknown.

    @ivar _account: the account of this daemon.
    @ivar _record: takes entries for the audit.
    @ivar _in_thread: reads the file: a thousand tokens take longer than a turn of the
        reactor may. Nothing else should keep it waiting, or a revoked token would stay
        valid for longer.
    @ivar _owns_file: whether this daemon writes the file, and audits edits of it. A
        second one, which could not have the state folder, leaves that to the first.
    @ivar in_use: whether the file exists or has existed, for this daemon or one before:
        the operator has made a token, and therefore wants clients to authenticate.
    """

    _file: TokenFile | None
    _clock: Any
    _now: WallClock
    _account: str
    _record: Callable[[AuditEntry], object]
    _in_thread: InThread
    _owns_file: bool = True
    in_use: bool = field(default=False, init=False)
    _tokens: TokenTable = field(factory=dict, init=False, repr=False)
    _in_memory: dict[str, Token] = field(factory=dict, init=False, repr=False)
    _stamp: FileStamp | None = field(default=None, init=False)
    _revision: str | None = field(default=None, init=False)
    _latest: int = field(default=0, init=False)
    _was_ahead: bool = field(default=False, init=False)
    _last_error: str | None = field(default=None, init=False)
    _looking: LoopingCall = field(init=False)
    _turns: FairTurns = Factory(lambda self: FairTurns(self._clock), takes_self=True)

    def start(self) -> None:
        """
        Read the file, and watch it from now on.

        @raise TokensUnusable: if it cannot be read.
        """
        self._refresh()
        if self._file is not None and self._stamp is None and self.in_use:
            _log.error(
                "{path} is gone, and its tokens; clients need one, as before: restore "
                "the file from a copy, or make tokens again (to let everybody on this "
                "machine in, remove {marker})",
                path=self._file.path,
                marker=self._file.marker,
            )
        # Polling: one stat(2) a second costs nothing, and inotify(7) does not see
        # changes by other machines on a network file system.
        self._looking = LoopingCall(lambda: Deferred.fromCoroutine(self._look()))
        self._looking.clock = self._clock
        self._looking.start(POLL_INTERVAL, now=False)

    def stop(self) -> None:
        """Stop watching the file, and audit what was found in it."""
        self._looking.stop()
        self._turns.finish()

    def find(self, text: str) -> Principal | None:
        """The principal of a valid token; L{None} if there is no such token."""
        token = find_token(text, self._tokens, self._time())
        return None if token is None else token.principal

    def is_valid(self, credential: str) -> bool:
        """Whether the credential of a principal names a token that is still valid."""
        return credential_is_valid(credential, self._tokens, self._time())

    def __len__(self) -> int:
        """How many are valid."""
        now = self._time()
        return sum(each.is_valid(now) for each in self._tokens.values())

    def add(self, token: Token) -> None:
        """
        Add a token that this daemon made: to the file if that is its own, or else to
        the memory of this daemon alone.

        @raise TokensUnusable: if it cannot be saved.
        """
        if self._owns_file and self._file is not None:
            self._file.change(
                lambda tokens: {**tokens, token.id: token}, self._record_own
            )
            self._refresh()
        else:
            self._record_own("made", token)
            self._in_memory[token.id] = token
            self._tokens = {**self._tokens, token.id: token}

    def _mark(self, file: TokenFile) -> None:
        # The token tool does this, but not that of earlier versions, nor an editor.
        try:
            if self._owns_file:
                file.mark()
        except TokensUnusable as error:  # the tokens that were read are good
            _log.error("{error}", error=error)

    def _time(self) -> int:
        """
        The latest time that the clock has shown: a token that has expired must not
        become valid again because somebody sets the clock back.
        """
        self._latest = max(self._latest, self._now())
        return self._latest

    def _record_own(self, what: str, token: Token) -> None:
        self._record(token_entry(what, token, self._account))

    async def _look(self) -> None:
        if self._time() - self._now() > CLOCK_SKEW and not self._was_ahead:
            self._was_ahead = True
            _log.warn(
                "the clock was set back by more than a day: tokens that had expired "
                "before stay refused until the daemon is started again"
            )
        try:
            if self._file is not None and self._has_changed(self._file):
                stamp = self._stamp
                found = await self._in_thread(partial(self._file.read, os.geteuid()))
                # Or the daemon has changed the file since, and read it.
                if self._looking.running and stamp == self._stamp:
                    self._take(self._file, found)
        except TokensUnusable as error:
            self.in_use = True  # somebody made a token, whatever became of the file
            if str(error) != self._last_error and self._file is not None:
                self._mark(self._file)
                self._last_error = str(error)
                _log.error(
                    "{error}; until then the tokens stay as they were", error=error
                )
        else:
            self._last_error = None

    def _refresh(self) -> None:
        """
        Read the file if it has changed, and wait for that.

        @raise TokensUnusable: if it cannot be read.
        """
        if self._file is not None and self._has_changed(self._file):
            self._take(self._file, self._file.read(os.geteuid()))

    def _has_changed(self, file: TokenFile) -> bool:
        stamp = file.stamp()
        if stamp == self._stamp and not self.in_use:
            self.in_use = file.is_marked()
        return stamp != self._stamp

    def _take(
        self, file: TokenFile, found: tuple[SavedTokens, FileStamp] | None
    ) -> None:
        if found is not None:
            self.in_use = True
            saved, self._stamp = found
            self._mark(file)
        elif self._stamp is not None:
            _log.warn("{path} is gone, and its tokens", path=file.path)
            saved, self._stamp = SavedTokens({}, self._revision or ""), None
        else:
            return  # it came and went
        # At the start the last revision is unknown, so nothing counts as an edit.
        edited, self._revision = saved.revision == self._revision, saved.revision
        before, self._tokens = self._tokens, {**saved.tokens, **self._in_memory}
        if edited and self._owns_file:
            for what, token in changes(before, self._tokens):
                record = partial(self._record, token_entry(what, token))
                if not self._turns.now(record):
                    self._turns.later(record)
