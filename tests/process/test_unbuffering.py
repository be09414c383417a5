"""Tests for L{process.unbuffering}, with a real Perl for its part."""

import os
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.command import Unbuffer
from shellstream.process.unbuffering import Preload, changes_root, unbuffered
from tests.support.programs import needs

LIBRARY = "/usr/lib/libstdbuf.so"
PRELOAD = Preload({"_STDBUF_O": "L", "LD_PRELOAD": LIBRARY}, b"/lib/ld.so")
ASAN = "verify_asan_link_order=0"
PERL = "-Mstrict();$|=1"


class UnbufferedTests(SynchronousTestCase):
    """The un-buffering environment, and the operator's own settings."""

    def test_auto(self) -> None:
        """
        Python, Perl and stdio get their variables; the rest of the environment stays.
        """
        expected = {
            "A": "1",
            "PYTHONUNBUFFERED": "1",
            "PERL5OPT": PERL,
            "_STDBUF_O": "L",
            "LD_PRELOAD": LIBRARY,
            "ASAN_OPTIONS": ASAN,
        }
        self.assertEqual(unbuffered(Unbuffer.AUTO, {"A": "1"}, PRELOAD), expected)

    def test_no_preload(self) -> None:
        """A program that cannot take the library is not given it."""
        found = unbuffered(Unbuffer.AUTO, {}, None)
        self.assertEqual(found, {"PYTHONUNBUFFERED": "1", "PERL5OPT": PERL})

    def test_pty(self) -> None:
        """A terminal also gets the variables, and pagers and colors are off."""
        found = unbuffered(Unbuffer.PTY, {"TERM": "xterm"}, PRELOAD)
        more = {"TERM": "xterm", "NO_COLOR": "1", "PAGER": "cat", "GIT_PAGER": "cat"}
        self.assertEqual(found, {**unbuffered(Unbuffer.AUTO, {}, PRELOAD), **more})

    def test_off(self) -> None:
        """C{off} sets nothing."""
        self.assertEqual(unbuffered(Unbuffer.OFF, {"A": "1"}, PRELOAD), {"A": "1"})

    def test_operators(self) -> None:
        """The operator's settings win, or come first where both apply."""
        given = {
            "PYTHONUNBUFFERED": "",
            "_STDBUF_O": "0",
            "PERL5OPT": "-w",
            "LD_PRELOAD": "/x.so",
            "ASAN_OPTIONS": "detect_leaks=0",
        }
        expected = {
            "PYTHONUNBUFFERED": "",
            "_STDBUF_O": "0",
            "PERL5OPT": f"-w {PERL}",
            "LD_PRELOAD": f"/x.so:{LIBRARY}",
            "ASAN_OPTIONS": f"detect_leaks=0:{ASAN}",
        }
        self.assertEqual(unbuffered(Unbuffer.AUTO, given, PRELOAD), expected)
        found = unbuffered(Unbuffer.AUTO, given, None)
        theirs = {name: given[name] for name in ("LD_PRELOAD", "ASAN_OPTIONS")}
        self.assertEqual(found, {**expected, **theirs})

    def test_emptied(self) -> None:
        """A variable that the operator emptied stays empty."""
        given = {"PYTHONUNBUFFERED": "", "PERL5OPT": "", "LD_PRELOAD": ""}
        found = unbuffered(Unbuffer.AUTO, given, PRELOAD)
        expected = {**given, "_STDBUF_O": "L", "ASAN_OPTIONS": ASAN}
        self.assertEqual(found, expected)

    def test_color(self) -> None:
        """
        Colors are asked for in a pipe, on a terminal, and without un-buffering; the
        operator's variables and a client's terminal win.
        """
        for how in Unbuffer:
            found = unbuffered(how, {}, PRELOAD, color=True)
            self.assertEqual(found["TERM"], "xterm-256color")
            self.assertEqual(found["FORCE_COLOR"] + found["CLICOLOR_FORCE"], "11")
            self.assertNotIn("NO_COLOR", found)
            given = {"TERM": "vt100", "NO_COLOR": "1"}
            found = unbuffered(how, given, PRELOAD, color=True)
            self.assertLessEqual(given.items(), found.items())


