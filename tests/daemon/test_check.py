"""Tests for L{shellstream.daemon.configuration.check}: what --check says."""

import contextlib
import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.cli.subcommands import NAMES
from shellstream.config.files import ConfigFiles
from shellstream.config.loader import IN_MEMORY, parse
from shellstream.daemon.configuration.check import check
from shellstream.daemon.configuration.explanation import Explained, explain, is_exposed
from shellstream.daemon.configuration.findings import SOON, Finding, find_all
from shellstream.model.reserved_words import SUBCOMMANDS
from shellstream.security.authorization import EVERYTHING
from shellstream.security.tokens import create_token
from shellstream.storage.token_file import TokenFile
from tests.support.tokens import unrecorded

NOW = datetime.now(UTC)
HERE = "tcp:8000:interface=127.0.0.1:backlog=9"


def findings(text: str) -> list[Finding]:
    return find_all(parse(text), NOW)


def said(text: str) -> list[str]:
    """What is found in a configuration."""
    return [f"{each.key}: {each.text}" for each in findings(text)]


class FindingTests(SynchronousTestCase):
    """What is allowed, and is probably a mistake."""

    def argv(self, *items: str) -> list[str]:
        return said(f"[commands.x]\nargv = {list(items)}")

    def test_no_shell(self) -> None:
        """What only a shell understands is named, where no shell is."""
        for item, named in (
            ("~", "the ~ in '~'"),
            ("~/x", "the ~ in '~/x'"),
            ("--file=~/x", "the ~ in '--file=~/x'"),
            ("$HOME", "$HOME"),
            ("--file=$HOME/x", "$HOME"),
            *(
                (item, repr(item))
                for item in ("|", "||", "&&", ";", ">", ">>", "<", "&")
            ),
        ):
            (line,) = self.argv("true", "a", item)
            self.assertEqual(
                line,
                f"commands.x.argv: {named} is passed on as it stands: no shell reads "
                "argv; use the key shell for a script",
            )

    def test_no_mistakes(self) -> None:
        """Scripts of other languages, and of a shell in argv, are left alone."""
        for items in (
            ("sh", "-c", "a | b > ~/c && $HOME; d"),
            ("bash", "-ec", "~"),
            ("find", ".", "-exec", "true", "{}", ";"),
            ("grep", "a|b", "x~", "a;b", "$1", "$NF", "s/$/x/", "a~b"),
        ):
            self.assertEqual(self.argv(*items), [], items)
        self.assertEqual(said("[commands.x]\nshell = 'cd ~ | $HOME > x; y && z'"), [])

    def test_programs(self) -> None:
        """A program that is missing, or is no program, is named."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        script = folder / "script"
        script.write_text("#!/no/such/interpreter\n")
        for name, why in (
            ("no-such-program", "No such file or directory"),
            ("ls -l", "No such file or directory; each argument is an item of its own"),
            (str(folder), "Is a directory"),
            (str(script), "Permission denied"),
        ):
            (line,) = self.argv(name)
            self.assertTrue(line.startswith(f"commands.x.argv: {name}: {why}"), line)
        script.chmod(0o755)
        (line,) = self.argv(str(script))
        self.assertIn("No such file", line)
        self.assertEqual(
            said(f"[commands.x]\nargv = ['script']\nenv = {{PATH = '{folder}'}}"),
            [line.replace(f"{script}:", "script:")],
        )

    def test_notifications(self) -> None:
        """A missing program of a notification is named, and a link without address."""
        to = (
            "[commands.x]\nargv = ['true']\n"
            "[notify.a]\nargv = ['%s']\nbody = '{link}'\n"
        )
        (line, other) = said(to % "no-such-program")
        self.assertEqual(
            line, "notify.a.argv: no-such-program: No such file or directory"
        )
        self.assertIn("notify.a.body: {link} stands for nothing: set public_url", other)
        known = "[access]\npublic_url = 'https://example.org'\n"
        self.assertEqual(said(known + to % "cat"), [])

    def test_places(self) -> None:
        """A folder, a user or a group that does not exist is named."""
        (cwd,) = findings("[commands.x]\nargv = ['true']\ncwd = '/no/such'")
        self.assertEqual((cwd.key, cwd.prevents_start), ("commands.x.cwd", False))
        found = findings(
            "[commands.x]\nargv = ['true']\nuser = 'no-such'\ngroup = 'nobody-there'"
        )
        self.assertEqual(
            [(each.key, each.text, each.prevents_start) for each in found],
            [
                ("commands.x.user", "there is no user 'no-such' here", True),
                ("commands.x.group", "there is no group 'nobody-there' here", True),
            ],
        )

    def test_subcommands(self) -> None:
        """A command that the client would take for one of its subcommands is named."""
        (line,) = said("[commands.ps]\nargv = ['ps']")
        self.assertIn("type: shellstream run ps", line)
        self.assertEqual(SUBCOMMANDS, {*NAMES})

    def test_tls(self) -> None:
        """Files of TLS that cannot be used, or not for long, are named."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        for name, until in (
            ("good", None),
            ("late", NOW - timedelta(days=1)),
            ("soon", NOW + SOON - timedelta(days=1)),
        ):
            issued = authority.issue_cert("x.test", not_after=until)
            issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
            issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))

        def tls(certificate: str, key: str, more: str = "") -> list[tuple[str, bool]]:
            text = (
                f"[tls]\ncertificate = '{folder}/{certificate}'\nkey = "
                f"'{folder}/{key}'\n{more}\n[commands.x]\nargv = ['true']"
            )
            return [
                (
                    f"{each.key}: {each.text}".replace(f"{folder}/", ""),
                    each.prevents_start,
                )
                for each in findings(text)
            ]

        ca = f"client_ca = '{folder}/ca.pem'"
        self.assertEqual(tls("good.pem", "good.key", ca), [])
        ((text, fatal),) = tls("good.pem", "soon.key")
        self.assertIn("soon.key: it does not hold the key", text)
        self.assertTrue(fatal)
        ((text, fatal),) = tls("late.pem", "late.key")
        self.assertIn("tls.certificate: late.pem has expired on", text)
        self.assertFalse(fatal)
        ((text, _),) = tls("soon.pem", "soon.key")
        self.assertIn("soon.pem expires on", text)
        found = tls("none.pem", "good.key", f"client_ca = '{folder}/good.key'")
        self.assertEqual(
            found,
            [
                ("tls.certificate: none.pem: No such file or directory", True),
                ("tls.client_ca: good.key: it holds no certificate in PEM", True),
            ],
        )


