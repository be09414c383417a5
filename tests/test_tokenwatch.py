"""Tests for L{shellstream.tokenwatch}: which tokens are good now."""

from pathlib import Path

from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from shellstream.access import Grant
from shellstream.tokenfile import TokenFile, TokensUnusable
from shellstream.tokens import make
from shellstream.tokenwatch import LOOK, Changes, Tokens


class TokensTests(SynchronousTestCase):
    """L{Tokens} are those of the file, as it is now."""

    def setUp(self) -> None:
        self.now = 1_700_000_000_000_000
        self.clock = Clock()
        self.file = TokenFile(Path(self.mktemp()).absolute())
        self.token, self.text = make("pi", Grant(), self.now)
        self.file.change(lambda _: {self.token.id: self.token})
        self.tokens = Tokens(self.file, self.clock, lambda: self.now)
        self.heard: list[tuple[str, str]] = []
        self.tokens.changed = self.hear

    def hear(self, changes: Changes) -> None:
        self.heard += [(what, token.name) for what, token in changes]

    def start(self) -> None:
        self.tokens.start()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(self.tokens.stop)

    def look(self) -> list[str]:
        """It looks again; what it says in the log."""
        with capturedLogs() as logged:
            self.clock.advance(LOOK)
        return [str(formatEvent(each)) for each in logged]

    def good(self) -> bool:
        """Whether the token lets in, which also keeps open what it has opened."""
        principal = self.tokens.find(self.text)
        live = self.tokens.live(self.token.principal.credential)
        self.assertEqual(principal is not None, live)
        self.assertEqual(len(self.tokens), int(live))
        return live

    def test_found(self) -> None:
        """What is in the file is known at once; there is no change in that."""
        self.start()
        self.assertEqual(self.tokens.find(self.text), self.token.principal)
        self.assertTrue(self.tokens.asked_for)
        self.assertEqual(self.heard, [])

    def test_revoked(self) -> None:
        """A token that is revoked is no good as soon as that is seen."""
        self.start()
        self.file.change(lambda _: {})
        self.assertTrue(self.good())
        self.look()
        self.assertFalse(self.good())
        self.assertEqual(self.heard, [("revoked", "pi")])
        self.assertTrue(self.tokens.asked_for)

    def test_made(self) -> None:
        """One that is made is good as soon as that is seen."""
        self.file.path.unlink()
        self.start()
        self.assertFalse(self.good() or self.tokens.asked_for)
        self.file.change(lambda _: {self.token.id: self.token})
        self.look()
        self.assertTrue(self.good() and self.tokens.asked_for)
        self.look()
        self.assertEqual(self.heard, [("made", "pi")])

    def test_expired(self) -> None:
        """One whose time has come is no good, without anybody looking."""
        self.start()
        soon = evolve(self.token, expires=self.now + 1)
        self.file.change(lambda _: {soon.id: soon})
        self.look()
        self.assertTrue(self.good())
        self.now += 1
        self.assertFalse(self.good())
        self.assertEqual(self.heard, [("changed", "pi")])

    def test_damaged(self) -> None:
        """A file that cannot be read any more changes nothing; it is told once."""
        self.start()
        was = self.file.path.read_bytes()
        self.file.path.write_bytes(b"{")
        (said,) = self.look()
        self.assertIn("is damaged: it is no JSON", said)
        self.assertIn("until then the tokens are those it had before", said)
        self.assertEqual((self.look(), self.good(), self.heard), ([], True, []))
        self.file.path.chmod(0o644)
        self.assertIn("type: chmod 600", self.look()[0])
        self.file.path.chmod(0o600)
        self.file.path.write_bytes(was)
        self.assertEqual((self.look(), self.good(), self.heard), ([], True, []))
        self.file.path.write_bytes(b"{")
        self.assertEqual(len(self.look()), 1)

    def test_damaged_at_first(self) -> None:
        """A file that comes, and cannot be read, lets nobody in without a token."""
        self.file.path.unlink()
        self.start()
        self.assertFalse(self.tokens.asked_for)
        self.file.path.write_bytes(b"{")
        self.file.path.chmod(0o600)
        told: list[Changes] = []
        self.tokens.changed = told.append
        for said in (1, 0):
            self.assertEqual(len(self.look()), said)
        self.assertTrue(self.tokens.asked_for)
        self.assertEqual(told, [[]])

    def test_gone(self) -> None:
        """A file that is gone takes its tokens with it, and lets nobody in."""
        self.start()
        self.file.path.unlink()
        self.assertEqual(self.look(), [f"{self.file.path} is gone, and its tokens"])
        self.assertFalse(self.good())
        self.assertTrue(self.tokens.asked_for)
        self.assertEqual((self.look(), self.heard), ([], [("revoked", "pi")]))

    def test_cannot_start(self) -> None:
        """A file that cannot be read at the beginning is an error."""
        self.file.path.write_bytes(b"{")
        self.assertRaises(TokensUnusable, self.tokens.start)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_add(self) -> None:
        """One that is to be kept is in the file; another is known here alone."""
        self.start()
        for keep in (True, False):
            token, text = make(f"keep-{keep}", Grant(), self.now)
            self.tokens.add(token, keep=keep)
            self.look()
            self.assertEqual(self.tokens.find(text), token.principal)
            self.assertEqual(token.id in self.file.read_its_owners(), keep)
        self.file.change(lambda _: {})
        self.look()
        self.assertEqual(len(self.tokens), 1)
        self.assertEqual(
            self.heard,
            [
                *(("made", "keep-True"), ("made", "keep-False")),
                *(("revoked", "pi"), ("revoked", "keep-True")),
            ],
        )

    def test_in_memory(self) -> None:
        """Without a file there are those that were added."""
        self.tokens = Tokens(None, self.clock, lambda: self.now)
        self.start()
        self.assertFalse(self.good())
        self.tokens.add(self.token, keep=True)
        self.look()
        self.assertTrue(self.good())
        self.assertFalse(self.tokens.asked_for)
