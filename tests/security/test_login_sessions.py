"""Tests for the sessions of browsers."""

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.authorization import Grant, Principal
from shellstream.security.login_sessions import (
    MAX_SESSIONS,
    MAX_SESSIONS_EACH,
    SESSION_LIFETIME,
    LoginSession,
    LoginSessions,
)

ALICE = Principal(name="alice", grant=Grant(own=True), credential="token 1")


class SessionsTests(SynchronousTestCase):
    """A cookie stands for a token, for a while."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = LoginSessions(self.clock.seconds)

    def found(self, cookie: str) -> LoginSession:
        session = self.sessions.find(cookie)
        assert session is not None
        return session

    def test_create(self) -> None:
        """The session has the principal of the token, and depends on the token."""
        session = self.found(self.sessions.create(ALICE))
        principal = session.principal
        self.assertEqual((principal.name, principal.grant), ("alice", ALICE.grant))
        self.assertEqual(session.login_credential, "token 1")
        self.assertEqual(
            self.sessions.login_credential_of(principal.credential), "token 1"
        )
        self.assertNotEqual(principal.credential, "token 1")

    def test_apart(self) -> None:
        """No two are the same, and a cookie is not to be guessed from anything else."""
        one, other = self.sessions.create(ALICE), self.sessions.create(ALICE)
        self.assertNotEqual(one, other)
        self.assertGreaterEqual(len(one), 64)
        session = self.found(one)
        for known in (
            session.principal.credential,
            session.csrf_token,
            one.upper(),
            "",
        ):
            self.assertIsNone(self.sessions.find(known))
        self.assertNotIn(one, repr(self.sessions))
        self.assertNotEqual(session.csrf_token, self.found(other).csrf_token)

    def test_csrf(self) -> None:
        """Only our own page knows the CSRF token."""
        session = self.found(self.sessions.create(ALICE))
        self.assertTrue(session.csrf_matches(session.csrf_token))
        for wrong in ("", session.csrf_token[:-1], session.csrf_token + "0", "é"):
            self.assertFalse(session.csrf_matches(wrong))

    def test_lasts(self) -> None:
        """The session expires."""
        cookie = self.sessions.create(ALICE)
        credential = self.found(cookie).principal.credential
        self.clock.advance(SESSION_LIFETIME - 1)
        self.found(cookie)
        self.clock.advance(1)
        self.assertIsNone(self.sessions.find(cookie))
        self.assertIsNone(self.sessions.login_credential_of(credential))

    def test_end(self) -> None:
        """Logout ends the session; a second logout is harmless."""
        cookie = self.sessions.create(ALICE)
        credential = self.found(cookie).principal.credential
        for _ in range(2):
            self.sessions.remove(cookie)
            self.assertIsNone(self.sessions.find(cookie))
            self.assertIsNone(self.sessions.login_credential_of(credential))

    def test_bounded(self) -> None:
        """
        The number of sessions is limited; a principal's own oldest is dropped first.
        """
        bob = self.sessions.create(evolve(ALICE, credential="token 2"))
        first, second = self.sessions.create(ALICE), self.sessions.create(ALICE)
        for _ in range(MAX_SESSIONS_EACH - 1):
            self.sessions.create(ALICE)
        self.assertIsNone(self.sessions.find(first))
        self.found(second)
        self.found(bob)
        for number in range(MAX_SESSIONS - MAX_SESSIONS_EACH):
            self.sessions.create(evolve(ALICE, credential=f"another {number}"))
        self.assertIsNone(self.sessions.find(bob))
        self.found(second)