class ChangesRootTests(SynchronousTestCase):
    """A library is missing where a program looks under another root."""

    def test_words(self) -> None:
        """The programs are found by name, wherever they are, and only whole."""
        for text in (
            "chroot",
            "/usr/sbin/chroot",
            "cd /srv && chroot . ls",
            "x=$(unshare -r id)",
            "exec bwrap --ro-bind / / sh",
        ):
            self.assertTrue(changes_root(text), text)
        for text in ("", "ls", "chrooted", "my-chroot", "chroot.conf", "/etc/bwrapd"):
            self.assertFalse(changes_root(text), text)


class PerlTests(SynchronousTestCase):
    """Perl flushes its output, and changes nothing else."""

    def perl(
        self, *argv: str, given: dict[str, str] = {}, stdin: str = ""
    ) -> tuple[str, str, int]:
        """Run an un-buffered Perl and return its output, errors and exit code."""
        env = unbuffered(Unbuffer.AUTO, {"PATH": os.environ["PATH"], **given}, None)
        done = subprocess.run(
            ["perl", *argv], env=env, input=stdin, capture_output=True, text=True
        )
        return done.stdout, done.stderr, done.returncode

    def script(self, text: str) -> str:
        """A file with a script."""
        path = str(self.mktemp())
        with open(path, "w") as file:
            file.write(text)
        return path

    def test_flushes(self) -> None:
        """Every way to run a Perl program has it flush from the start."""
        shown = 'print "$|\\n"'
        self.assertEqual(self.perl("-e", shown), ("1\n", "", 0))
        self.assertEqual(self.perl("-we", shown), ("1\n", "", 0))
        self.assertEqual(self.perl("-E", "say $|"), ("1\n", "", 0))
        self.assertEqual(self.perl("-", stdin=shown), ("1\n", "", 0))
        self.assertEqual(self.perl(self.script(shown)), ("1\n", "", 0))
        self.assertEqual(self.perl("-ne", shown, stdin="a\nb\n"), ("1\n1\n", "", 0))
        self.assertEqual(self.perl("-pe", "s/a/$|/", stdin="ab\n"), ("1b\n", "", 0))
        given = {"PERL5OPT": "-MList::Util=sum -w"}
        found = self.perl("-e", 'print sum(1, 2), "$^W$|"', given=given)
        self.assertEqual(found, ("311", "", 0))

    def test_strictness(self) -> None:
        """A program is as strict as it says itself."""
        self.assertEqual(self.perl("-e", "$x = 1; print $x"), ("1", "", 0))
        for options in (("-Mstrict",), ("-Mv5.36",)):
            out, said, code = self.perl(*options, "-e", "$x = 1")
            self.assertIn("explicit package name", said)
            self.assertEqual((out, code), ("", 255))

    def test_lines(self) -> None:
        """Errors and data are where they are in the file."""
        path = self.script(
            "#!/usr/bin/perl -w\nuse strict;\nprint scalar <DATA>;\n"
            "warn __LINE__;\ndie;\n__DATA__\ndata\n"
        )
        out, said, code = self.perl(path)
        self.assertEqual((out, code), ("data\n", 255))
        self.assertIn(f"4 at {path} line 4, <DATA> line 1.", said)
        self.assertIn(f"Died at {path} line 5, <DATA> line 1.", said)

    def test_taint(self) -> None:
        """Under taint checks Perl takes no variable's word, and does not complain."""
        path = self.script('#!/usr/bin/perl -T\nprint "${^TAINT} $|"')
        self.assertEqual(self.perl("-T", path), ("1 0", "", 0))

    for each in (test_flushes, test_strictness, test_lines, test_taint):
        each.skip = needs("perl")
