"""Tests for the sessions of browsers."""

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.authorization import Grant, Principal
from shellstream.security.login_sessions import (
    MAX_EACH,
    MAX_SESSIONS,
    SESSION_LIFETIME,
    Session,
    Sessions,
)

ALICE = Principal(name="alice", grant=Grant(own=True), credential="token 1")


class SessionsTests(SynchronousTestCase):
    """A cookie stands for a token, for a while."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = Sessions(self.clock.seconds)

    def found(self, cookie: str) -> Session:
        session = self.sessions.find(cookie)
        assert session is not None
        return session

    def test_begin(self) -> None:
        """It is for whoever the token is, and depends on that."""
        session = self.found(self.sessions.begin(ALICE))
        principal = session.principal
        self.assertEqual((principal.name, principal.grant), ("alice", ALICE.grant))
        self.assertEqual(session.within, "token 1")
        self.assertEqual(self.sessions.within(principal.credential), "token 1")
        self.assertNotEqual(principal.credential, "token 1")

    def test_apart(self) -> None:
        """No two are the same, and a cookie is not to be guessed from anything else."""
        one, other = self.sessions.begin(ALICE), self.sessions.begin(ALICE)
        self.assertNotEqual(one, other)
        self.assertGreaterEqual(len(one), 64)
        session = self.found(one)
        for known in (session.principal.credential, session.proof, one.upper(), ""):
            self.assertIsNone(self.sessions.find(known))
        self.assertNotIn(one, repr(self.sessions))
        self.assertNotEqual(session.proof, self.found(other).proof)

    def test_proof(self) -> None:
        """Only a page of ours knows what to send along."""
        session = self.found(self.sessions.begin(ALICE))
        self.assertTrue(session.proven(session.proof))
        for wrong in ("", session.proof[:-1], session.proof + "0", "é"):
            self.assertFalse(session.proven(wrong))

    def test_lasts(self) -> None:
        """It ends by itself."""
        cookie = self.sessions.begin(ALICE)
        credential = self.found(cookie).principal.credential
        self.clock.advance(SESSION_LIFETIME - 1)
        self.found(cookie)
        self.clock.advance(1)
        self.assertIsNone(self.sessions.find(cookie))
        self.assertIsNone(self.sessions.within(credential))

    def test_end(self) -> None:
        """Whoever logs out ends it; and once more, harmlessly."""
        cookie = self.sessions.begin(ALICE)
        credential = self.found(cookie).principal.credential
        for _ in range(2):
            self.sessions.end(cookie)
            self.assertIsNone(self.sessions.find(cookie))
            self.assertIsNone(self.sessions.within(credential))

    def test_bounded(self) -> None:
        """There are only so many; the oldest goes, first of all one's own."""
        bob = self.sessions.begin(evolve(ALICE, credential="token 2"))
        first, second = self.sessions.begin(ALICE), self.sessions.begin(ALICE)
        for _ in range(MAX_EACH - 1):
            self.sessions.begin(ALICE)
        self.assertIsNone(self.sessions.find(first))
        self.found(second)
        self.found(bob)
        for number in range(MAX_SESSIONS - MAX_EACH):
            self.sessions.begin(evolve(ALICE, credential=f"another {number}"))
        self.assertIsNone(self.sessions.find(bob))
        self.found(second)
