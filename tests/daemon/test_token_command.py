"""Tests for C{shellstreamd tokens}: its effects and its messages."""

import io
import json
import stat
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.daemon.token_command import main, parser
from shellstream.security.authorization import DEFAULT_ACTIONS, Action, Grant
from shellstream.security.tokens import Token, find_token
from shellstream.storage.token_file import TokenFile, account

#: 2023-11-14T22:13:20Z
NOW = 1_700_000_000_000_000
DAY = 86_400_000_000


class Said(NamedTuple):
    """The exit code and the output of a command line."""

    code: object
    out: str
    err: str


class ToolTestCase(SynchronousTestCase):
    """The tool, on a folder of its own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.file = TokenFile(self.folder)
        self.now = NOW

    def tool(self, *argv: str, where: str | None = "", **environ: str) -> Said:
        out, err = io.StringIO(), io.StringIO()
        where = str(self.folder) if where == "" else where
        code: object
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = main(argv, where, environ, lambda: self.now)
            except SystemExit as end:
                code = end.code
        return Said(code, out.getvalue(), err.getvalue())

    def make(self, *argv: str) -> Token:
        """The token that was made, by its text."""
        said = self.tool("make", *argv)
        self.assertEqual(said.code, 0, said.err)
        token = find_token(said.out.rstrip("\n"), self.file.read_as_owner(), self.now)
        assert token is not None, said.out
        return token

    def ids(self) -> list[str]:
        return list(self.file.read_as_owner())


class MakeTests(ToolTestCase):
    """C{tokens make} makes one, and shows it once."""

    def test_usual(self) -> None:
        """
        By default a token never expires, and allows all actions but deleting runs.
        """
        token = self.make("pi")
        self.assertEqual((token.name, token.created, token.expires), ("pi", NOW, None))
        self.assertEqual(token.grant, Grant())

    def test_scoped(self) -> None:
        """A token can be limited to commands, actions, its own runs, and a time."""
        options = ("--commands", "build*", "--commands", "t", "--own")
        token = self.make("ci", *options, "--actions", "run, read", "--expires", "30d")
        self.assertEqual(
            token.grant,
            Grant(
                commands=("build*", "t"),
                actions=frozenset({Action.RUN, Action.READ}),
                own=True,
            ),
        )
        self.assertEqual(token.expires, NOW + 30 * DAY)

    def test_said(self) -> None:
        """Standard output holds only the token; the advice is on standard error."""
        said = self.tool("make", "pi", "--expires", "2024-01-31", "--own")
        self.assertRegex(said.out, r"\Ashs_[0-9a-f]{8}_[0-9a-f]{64}\n\Z")
        self.assertNotIn(said.out.strip(), said.err)
        for words in (
            "of pi, valid until 2024-01-31T00:00:00.000000Z, may run, read, write, "
            "signal: all commands, own runs only; "
            f"{self.file.path} has only its hash, so it cannot be shown again",
            "shellstream --token-file FILE http://HOST:8000/stream",
        ):
            self.assertIn(words, said.err)

    def test_metrics(self) -> None:
        """A token for Prometheus alone comes with the advice for a scrape."""
        said = self.tool("make", "prometheus", "--actions", "metrics").err
        self.assertIn("may read /metrics; ", said)
        self.assertIn("credentials_file: FILE", said)
        self.assertNotIn("/stream", said)

    def test_unchecked(self) -> None:
        """Without a configuration the tool says how patterns are checked."""
        for pattern, said in (("build*", True), ("*", False)):
            err = self.tool("make", "pi", "--commands", pattern).err
            self.assertEqual("type --config FILE before tokens" in err, said)

    def test_hashed(self) -> None:
        """Its secret is in no file."""
        secret = self.tool("make", "pi").out.strip().rpartition("_")[2]
        for each in self.folder.iterdir():
            self.assertNotIn(secret, each.read_text())

    def test_refused(self) -> None:
        """Bad arguments are reported with the valid ones, and no token is made."""
        for argv, why in (
            ((), "the following arguments are required: NAME"),
            (("a b",), "'a b'; take a name of up to 64 letters"),
            (("anonymous",), "is neither 'anonymous', 'stranger' nor"),
            (("pi", "--actions", "run,raed"), "(did you mean 'read'?)"),
            (("pi", "--actions", ""), "take some of run,read,write,signal,admin"),
            (("pi", "--commands", ""), "take a list of patterns"),
            (("pi", "--expires", "soon"), "such as 45m, 12h, 30d or 2w, or a time"),
            (("pi", "--expires", "2023-11-14"), "take a time that is still to come"),
            (("pi", "--expires", "0d"), "take a time that is still to come"),
            (("pi", "--expires", "999999999w"), "take a time that is still to come"),
            (("pi", "--expire", "30d"), "unrecognized arguments: --expire 30d"),
        ):
            said = self.tool("make", *argv)
            self.assertEqual((said.code, said.out), (2, ""), argv)
            self.assertIn(why, said.err)
        self.assertEqual(self.ids(), [])

    def test_unshown(self) -> None:
        """A token that could not be shown is removed again."""
        err = io.StringIO()
        with (
            open("/dev/full", "w") as full,
            redirect_stderr(err),
            redirect_stdout(full),
        ):
            code = main(["make", "pi"], str(self.folder), {}, lambda: NOW)
        self.assertEqual(code, 1)
        self.assertIn("standard output: No space left on device", err.getvalue())
        self.assertEqual(self.ids(), [])

    def test_no_standard_output(self) -> None:
        """No token is made where standard output is closed and cannot show it."""
        err = io.StringIO()
        self.patch(sys, "stdout", None)
        with redirect_stderr(err):
            code = main(["make", "pi"], str(self.folder), {}, lambda: NOW)
        self.assertEqual(code, 1)
        self.assertIn("cannot write to standard output", err.getvalue())
        self.assertEqual(self.ids(), [])

    def test_too_open(self) -> None:
        """A warning is printed if other users can read the file with the new token."""
        for mode, warned in ((0o644, True), (0o600, False)):
            path = Path(self.mktemp())
            path.touch(mode)
            path.chmod(mode)
            err = io.StringIO()
            with open(path, "w") as out, redirect_stdout(out), redirect_stderr(err):
                self.assertEqual(
                    main(["make", "pi"], str(self.folder), {}, lambda: NOW), 0
                )
            self.assertEqual("chmod 600" in err.getvalue(), warned)
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), mode)


class WhereTests(ToolTestCase):
    """The tokens are those of a state folder."""

    def test_default(self) -> None:
        """Without --state-dir it is the folder of a daemon without it."""
        said = self.tool("make", "pi", where=None, XDG_STATE_HOME=str(self.folder))
        self.assertEqual(said.code, 0)
        self.assertIn(str(self.folder / "shellstream" / "tokens.json"), said.err)

    def test_nowhere(self) -> None:
        """A daemon in memory has no tokens to make."""
        for where in (None, ":memory:"):
            said = self.tool("make", "pi", where=where)
            self.assertEqual((said.code, said.out), (1, ""))
            self.assertIn("; give a --state-dir", said.err)

    def test_unusable(self) -> None:
        """An unsafe file is reported, and nothing is changed."""
        self.make("pi")
        self.file.path.chmod(0o644)
        for argv in (["list"], ["make", "x"], ["revoke", "pi"]):
            said = self.tool(*argv)
            self.assertEqual((said.code, said.out), (1, ""))
            self.assertIn(f"type: chmod 600 {self.file.path}\n", said.err)


class ListTests(ToolTestCase):
    """C{tokens list} shows all facts of the tokens."""

    def test_none(self) -> None:
        """An empty list is reported to people, but not to programs."""
        said = self.tool("list")
        self.assertEqual((said.code, said.out), (0, ""))
        self.assertEqual(said.err, f"shellstream: {self.folder} has no tokens\n")
        self.assertEqual(self.tool("list", "--json").out, "[]\n")

    def test_table(self) -> None:
        """People get a table, the oldest token first."""
        pi = self.make("pi")
        self.now += DAY
        ci = self.make("ci", "--own", "--actions", "read", "--expires", "1h")
        self.now += DAY
        rows = [each.split() for each in self.tool("list").out.splitlines()]
        self.assertEqual(
            rows[0], ["ID", "NAME", "COMMANDS", "ACTIONS", "RUNS", "CREATED", "EXPIRES"]
        )
        created = "2023-11-14T22:13:20Z"
        everything = "run,read,write,signal"
        self.assertEqual(
            rows[1], [pi.id, "pi", "*", everything, "all", created, "never"]
        )
        self.assertEqual(rows[2][:5], [ci.id, "ci", "*", "read", "own"])
        self.assertEqual(rows[2][6:], ["2023-11-15T23:13:20Z", "(expired)"])

    def test_json(self) -> None:
        """Programs get JSON with all fields but digests."""
        pi = self.make("pi", "--expires", "1h")
        (row,) = json.loads(self.tool("list", "--json").out)
        self.assertEqual(
            row,
            {
                "id": pi.id,
                "name": "pi",
                "commands": ["*"],
                "actions": ["run", "read", "write", "signal"],
                "own": False,
                "created": "2023-11-14T22:13:20.000000Z",
                "expires": "2023-11-14T23:13:20.000000Z",
                "expired": False,
            },
        )


class ChangeTests(ToolTestCase):
    """C{tokens revoke} is for one token, or all of a name."""

    def setUp(self) -> None:
        super().setUp()
        self.old, self.new = self.make("pi"), self.make("pi")
        self.other = self.make("ci")

    def test_revoke(self) -> None:
        """A revoked token is gone; the tool says when it was the last one."""
        said = self.tool("revoke", self.old.id)
        self.assertEqual(
            said.err, f"shellstream: token {self.old.id} of pi is revoked\n"
        )
        self.assertEqual(self.ids(), [self.new.id, self.other.id])
        self.assertEqual(self.tool("revoke", "pi").code, 0)
        self.assertEqual(self.ids(), [self.other.id])
        self.assertIn("that was the last token", self.tool("revoke", "ci").err)
        self.assertEqual(self.ids(), [])

    def test_unknown(self) -> None:
        """An unknown name or id is refused, with a similar one as a hint."""
        said = self.tool("revoke", "pii")
        self.assertEqual((said.code, said.out), (1, ""))
        self.assertIn("has no token 'pii' (did you mean 'pi'?)", said.err)
        list_them = f"shellstreamd --state-dir {self.folder} tokens list"
        self.assertIn(list_them, said.err)
        self.assertEqual(len(said.err.splitlines()), 1)
        self.assertEqual(len(self.ids()), 3)

    def test_refused(self) -> None:
        """An unknown token or command, or a missing one, is refused."""
        for argv in (
            ("revoke",),
            ("revok", "pi"),
            (),
        ):
            self.assertEqual(self.tool(*argv).code, 2, argv)
        self.assertIn("required: {make,list,revoke}", self.tool().err)


class AuditTests(ToolTestCase):
    """The tool appends its own lines to the audit."""

    def audit(self) -> list[dict[str, Any]]:
        lines = (self.folder / "audit.jsonl").read_text("ascii").splitlines()
        return list(map(json.loads, lines))

    def test_who(self) -> None:
        """
        Each audit line has the account, the user behind sudo, and the time; no secret.
        """
        secret = self.tool("make", "pi", "--actions", "read").out.strip()[-64:]
        self.now += DAY
        self.tool("make", "ci", "--own", "--expires", "1h", SUDO_USER="alice")
        self.tool("revoke", "pi", SUDO_USER="alice\x1b")
        self.tool("list")
        me, later = account({}), "2023-11-15T22:13:20.000000Z"
        lines = self.audit()
        self.assertEqual(
            [(each["what"], each["name"], each["who"], each["time"]) for each in lines],
            [
                ("token-made", "pi", me, "2023-11-14T22:13:20.000000Z"),
                ("token-made", "ci", f"{me} (sudo: alice)", later),
                ("token-revoked", "pi", me, later),
            ],
        )
        self.assertEqual((lines[0]["actions"], lines[0]["commands"]), ("read", "*"))
        self.assertEqual(lines[1]["own"], "true")
        self.assertEqual(lines[1]["expires"], "2023-11-15T23:13:20.000000Z")
        self.assertNotIn(secret, (self.folder / "audit.jsonl").read_text())

    def test_unwritable(self) -> None:
        """A change that cannot be audited is refused with the reason."""
        (self.folder / "audit.jsonl").mkdir(parents=True)
        said = self.tool("make", "pi")
        self.assertEqual((said.code, said.out), (1, ""))
        self.assertIn("the audit cannot be kept in", said.err)
        self.assertEqual(self.ids(), [])


class OptionsTests(SynchronousTestCase):
    """No command line makes the parser fail."""

    @given(st.text(max_size=20) | st.from_regex(r"[0-9]{1,12}[smhdw]"))
    def test_times(self, text: str) -> None:
        """Any text is a time that is to come, or no time."""
        err = io.StringIO()
        with redirect_stderr(err), redirect_stdout(err):
            try:
                found = parser(NOW).parse_args(["make", "pi", f"--expires={text}"])
            except SystemExit as end:
                self.assertEqual(end.code, 2)
            else:
                self.assertGreater(found.expires, NOW)
                self.assertEqual(found.actions, DEFAULT_ACTIONS)
