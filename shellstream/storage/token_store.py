"""The tokens that are good now, whatever becomes of their file meanwhile."""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from shellstream.model.events import WallClock
from shellstream.security.authorization import Principal
from shellstream.security.token_journal import Book, Change
from shellstream.security.tokens import Kept, Token, changes, find, live

from .token_file import Stamp, TokenFile, TokensUnusable

_log = Logger(namespace="shellstream")

#: Seconds between two looks whether the file has changed.
LOOK = 1.0

#: What became of tokens.
Changes = Sequence[Change]


def _nobody_listens(changes: Changes) -> None:
    """What L{Tokens.changed} is until somebody wants to know."""


@define(eq=False)
class Tokens:
    """
    Tells whose a token is.

    They are those of the file, and those that are in memory alone. A file that cannot
    be read any more leaves all as it was; one that is gone takes its tokens with it.

    Each change is told once. Those that the file knows of it keeps until L{noted}: who
    is killed in between tells them once more.

    @ivar who: the account that this daemon is of.
    @ivar changed: called after each change, with what is to be noted; with nothing when
        there is a file from now on, with no tokens in it.
    @ivar notes: whether those of the file are; if another daemon has the folder, it
        notes them.
    @ivar in_thread: calls something that waits for the disk.
    @ivar asked_for: whether there is, or was, a file: somebody has made a token, so
        that not everybody should get in.
    """

    _file: TokenFile | None
    _clock: Any
    _now: WallClock
    _who: str
    changed: Callable[[Changes], None] = field(default=_nobody_listens)
    _notes: bool = True
    _in_thread: Callable[[Callable[[], None]], Deferred[None]] = maybeDeferred
    asked_for: bool = field(default=False, init=False)
    _kept: Kept = field(factory=dict, init=False, repr=False)
    _in_memory: dict[str, Token] = field(factory=dict, init=False, repr=False)
    _stamp: Stamp | None = field(default=None, init=False)
    _trouble: str | None = field(default=None, init=False)
    _told: frozenset[Change] = field(default=frozenset(), init=False)
    _noted: frozenset[Change] = field(default=frozenset(), init=False)
    _taking_out: bool = field(default=False, init=False)
    _stuck: bool = field(default=False, init=False)
    _looking: LoopingCall = field(init=False)

    def start(self) -> None:
        """
        Read the file, and look after it from now on.

        @raise TokensUnusable: if it cannot be read.
        """
        book = self._read()
        if book is not None:
            self._kept = book.kept
            self._tell(book, ())
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

    def is_valid(self, credential: str) -> bool:
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
        now = self._now()
        if keep and self._file is not None:
            self._file.change(lambda kept: {**kept, token.id: token}, self._who, now)
            self._take(self._read())
        else:
            self._in_memory[token.id] = token
            self._kept = {**self._kept, token.id: token}
            self.changed([Change.of("made", token, self._who, now)])

    def noted(self, changes: Changes) -> None:
        """These changes are where they will not be lost."""
        self._noted |= self._told.intersection(changes)
        self._take_out()

    def _look(self) -> None:
        before = self.asked_for
        try:
            self._take(self._read(), news=before != self.asked_for)
        except TokensUnusable as error:
            if not before:  # somebody has made one, whatever became of it
                self.asked_for = True
                self.changed(())
            if str(error) != self._trouble:
                self._trouble = str(error)
                _log.error(
                    "{error}; until then the tokens are those it had before",
                    error=error,
                )
        else:
            self._trouble = None
            self._take_out()

    def _read(self) -> Book | None:
        """What is in the file; L{None} if it is as it was, or is not to be."""
        if self._file is None:
            return None
        stamp = self._file.stamp()
        if stamp is not None and stamp == self._stamp:
            return None
        found = None if stamp is None else self._file.read(os.geteuid())
        if found is None:
            if self._stamp is not None:
                _log.warn("{path} is gone, and its tokens", path=self._file.path)
            self._stamp = None
            return Book()
        book, self._stamp = found
        self.asked_for = True
        return book

    def _take(self, book: Book | None, *, news: bool = False) -> None:
        if book is None:
            return
        before, self._kept = self._kept, {**book.kept, **self._in_memory}
        if not self._tell(book, changes(before, self._kept)) and news:
            self.changed(())

    def _tell(self, book: Book, seen: Iterable[tuple[str, Token]]) -> bool:
        """Tell what the file says of changes, and what was seen beside that."""
        known, self._told = self._told, frozenset(book.changes)
        new = [each for each in book.changes if each not in known]
        said = {each.token for each in new}
        now = self._now()
        for what, token in seen:
            if token.id not in said:  # somebody has edited the file, or removed it
                new.append(Change.of(what, token, "", now))
        if new:
            self.changed(new if self._notes else ())
        return bool(new)

    def _take_out(self) -> None:
        if self._file is None or self._taking_out or not self._noted:
            return
        self._taking_out, noted = True, self._noted
        done = self._in_thread(partial(self._file.take_out, noted))
        done.addCallbacks(lambda _: self._taken_out(noted), self._not_taken_out)

    def _taken_out(self, noted: frozenset[Change]) -> None:
        self._taking_out = self._stuck = False
        self._noted -= noted

    def _not_taken_out(self, failure: Failure) -> None:
        self._taking_out = False
        failure.trap(TokensUnusable)
        if not self._stuck:
            self._stuck = True
            _log.error(
                "{error}; until then a restart notes once more what became of tokens",
                error=failure.value,
            )
