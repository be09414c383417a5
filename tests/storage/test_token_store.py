"""Tests for L{shellstream.storage.token_store}: which tokens are good now."""

import errno
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.authorization import Grant
from shellstream.security.token_journal import Change
from shellstream.security.tokens import Token, make
from shellstream.storage.token_file import TokenFile, TokensUnusable
from shellstream.storage.token_store import LOOK, Changes, Tokens


class TokensTests(SynchronousTestCase):
    """L{Tokens} are those of the file, as it is now."""

    def setUp(self) -> None:
        self.now = 1_700_000_000_000_000
        self.clock = Clock()
        self.file = TokenFile(Path(self.mktemp()).absolute())
        self.token, self.text = make("pi", Grant(), self.now)
        self.change(self.token)
        self.file.take_out(self.waiting())
        self.tokens = Tokens(self.file, self.clock, lambda: self.now, "me")
        self.heard: list[tuple[str, str]] = []
        self.who: list[str] = []
        self.tokens.changed = self.hear

    def hear(self, changes: Changes) -> None:
        self.heard += [(each.what, each.name) for each in changes]
        self.who += [each.who for each in changes]

    def change(self, *tokens: Token) -> None:
        """What the tool would do."""
        there = {each.id: each for each in tokens}
        self.file.change(lambda _: there, "tool", self.now)

    def waiting(self) -> Sequence[Change]:
        """What no daemon has noted yet, as far as the file knows."""
        return self.file.read_its_owners().changes

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
        live = self.tokens.is_valid(self.token.principal.credential)
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
        self.change()
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
        self.change(self.token)
        self.look()
        self.assertTrue(self.good() and self.tokens.asked_for)
        self.look()
        self.assertEqual(self.heard, [("made", "pi")])

    def test_expired(self) -> None:
        """One whose time has come is no good, without anybody looking."""
        self.start()
        soon = evolve(self.token, expires=self.now + 1)
        self.change(soon)
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
        self.assertEqual([*map(list, told)], [[]])

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
            self.assertEqual(token.id in self.file.read_its_owners().kept, keep)
        self.change()
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
        self.tokens = Tokens(None, self.clock, lambda: self.now, "me")
        self.start()
        self.assertFalse(self.good())
        self.tokens.add(self.token, keep=True)
        self.look()
        self.assertTrue(self.good())
        self.assertFalse(self.tokens.asked_for)

    def test_told_once(self) -> None:
        """A change is told once, with who made it, and is in the file until noted."""
        self.start()
        self.change()
        (made,) = self.waiting()
        for _ in range(2):
            self.look()
            self.assertEqual((self.heard, self.who), ([("revoked", "pi")], ["tool"]))
            self.assertEqual(self.waiting(), (made,))
        self.tokens.noted([made])
        self.assertEqual(self.waiting(), ())
        self.look()
        self.assertEqual(len(self.heard), 1)

    def test_made_before(self) -> None:
        """What became of tokens while no daemon ran is told at the start."""
        self.change()
        self.change(self.token)
        self.start()
        self.assertEqual(self.heard, [("revoked", "pi"), ("made", "pi")])
        self.assertTrue(self.good())

    def test_edited(self) -> None:
        """What is not by the tool is told as well: nobody knows by whom."""
        self.start()
        self.file.path.write_text('{"version": 1, "tokens": {}}')
        self.look()
        self.assertEqual((self.heard, self.who), ([("revoked", "pi")], [""]))
        self.file.path.unlink()
        self.look()
        self.assertFalse(self.file.path.exists())

    def test_own(self) -> None:
        """What the daemon does itself is by the account that it is of."""
        self.start()
        for keep in (True, False):
            self.tokens.add(make("x", Grant(), self.now)[0], keep=keep)
        self.look()
        self.assertEqual((self.heard, self.who), ([("made", "x")] * 2, ["me"] * 2))

    def test_not_taken_out(self) -> None:
        """What cannot be taken out is not told again; it is tried until it can be."""
        self.start()
        self.change()
        self.look()
        with patch("os.replace", side_effect=OSError(errno.ENOSPC, "")):
            with capturedLogs() as logged:
                self.tokens.noted(self.waiting())
            self.assertIn("until then a restart notes", str(formatEvent(logged[0])))
            self.assertEqual(self.look(), [])
        self.assertEqual(len(self.waiting()), 1)
        self.look()
        self.assertEqual((self.waiting(), len(self.heard)), ((), 1))

    def test_gone_meanwhile(self) -> None:
        """A file that is gone before something was taken out is not made anew."""
        self.start()
        self.change()
        self.look()
        made = self.waiting()
        self.file.path.unlink()
        self.tokens.noted(made)
        self.look()
        self.assertFalse(self.file.path.exists())

    def test_anothers(self) -> None:
        """Where another daemon has the folder it notes, and this one only reads."""
        calls: list[Changes] = []
        self.tokens = Tokens(
            *(self.file, self.clock, lambda: self.now, "me"), calls.append, False
        )
        self.change()
        self.start()
        self.change(self.token)
        self.look()
        self.assertTrue(self.good())
        self.assertEqual(calls, [(), ()])
        self.assertEqual(len(self.waiting()), 2)