class ExplanationTests(SynchronousTestCase):
    """What a configuration means, in words."""

    def lines(self, text: str, *listen: str, **more: Any) -> str:
        what = Explained(parse(text), listen or [HERE], **more)
        return "\n".join(explain(what))

    def test_whole(self) -> None:
        """Who may do what, where, with which programs, and within which limits."""
        text = """
default = "a"
max_running = 3
[access]
proxies = ["unix"]
user_header = "X-User"
[principals.ann]
certificates = ["email:ann@example.org"]
commands = ["a*"]
own = true
[principals."*"]
actions = ["read"]
[notify.ops]
argv = ["mail", "ops"]
on = ["failure", "exit:3,5-7 longer than 10 min", "not cancelled"]
[commands.a]
argv = ["/bin/true", "{p}"]
params.p = {type = "string"}
timeout = "1 h"
[commands.b]
shell = '''
echo 1
echo 2'''
max_running = 1
when_busy = "queue"
cwd = "/tmp"
user = "root"
stdin = true
"""
        self.assertEqual(
            self.lines(text, HERE, "tls:tcp:443:interface=\\\\:\\\\:", "unix:/run/x"),
            "Listens on:\n"
            "  http://127.0.0.1:8000: only this machine can connect\n"
            "  https://[::]:443: other machines can connect\n"
            "  unix:/run/x: only this machine can connect, and needs a credential, as "
            "one of proxies in [access]\n"
            "  every request needs a credential\n"
            "Who may do what:\n"
            "  a token: what it was made for (shellstreamd tokens list)\n"
            "  ann (by a certificate of email:ann@example.org, or by a proxy's "
            "x-user): run, read, write, signal: a, own runs only\n"
            "  all others that a proxy names (by a proxy's x-user): read: all "
            "commands\n"
            "Commands, as the daemon's own user unless another is named:\n"
            "  a: /bin/true '{p}'\n"
            "    the default: GET runs it, too; ended after 1 h\n"
            "  b: a script for /bin/sh: echo 1 …\n"
            "    as root; in /tmp; clients may send input; at most 1 at once, others "
            "wait\n"
            "Limits:\n"
            "  at most 3 runs at once, and 100 that wait\n"
            "  ended runs are kept for 30 d, at most 100000 of them and 4 GiB of "
            "output\n"
            "  at most 24000 connections, 18000 of one address\n"
            "Notifications:\n"
            "  ops: mail is told of all commands: failure, exit codes 3, 5-7 after "
            "more than 10 min, not cancelled",
        )

    def test_credentials(self) -> None:
        """It says whether a request needs a credential."""
        text = "[commands.x]\nargv = ['true']"
        needs, none = (
            "every request needs",
            "no request needs a credential (--insecure)",
        )
        everything = "whoever can connect, without a credential: everything"
        for listen, more, expected in (
            (HERE, {}, "no credential is needed until the first token is made"),
            (HERE, {"has_tokens": True}, needs),
            (HERE, {"has_tokens": None}, "whether there are tokens cannot be told"),
            ("tcp:8000", {}, needs),
            ("tcp:8000", {"insecure": True}, none),
        ):
            found = self.lines(text, listen, **more)
            self.assertIn(expected, found)
            self.assertEqual(everything in found, needs not in found)

    def test_local_proxy(self) -> None:
        """Programs of this machine need one where they count as a proxy."""
        text = "[access]\nproxies = ['127.0.0.1']\n[commands.x]\nargv = ['true']"
        every, mark = "every request needs a credential", "and needs a credential, as"
        for listen, marks, all_need in (
            ([HERE], 1, True),
            ([HERE, "unix:/run/x"], 1, False),
            (["tcp6:1:interface=\\:\\:1"], 0, False),
            (["haproxy:tcp6:1:interface=\\:\\:1"], 1, True),
        ):
            found = self.lines(text, *listen)
            self.assertEqual((found.count(mark), every in found), (marks, all_need))
            self.assertEqual("whoever can connect, without" in found, not all_need)
        self.assertNotIn(mark, self.lines(text, insecure=True))

    def test_exposed(self) -> None:
        """An endpoint that is not known to be this machine's own is for others."""
        for description, exposed in (
            (HERE, False),
            ("tls:" + HERE, False),
            ("haproxy:" + HERE, False),
            ("tcp6:1:interface=\\:\\:1", False),
            ("unix:/run/x:mode=666", False),
            ("tcp:8000", True),
            ("tcp:port=1:interface=192.0.2.1", True),
            ("systemd:domain=INET:index=0", True),
            ("tcp:1:interface=localhost", True),
        ):
            self.assertEqual(is_exposed(description), exposed, description)


