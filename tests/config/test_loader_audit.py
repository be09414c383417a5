"""Tests for L{shellstream.config.loader}: the audit, and secret parameters."""

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.loader import parse
from shellstream.security.audit import AuditSettings
from tests.support.configurations import COMMAND, PARAMETER, mistakes

SCRIPT = "[commands.x]\nshell = 'a'\n[commands.x.params.p]\n"


class AuditTests(SynchronousTestCase):
    """The table C{[audit]} says where the audit is kept."""

    def test_right(self) -> None:
        """Every key is read, and has a default."""
        self.assertEqual(parse(COMMAND).audit, AuditSettings())
        text = "file = '/var/log/a.jsonl'\nmax_size = '1 MiB'\nkeep = 1000"
        found = parse(f"{COMMAND}[audit]\n{text}").audit
        self.assertEqual(
            found, AuditSettings(file="/var/log/a.jsonl", max_size=1 << 20, keep=1000)
        )

    def test_wrong(self) -> None:
        """Wrong values and unknown keys are reported."""
        for line, found, allowed in (
            ("file = 'a.jsonl'", "'a.jsonl'", "a file's absolute path"),
            ("file = '/var/log/'", "'/var/log/'", "a file's absolute path"),
            ("file = 1", "1", "a file's absolute path"),
            ("file = ''", "''", "a file's absolute path"),
            ("max_size = 0", "0", "bytes above 0"),
            ("keep = 0", "0", "an integer from 1 to 1000"),
            ("keep = true", "true", "an integer from 1 to 1000"),
            ("keep = 1001", "1001", "an integer from 1 to 1000"),
            ("off = true", "an unknown key", "the keys file, keep, max_size"),
        ):
            with self.subTest(line=line):
                ((key, was, may),) = mistakes(f"{COMMAND}[audit]\n{line}")
                self.assertEqual(key, f"audit.{line.partition(' ')[0]}")
                self.assertIn(found, was)
                self.assertIn(allowed, may)


class SecretTests(SynchronousTestCase):
    """A parameter may be secret where others cannot see it."""

    def test_right(self) -> None:
        """A parameter of a script may be secret, of every type."""
        for rest in (
            "type = 'string'",
            "type = 'integer'\nmin = 0",
            "type = 'path'\nroots = ['/']",
            "type = 'string'\ndefault = 'x'",
        ):
            config = parse(f"{SCRIPT}{rest}\nsecret = true")
            self.assertTrue(config.commands["x"].params["p"].secret)
            self.assertEqual(config.secrets, {"p"})
            config = parse(f"{SCRIPT}{rest}")
            self.assertFalse(config.commands["x"].params["p"].secret)
            self.assertEqual(config.secrets, set())

    def test_wrong(self) -> None:
        """Not in an argv, which ps shows, nor with choices, which clients see."""
        for text, found, allowed in (
            (f"{PARAMETER}type = 'string'", "true, with argv", "ps shows argv"),
            (f"{SCRIPT}type='string'\nchoices=['a']", "true beside", "one of the two"),
        ):
            ((key, was, may),) = mistakes(f"{text}\nsecret = true")
            self.assertEqual(key, "commands.x.params.p.secret")
            self.assertIn(found, was)
            self.assertIn(allowed, may)
        ((key, was, may),) = mistakes(f"{SCRIPT}type = 'string'\nsecret = 1")
        self.assertEqual((was, may), ("1", "true or false"))
