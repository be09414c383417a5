"""Tests for L{shellstream.config.loader}: mistakes in shared settings."""

from twisted.trial.unittest import SynchronousTestCase

from tests.support.configurations import COMMAND, mistakes

SECONDS = ("0", "-1", "'3'", "nan", "inf", "true", "1e10")
#: What a command has, or the file for all, with values that it does not take, and
#: what is said instead.
LIMITS = {
    "timeout": (SECONDS, "a time above 0"),
    "idle_timeout": (SECONDS, "a time above 0"),
    "grace": (SECONDS, "a time above 0"),
    "stall_timeout": (SECONDS, "a time above 0"),
    "linger": (SECONDS[1:], "0 for none"),
    "on_disconnect": (("'stop'", "1"), "one of 'cancel', 'keep'"),
    "retain": (("0", "-1", "'1 MB'", "1.5", "true"), "bytes above 0"),
    "on_full": (("'drop'", "true"), "one of 'drop-oldest', 'pause', 'cancel'"),
    "sync": (("'often'", "true"), "one of 'second', 'end', 'always', 'never'"),
    "when_busy": (("'wait'", "[]"), "one of 'queue', 'reject', 'join', 'replace'"),
    "stdin": (("1", "'yes'"), "true or false"),
    "tty": (("{rows = 24}", "'yes'"), "true or false"),
    "unbuffer": (("'none'", "true"), "one of 'auto', 'pty', 'off'"),
    "user": (("''", "'-x'", "0", "'a b'"), "a name that the system knows"),
    "group": (("''", "'-x'", "0", "'a,b'"), "a name that the system knows"),
    "umask": (("22", "0o22", "'9'"), "octal digits in quotes"),
    "nice": (("20", "-21", "'5'", "true"), "an integer from -20 to 19"),
    "memory": (("0", "'1 GB'", "true"), "bytes above 0"),
    "cpu_seconds": (("0", "1.5", "true"), "an integer from 1"),
    "processes": (("0", "'3'"), "an integer from 1"),
    "open_files": (("0", "'3'"), "an integer from 1"),
    "file_size": (("0", "'1 GB'", "true"), "bytes above 0"),
    "no_new_privileges": (("1", "'yes'"), "true or false"),
    "die_with_daemon": (("1", "'yes'"), "true or false"),
}


class WrongLimitTests(SynchronousTestCase):
    """The mistakes of a limit are reported."""

    def assert_wrong(self, text: str, key: str, allowed: str) -> None:
        """The only mistake of this file has this key and these words."""
        with self.subTest(text=text):
            ((a_key, _, an_allowed),) = mistakes(text)
            self.assertEqual(a_key, key)
            self.assertIn(allowed, an_allowed)

    def test_limits(self) -> None:
        """Each limit has a type and a range, for the whole file and in a command."""
        for name, (values, allowed) in LIMITS.items():
            for value in values:
                line = f"{name} = {value}\n"
                self.assert_wrong(line + COMMAND, name, allowed)
                self.assert_wrong(COMMAND + line, f"commands.x.{name}", allowed)

    def test_how_many(self) -> None:
        """The numbers of running and waiting runs have a range."""
        for text, key in (
            (f"max_running = 0\n{COMMAND}", "max_running"),
            (f"max_queued = 0\n{COMMAND}", "max_queued"),
            (f"{COMMAND}max_running = 0\n", "commands.x.max_running"),
        ):
            self.assert_wrong(text, key, "an integer from 1 to 1000000000")

    def test_of_the_daemon(self) -> None:
        """Keys of the daemon are unknown in a command."""
        for name in ("max_queued", "drain", "keep"):
            text = f"{COMMAND}{name} = 1\n"
            self.assert_wrong(text, f"commands.x.{name}", "the keys argv, ")
        self.assert_wrong(f"drain = -1\n{COMMAND}", "drain", "0 for none")

    def test_keep(self) -> None:
        """The keys of C{[keep]} have ranges."""
        for key, value, allowed in (
            ("keep.age", "0", "a time above 0"),
            ("keep.runs", "0", "an integer from 1"),
            ("keep.bytes", "'1 GB'", "'2 GiB'"),
            ("keep.days", "30", "the keys age, bytes, keys, runs"),
            ("keep", "3", "a table"),
        ):
            self.assert_wrong(f"{key} = {value}\n{COMMAND}", key, allowed)