class CheckTests(SynchronousTestCase):
    """The exit status, and where each part of the text goes."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        (self.folder / "commands.d").mkdir(parents=True)
        self.file = self.folder / "x.toml"

    def check(
        self, text: str, state_dir: str | None = IN_MEMORY
    ) -> tuple[int, str, str]:
        """The exit status, standard output and standard error."""
        self.file.write_text(text)
        files = ConfigFiles(self.file)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = check(files, files.load(), [HERE], state_dir, {}, insecure=False)
        return status, out.getvalue(), err.getvalue()

    def test_warnings(self) -> None:
        """Warnings have their file and line, and leave the exit status at 0."""
        added = self.folder / "commands.d" / "a.toml"
        added.write_text("\n[commands.'a.b']\nargv = ['true', '|']")
        status, out, err = self.check("[commands.logs]\nargv = ['true', '~']")
        self.assertEqual(status, 0)
        self.assertTrue(out.startswith(f"{self.file}, with 1 file of"), out)
        self.assertIn(": ok\nListens on:\n", out)
        places = [line.split(": ")[:3] for line in err.splitlines()]
        self.assertEqual(
            places,
            [
                [f"{self.file}:1", "warning", "commands.logs"],
                [f"{self.file}:2", "warning", "commands.logs.argv"],
                [f"{added}:3", "warning", 'commands."a.b".argv'],
            ],
        )

    def test_errors(self) -> None:
        """What keeps the daemon from its start is an error."""
        status, out, err = self.check("[commands.x]\nargv = ['true']\nuser = 'no-such'")
        self.assertEqual(status, 1)
        self.assertIn(f"{self.file}: not ok", out)
        self.assertIn(f"{self.file}:3: error: commands.x.user: there is no user", err)

    def test_tokens(self) -> None:
        """It looks into the state folder, which it names, whether there are tokens."""
        where = Path(self.mktemp()).absolute()
        text = "[commands.x]\nargv = ['true']"
        by = f"  by the tokens in {where}: "
        self.assertIn(f"{by}no credential is", self.check(text, str(where))[1])
        self.assertFalse(os.path.lexists(where))
        token, _ = create_token("pi", EVERYTHING, 1)
        TokenFile(where).change(lambda kept: {**kept, token.id: token}, unrecorded)
        self.assertIn(f"{by}every request", self.check(text, str(where))[1])
