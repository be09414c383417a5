"""Tests for L{shellstream.storage.token_store}: which tokens are good now."""

import json
from collections.abc import Callable
from pathlib import Path

from attrs import evolve
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from shellstream.output.fair_turns import SLICE
from shellstream.security.audit import AuditEntry
from shellstream.security.authorization import Grant
from shellstream.security.tokens import CLOCK_SKEW, Token, create_token
from shellstream.storage.run_store import InThread
from shellstream.storage.token_file import TokenFile, TokensUnusable
from shellstream.storage.token_store import POLL_INTERVAL, TokenStore
from tests.support.tokens import unrecorded


class TokenStoreTests(SynchronousTestCase):
    """A L{TokenStore} has the tokens of the current file."""

    def setUp(self) -> None:
        self.now = 1_700_000_000_000_000
        self.clock = Clock()
        self.in_thread: InThread = maybeDeferred
        self.file = TokenFile(Path(self.mktemp()).absolute())
        self.token, self.text = create_token("pi", Grant(), self.now)
        self.change(self.token)
        self.recorded: list[tuple[str, object, str]] = []
        self.tokens = self.store(self.file)

    def store(self, file: TokenFile | None, *, owns: bool = True) -> TokenStore:
        now = lambda: self.now  # noqa: E731
        return TokenStore(
            file, self.clock, now, "me", self.record, self.in_thread, owns
        )

    def record(self, entry: AuditEntry) -> None:
        self.recorded.append((entry.action.value, entry.facts["name"], entry.principal))

    def change(self, *tokens: Token) -> None:
        """Write these tokens, as the tool would."""
        there = {each.id: each for each in tokens}
        self.file.change(lambda _: there, unrecorded)

    def forget(self) -> None:
        """Have the folder as if it never had tokens."""
        self.file.path.unlink()
        self.file.marker.unlink()

    def start(self) -> None:
        self.tokens.start()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(self.tokens.stop)

    def look(self) -> list[str]:
        """Look again, and return the new log."""
        with capturedLogs() as logged:
            self.clock.advance(POLL_INTERVAL)
        return [str(formatEvent(each)) for each in logged]

    def good(self) -> bool:
        """Return whether the token is accepted, for new and for open connections."""
        principal = self.tokens.find(self.text)
        live = self.tokens.is_valid(self.token.principal.credential)
        self.assertEqual(principal is not None, live)
        self.assertEqual(len(self.tokens), int(live))
        return live

    def test_found(self) -> None:
        """Tokens in the file are known at the start, and are not a change."""
        self.start()
        self.assertEqual(self.tokens.find(self.text), self.token.principal)
        self.assertTrue(self.tokens.in_use)
        self.assertEqual(self.recorded, [])

    def test_revoked(self) -> None:
        """A revoked token is invalid from the next look on."""
        self.start()
        self.change()
        self.assertTrue(self.good())
        self.look()
        self.assertFalse(self.good())
        self.assertEqual(self.recorded, [])
        self.assertTrue(self.tokens.in_use)

    def test_made(self) -> None:
        """A new token is valid at the next look."""
        self.forget()
        self.start()
        self.assertFalse(self.good() or self.tokens.in_use)
        self.change(self.token)
        self.look()
        self.assertTrue(self.good() and self.tokens.in_use)
        self.look()
        self.assertEqual(self.recorded, [])

    def test_expired(self) -> None:
        """An expired token is invalid, without another look."""
        self.start()
        soon = evolve(self.token, expires=self.now + 1)
        self.change(soon)
        self.look()
        self.assertTrue(self.good())
        self.now += 1
        self.assertFalse(self.good())
        self.assertEqual(self.recorded, [])

    def test_set_back(self) -> None:
        """A token that has expired stays refused if the clock is set back."""
        self.start()
        week = 7 * CLOCK_SKEW
        self.change(evolve(self.token, created=self.now, expires=self.now + week))
        self.look()
        self.assertTrue(self.good())
        self.now += week
        self.assertEqual(self.look(), [])
        self.assertFalse(self.good())
        self.now -= 2 * CLOCK_SKEW
        self.assertFalse(self.good())
        self.assertIn("the clock was set back by more than a day", self.look()[0])
        self.assertEqual(self.look(), [])

    def test_damaged(self) -> None:
        """A file that becomes unreadable changes nothing; it is reported once."""
        self.start()
        was = self.file.path.read_bytes()
        self.file.path.write_bytes(b"{")
        (said,) = self.look()
        self.assertIn("is damaged: it is not JSON", said)
        self.assertIn("until then the tokens stay as they were", said)
        self.assertEqual((self.look(), self.good(), self.recorded), ([], True, []))
        self.file.path.chmod(0o644)
        self.assertIn("type: chmod 600", self.look()[0])
        self.file.path.chmod(0o600)
        self.file.path.write_bytes(was)
        self.assertEqual((self.look(), self.good(), self.recorded), ([], True, []))
        self.file.path.write_bytes(b"{")
        self.assertEqual(len(self.look()), 1)

    def test_damaged_at_first(self) -> None:
        """A new file that cannot be read makes authentication required."""
        self.forget()
        self.start()
        self.assertFalse(self.tokens.in_use)
        self.file.path.write_bytes(b"{")
        self.file.path.chmod(0o600)
        for said in (1, 0):
            self.assertEqual(len(self.look()), said)
        self.assertTrue(self.tokens.in_use and self.file.is_marked())

    def test_marked(self) -> None:
        """A folder that has had tokens is in use without them, and says so once."""
        self.file.path.unlink()
        with capturedLogs() as logged:
            self.start()
        (said,) = [str(formatEvent(each)) for each in logged]
        self.assertIn("clients need one, as before: restore the file", said)
        self.assertTrue(self.tokens.in_use)
        self.assertEqual((self.look(), self.good()), ([], False))

    def test_unmarked(self) -> None:
        """
        A folder of an earlier version is marked, but not by a daemon that only reads.
        """
        for owns in (False, True):
            self.file.marker.unlink(missing_ok=True)
            tokens = self.store(self.file, owns=owns)
            tokens.start()
            tokens.stop()
            self.assertEqual(self.file.is_marked(), owns)

    def test_gone(self) -> None:
        """
        When the file is deleted its tokens are invalid, and authentication stays
        required.
        """
        self.start()
        self.file.path.unlink()
        self.assertEqual(self.look(), [f"{self.file.path} is gone, and its tokens"])
        self.assertFalse(self.good())
        self.assertTrue(self.tokens.in_use)
        self.assertEqual(self.look(), [])
        self.assertEqual(self.recorded, [("token-revoked", "pi", "")])

    def test_cannot_start(self) -> None:
        """A file that cannot be read at the beginning is an error."""
        self.file.path.write_bytes(b"{")
        self.assertRaises(TokensUnusable, self.tokens.start)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_add(self) -> None:
        """A daemon that owns the file saves a token in it."""
        self.start()
        token, text = create_token("kept", Grant(), self.now)
        self.tokens.add(token)
        self.look()
        self.assertEqual(self.tokens.find(text), token.principal)
        self.assertIn(token.id, self.file.read_as_owner())
        self.change()
        self.look()
        self.assertEqual(len(self.tokens), 0)
        self.assertEqual(self.recorded, [("token-made", "kept", "me")])

    def test_add_anothers(self) -> None:
        """A token of a daemon that does not own the file is known to that one alone."""
        self.tokens = self.store(self.file, owns=False)
        self.start()
        token, text = create_token("mine", Grant(), self.now)
        self.tokens.add(token)
        self.change()
        self.look()
        self.assertEqual(self.tokens.find(text), token.principal)
        self.assertNotIn(token.id, self.file.read_as_owner())
        self.assertEqual(len(self.tokens), 1)
        self.assertEqual(self.recorded, [("token-made", "mine", "me")])

    def test_in_memory(self) -> None:
        """Without a file only the added tokens are valid."""
        self.tokens = self.store(None)
        self.start()
        self.assertFalse(self.good())
        self.tokens.add(self.token)
        self.look()
        self.assertTrue(self.good())
        self.assertFalse(self.tokens.in_use)

    def test_tool(self) -> None:
        """A change of the tool is not recorded again, even before the start."""
        self.change()
        self.change(self.token)
        self.start()
        self.assertTrue(self.good())
        self.change()
        self.look()
        self.assertEqual((self.good(), self.recorded), (False, []))

    def test_edited(self) -> None:
        """An edit by hand is recorded, without an account."""
        self.start()
        text = self.file.path.read_text()
        self.file.path.write_text(text.replace('"pi"', '"ci"'))
        self.look()
        self.file.path.unlink()
        self.look()
        changed = [("token-changed", "ci", ""), ("token-revoked", "ci", "")]
        self.assertEqual(self.recorded, changed)
        self.assertFalse(self.file.path.exists())

    def test_edited_old(self) -> None:
        """The same for an edited file of an older version."""
        self.file.path.write_text('{"version": 1, "tokens": {}, "changes": []}')
        self.start()
        self.file.path.unlink()
        self.change(self.token)
        text = self.file.path.read_text()
        revision = json.loads(text)["revision"]
        old = text.replace('"version": 2', '"version": 1').replace(revision, "")
        self.file.path.write_text(old)
        self.look()
        self.assertEqual(self.recorded, [("token-made", "pi", "")])

    def test_anothers(self) -> None:
        """A daemon that does not own the folder only reads; the owner records."""
        self.tokens = self.store(self.file, owns=False)
        self.start()
        self.file.path.unlink()
        self.look()
        self.assertEqual((self.good(), self.recorded), (False, []))

    def test_overtaken(self) -> None:
        """What a thread has read counts no more once the daemon has read later."""
        reading: list[tuple[Callable[[], object], Deferred[object]]] = []

        def in_thread(call: Callable[[], object]) -> Deferred[object]:
            reading.append((call, Deferred()))
            return reading[-1][1]

        self.in_thread = in_thread
        self.tokens = self.store(self.file)
        self.start()
        self.change()
        self.look()
        ((read, answer),) = reading
        found = read()
        token, text = create_token("later", Grant(), self.now)
        self.tokens.add(token)
        self.assertEqual((self.look(), len(reading)), ([], 1))
        answer.callback(found)
        self.assertEqual(self.tokens.find(text), token.principal)
        self.assertFalse(self.tokens.is_valid(self.token.principal.credential))
        self.assertEqual((self.look(), len(reading)), ([], 1))

    def test_stopped_while_it_reads(self) -> None:
        """What a thread has read after the end of the daemon is not audited."""
        read: Deferred[object] = Deferred()
        self.in_thread = lambda call: read
        tokens = self.store(self.file)
        tokens.start()
        self.file.path.unlink()
        self.clock.advance(POLL_INTERVAL)
        tokens.stop()
        read.callback(None)
        self.assertEqual(self.recorded, [])

    def test_many_edited(self) -> None:
        """Of many edits, the daemon audits some in each turn, or all at its end."""

        def record(entry: AuditEntry) -> None:
            self.record(entry)
            self.clock.rightNow += SLICE

        tokens = TokenStore(
            self.file, self.clock, lambda: self.now, "me", record, self.in_thread
        )
        tokens.start()
        saved = json.loads(self.file.path.read_text())
        (token,) = saved["tokens"].values()
        saved["tokens"] |= {f"{number:08x}": token for number in range(10)}
        self.file.path.write_text(json.dumps(saved))
        self.clock.rightNow += POLL_INTERVAL
        self.clock.calls.pop().func()  # one turn, as a real reactor takes it
        self.assertEqual((len(tokens), len(self.recorded)), (11, 1))
        tokens.stop()
        self.assertEqual(len(self.recorded), 10)
