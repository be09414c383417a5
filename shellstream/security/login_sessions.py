"""The sessions of people who have shown their token to the page, and got a cookie."""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from attrs import define, evolve, field, frozen

from .authorization import Principal

#: Seconds that a session lasts: a working day.
SESSION_LIFETIME = 12 * 3600.0

_KIND = "session "

#: How many there may be in all, and within one credential, so that nobody can log all
#: others out; the oldest goes first.
MAX_SESSIONS, MAX_EACH = 1000, 100


@frozen
class Session:
    """
    @ivar principal: who it is for; its credential is the session.
    @ivar login_credential: the credential that was shown, without which it is no good.
    @ivar csrf_token: what a page has to send along, to show that it is ours.
    @ivar until: when it ends, in seconds of the clock that never jumps.
    """

    principal: Principal
    login_credential: str
    csrf_token: str
    until: float

    def csrf_matches(self, csrf_token: str) -> bool:
        """Whether somebody sent along what only a page of ours knows."""
        return hmac.compare_digest(csrf_token.encode(), self.csrf_token.encode())


@define(eq=False)
class Sessions:
    """
    Sessions by what is in their cookies, of which only a hash is kept.

    They end with the daemon.
    """

    _seconds: Callable[[], float]
    _sessions: "OrderedDict[str, Session]" = field(factory=OrderedDict, init=False)

    def create(self, principal: Principal) -> str:
        """Begin one, and get what its cookie is to hold."""
        self._make_room(principal.credential)
        cookie = secrets.token_hex(32)
        key = _key(cookie)
        credential = f"{_KIND}{key}"
        self._sessions[key] = Session(
            evolve(principal, credential=credential),
            principal.credential,
            secrets.token_hex(32),
            self._seconds() + SESSION_LIFETIME,
        )
        return cookie

    def _make_room(self, credential: str) -> None:
        theirs = [
            key
            for key, each in self._sessions.items()
            if each.login_credential == credential
        ]
        if len(theirs) >= MAX_EACH:
            del self._sessions[theirs[0]]
        elif len(self._sessions) >= MAX_SESSIONS:
            self._sessions.popitem(last=False)

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie, unless it has ended."""
        session = self._sessions.get(_key(cookie))
        if session is None or session.until <= self._seconds():
            return None
        return session

    def remove(self, cookie: str) -> None:
        """End the session of a cookie, if there is one."""
        self._sessions.pop(_key(cookie), None)

    def login_credential_of(self, credential: str) -> str | None:
        """What a session's credential depends on; L{None} if it has ended."""
        session = self._sessions.get(credential.removeprefix(_KIND))
        if session is None or session.until <= self._seconds():
            return None
        return session.login_credential


def _key(cookie: str) -> str:
    return sha256(cookie.encode("utf-8", "replace")).hexdigest()
