"""The tokens that are good now, whatever becomes of their file meanwhile."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from .access import Principal
from .events import WallClock
from .tokenfile import Stamp, TokenFile, TokensUnusable
from .tokens import Kept, Token, changes, find, live

_log = Logger(namespace="shellstream")

#: Seconds between two looks whether the file has changed.
LOOK = 1.0

#: What became of tokens: C{made}, C{revoked} or C{changed}.
Changes = Sequence[tuple[str, Token]]


def _nobody_listens(changes: Changes) -> None:
    """What L{Tokens.changed} is until somebody wants to know."""


@define(eq=False)
class Tokens:
    """
    Tells whose a token is.

    They are those of the file, and those that are in memory alone. A file that cannot
    be read any more leaves all as it was; one that is gone takes its tokens with it.

    @ivar changed: called with what became of them after each change; with nothing
        when there is a file from now on, with no tokens in it.
    @ivar asked_for: whether there is, or was, a file: somebody has made a token, so
        that not everybody should get in.
    """

    _file: TokenFile | None
    _clock: Any
    _now: WallClock
    changed: Callable[[Changes], None] = field(default=_nobody_listens)
    asked_for: bool = field(default=False, init=False)
    _kept: Kept = field(factory=dict, init=False, repr=False)
    _in_memory: dict[str, Token] = field(factory=dict, init=False, repr=False)
    _stamp: Stamp | None = field(default=None, init=False)
    _trouble: str | None = field(default=None, init=False)
    _looking: LoopingCall = field(init=False)

    def start(self) -> None:
        """
        Read the file, and look after it from now on.

        @raise TokensUnusable: if it cannot be read.
        """
        self._kept = dict(self._read())
        self._looking = LoopingCall(self._look)
        self._looking.clock = self._clock
        self._looking.start(LOOK, now=False)

    def stop(self) -> None:
        """Look after it no longer."""
        self._looking.stop()

    def find(self, text: str) -> Principal | None:
        """Who shows this token; L{None} if it is none, or is no longer good."""
        token = find(text, self._kept, self._now())
        return None if token is None else token.principal

    def live(self, credential: str) -> bool:
        """Whether a principal's credential is a token that is still good."""
        return live(credential, self._kept, self._now())

    def __len__(self) -> int:
        """How many are good."""
        now = self._now()
        return sum(each.good(now) for each in self._kept.values())

    def add(self, token: Token, *, keep: bool) -> None:
        """
        Have one more.

        @param keep: whether it goes into the file, or is to be known here alone.
        @raise TokensUnusable: if it cannot be kept.
        """
        if keep and self._file is not None:
            self._file.change(lambda kept: {**kept, token.id: token})
            self._take(self._read())
        else:
            self._in_memory[token.id] = token
            self._take({**self._kept, token.id: token})

    def _look(self) -> None:
        before = self.asked_for
        try:
            self._take(self._read(), news=before != self.asked_for)
        except TokensUnusable as error:
            if not before:  # somebody has made one, whatever became of it
                self.asked_for = True
                self.changed([])
            if str(error) != self._trouble:
                self._trouble = str(error)
                _log.error(
                    "{error}; until then the tokens are those it had before",
                    error=error,
                )
        else:
            self._trouble = None

    def _read(self) -> Kept:
        """Those of the file, if it has changed, and those in memory."""
        if self._file is None:
            return self._in_memory
        stamp = self._file.stamp()
        if stamp is not None and stamp == self._stamp:
            return self._kept
        found = None if stamp is None else self._file.read(os.geteuid())
        if found is None:
            if self._stamp is not None:
                _log.warn("{path} is gone, and its tokens", path=self._file.path)
            self._stamp = None
            return self._in_memory
        kept, self._stamp = found
        self.asked_for = True
        return {**kept, **self._in_memory}

    def _take(self, kept: Kept, *, news: bool = False) -> None:
        if kept is self._kept:
            return
        before, self._kept = self._kept, dict(kept)
        found = list(changes(before, self._kept))
        if found or news:
            self.changed(found)
