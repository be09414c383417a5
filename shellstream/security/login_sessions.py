"""Login sessions of browsers: a cookie in place of the token."""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from attrs import define, evolve, field, frozen

from .authorization import Principal

#: Seconds that a session lasts: about a working day.
SESSION_LIFETIME = 12 * 3600.0

_KIND = "session "

#: The most sessions in all, and of one credential; the oldest goes first. The second is
#: lower, so that the owner of one credential cannot log everybody else out.
MAX_SESSIONS, MAX_SESSIONS_EACH = 1000, 100


@frozen
class LoginSession:
    """
    A login session.

    @ivar principal: the principal of its requests; the credential is the session.
    @ivar login_credential: the credential of the login; when it is revoked, the session
        is no longer valid.
    @ivar csrf_token: a text that only pages of this daemon know, and send along.
    @ivar until: the end of the session, in seconds of a clock that is never set.
    """

    principal: Principal
    login_credential: str
    csrf_token: str
    until: float

    def csrf_matches(self, csrf_token: str) -> bool:
        """Whether a request carries the right token."""
        return hmac.compare_digest(csrf_token.encode(), self.csrf_token.encode())


@define(eq=False)
class LoginSessions:
    """
    The sessions, by the hashes of their cookies. They end with the daemon.
    """

    _seconds: Callable[[], float]
    _sessions: "OrderedDict[str, LoginSession]" = field(factory=OrderedDict, init=False)

    def create(self, principal: Principal) -> str:
        """Begin a session, and return the value of its cookie."""
        self._make_room(principal.credential)
        cookie = secrets.token_hex(32)
        key = _key(cookie)
        credential = f"{_KIND}{key}"
        self._sessions[key] = LoginSession(
            # The session is the credential: its end closes what it has opened.
            evolve(principal, credential=credential),
            principal.credential,
            secrets.token_hex(32),
            self._seconds() + SESSION_LIFETIME,
        )
        return cookie

    def _make_room(self, credential: str) -> None:
        # A walk through 1,000 sessions at each login: it is rare, and needs no index.
        theirs = [
            key
            for key, each in self._sessions.items()
            if each.login_credential == credential
        ]
        if len(theirs) >= MAX_SESSIONS_EACH:
            del self._sessions[theirs[0]]
        elif len(self._sessions) >= MAX_SESSIONS:
            self._sessions.popitem(last=False)

    def find(self, cookie: str) -> LoginSession | None:
        """The session of a cookie, unless it has ended."""
        return self._valid(_key(cookie))

    def remove(self, cookie: str) -> None:
        """End the session of a cookie, if there is one."""
        self._sessions.pop(_key(cookie), None)

    def login_credential_of(self, credential: str) -> str | None:
        """The credential of a session's login; L{None} if the session has ended."""
        session = self._valid(credential.removeprefix(_KIND))
        return None if session is None else session.login_credential

    def _valid(self, key: str) -> LoginSession | None:
        session = self._sessions.get(key)
        if session is None or session.until <= self._seconds():
            return None
        return session


def _key(cookie: str) -> str:
    # A hash, so that a look-up by the text takes no time that depends on other cookies,
    # and a dump of the memory holds no cookie that is good.
    return sha256(cookie.encode("utf-8", "replace")).hexdigest()
