"""Tests for L{shellstream.config.command}.

How a command becomes an argv, by example.
"""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.command import Command, Invocation
from shellstream.config.parameters import (
    Boolean,
    Integer,
    Number,
    Parameter,
    Path,
    String,
)
from shellstream.config.templates import placeholders
from shellstream.model.errors import ParametersRefused
from shellstream.model.run_input import Tty
from shellstream.process.environment import environment, inherited


def command(*argv: str, shell: str | None = None, **params: Parameter) -> Command:
    """A command with these parameters, each under its own name."""
    return Command(name="c", argv=argv, shell=shell, params=params)


class InvokeTests(SynchronousTestCase):
    """A L{Command} accepts values that fit, and names those that do not."""

    def assert_refused(
        self, asked: Command, given: list[tuple[str, object]], **expected: str
    ) -> None:
        """Exactly these parameters are named, each with words like these."""
        error = self.assertRaises(ParametersRefused, asked.invoke, given)
        found = {refusal.name: refusal.detail for refusal in error.refused}
        self.assertEqual(set(found), set(expected))
        for name, words in expected.items():
            self.assertIn(words, found[name])

    def test_as_configured(self) -> None:
        """A command without parameters is executed unchanged, with its braces."""
        argv = (
            "awk",
            "{print $1}",
            "{",
            "}",
            "{}",
            "${x}"[:1],
            "{ a }",
            "a\nb",
            "",
            "-x",
        )
        self.assertEqual(command(*argv).invoke([]), Invocation(argv, {}, {}))

    def test_filled(self) -> None:
        """Placeholders are filled wherever they are, and more than once."""
        asked = command(
            "make",
            "{t}",
            "--out={t}/{n}",
            "{t}{t}",
            t=String(name="t"),
            n=Integer(name="n"),
        )
        found = asked.invoke([("t", "all"), ("n", 4)])
        self.assertEqual(found.argv, ("make", "all", "--out=all/4", "allall"))
        self.assertEqual(found.env, {})

    def test_literal_braces(self) -> None:
        """Double braces stand for single ones, and are not filled."""
        asked = command("echo", "{{t}}", "{{t}}{t}", t=String(name="t"))
        self.assertEqual(asked.invoke([("t", "x")]).argv, ("echo", "{t}", "{t}x"))

    def test_not_filled_twice(self) -> None:
        """A value that looks like a placeholder is not filled."""
        asked = command("echo", "{a}{b}", a=String(name="a"), b=String(name="b"))
        found = asked.invoke([("a", "{b}"), ("b", "{{a}}")])
        self.assertEqual(found.argv, ("echo", "{b}{{a}}"))

    def test_one_item_whatever_is_in_it(self) -> None:
        """Spaces, quotes and line breaks make no further items."""
        asked = command("echo", "{t}", t=String(name="t"))
        for text in ("a b", "'; rm -rf / #", "a\nb", '"', "", "$(id)", "`id`"):
            self.assertEqual(asked.invoke([("t", text)]).argv, ("echo", text))

    def test_default(self) -> None:
        """A parameter that is not sent is filled with its default."""
        asked = command("make", "-j{n}", n=Integer(name="n", default="2"))
        self.assertEqual(asked.invoke([]).argv, ("make", "-j2"))
        self.assertEqual(asked.invoke([("n", "3")]).argv, ("make", "-j3"))

    def test_script(self) -> None:
        """A script stays as it was written; values are its variables."""
        asked = command(shell='echo "$t"', t=String(name="t"), b=Boolean(name="b"))
        found = asked.invoke([("t", '"; id'), ("b", True)])
        self.assertEqual(found.argv, ("/bin/sh", "-c", 'echo "$t"', "c"))
        self.assertEqual(found.env, {"t": '"; id', "b": "true"})

    def test_all_refused_at_once(self) -> None:
        """Every parameter that does not fit is named."""
        self.assert_refused(
            command(
                "x",
                "{a}{b}{c}{missing}",
                a=Integer(name="a"),
                b=String(name="b"),
                c=Boolean(name="c"),
                missing=String(name="missing"),
                n=Integer(name="n", min=1, max=5),
                either=String(name="either", choices=("x", "y")),
            ),
            [("a", "x"), ("b", "1"), ("b", "2"), ("c", "maybe"), ("misssing", "x")],
            a="takes an integer",
            b="is given more than once",
            c="takes true or false",
            missing="is required (string)",
            n="is required (integer from 1 to 5)",
            either="is required (one of: x, y)",
            misssing="is not a parameter of 'c' (did you mean 'missing'?)",
        )

    def test_many_choices(self) -> None:
        """A refusal lists some of thousands of choices, and says how many there are."""
        choices = tuple(f"choice{n}" for n in range(5000))
        asked = command("x", "{c}", c=String(name="c", choices=choices))
        for given in ([("c", "x")], []):
            refused = self.assertRaises(ParametersRefused, asked.invoke, given)
            self.assertIn("choice19, and 4980 more", str(refused))
            self.assertLess(len(str(refused)), 400)

    def test_one_hint(self) -> None:
        """Of many unknown names the first one gets a hint: it costs the most."""
        asked = command("x", "{name}", name=String(name="name", default=""))
        refused = self.assertRaises(
            ParametersRefused, asked.invoke, [("nmae", ""), ("naem", "")]
        )
        self.assertEqual(str(refused).count("did you mean"), 1)

    def test_repeated(self) -> None:
        """A parameter sent twice is refused, even with the same value."""
        asked = command("x", "{a}", a=String(name="a"))
        twice: list[tuple[str, object]] = [("a", "1"), ("a", "1")]
        self.assert_refused(asked, twice, a="more than once")
        unknown: list[tuple[str, object]] = [("a", "1"), ("z", "1"), ("z", "1")]
        self.assert_refused(asked, unknown, z="is not a parameter")

    def test_long_name(self) -> None:
        """A very long name is cut in the answer."""
        asked = command("x")
        self.assert_refused(
            asked, [("n" * 60_000, "")], **{"n" * 80: "is not a parameter"}
        )


class InputTests(SynchronousTestCase):
    """The operator must allow input and terminals."""

    def refused(self, command: Command, **wish: Any) -> list[str]:
        """The names of refused wishes, each with the key that would allow it."""
        with self.assertRaises(ParametersRefused) as caught:
            command.invoke([], **wish)
        for each in caught.exception.refused:
            self.assertIn(f"with {each.name} = true", each.detail)
        return [each.name for each in caught.exception.refused]

    def test_not_allowed(self) -> None:
        """By default, neither input nor a terminal is allowed."""
        command = Command(name="c", argv=("c",))
        self.assertEqual(self.refused(command, stdin=True), ["stdin"])
        self.assertEqual(self.refused(command, tty=Tty()), ["tty"])
        self.assertEqual(self.refused(command, stdin=True, tty=Tty()), ["tty"])
        self.assertEqual(command.invoke([]).stdin, False)

    def test_each_for_itself(self) -> None:
        """Each can be allowed alone; a terminal includes its input."""
        reads = Command(name="c", argv=("c",), stdin=True)
        self.assertEqual(self.refused(reads, stdin=True, tty=Tty()), ["tty"])
        self.assertTrue(reads.invoke([], stdin=True).stdin)
        sits = Command(name="c", argv=("c",), tty=True)
        self.assertEqual(self.refused(sits, stdin=True), ["stdin"])
        for stdin in (False, True):
            made = sits.invoke([], stdin, Tty(rows=1))
            self.assertEqual((made.stdin, made.tty), (True, Tty(rows=1)))

    def test_type(self) -> None:
        """C{TERM} comes from the client's terminal, unless C{env} has one."""
        for env, expected in (({}, "vt100"), ({"TERM": "dumb"}, "dumb")):
            command = Command(name="c", argv=("c",), tty=True, env=env)
            made = command.invoke([], tty=Tty(term="vt100"))
            given = {"TERM": "daemon's"}
            found = environment(given, command, made, "id")
            self.assertEqual(found["TERM"], expected)


class LeadingDashTests(SynchronousTestCase):
    """No value makes an item an option, unless the operator allowed it."""

    def assert_dash(self, asked: Command, name: str | None, **values: object) -> None:
        """These values are refused for C{name}'s dash; L{None}: they are accepted."""
        if name is None:
            asked.invoke(values.items())
            return
        error = self.assertRaises(ParametersRefused, asked.invoke, values.items())
        refused = [(each.name, each.detail) for each in error.refused]
        self.assertEqual(refused, [(name, "must not begin with '-'")])

    def test_leads(self) -> None:
        """A value at the start of an item may not begin with a dash."""
        asked = command("rm", "{f}", f=String(name="f"))
        for text in ("-", "-rf", "--no-preserve-root"):
            self.assert_dash(asked, "f", f=text)
        self.assert_dash(asked, None, f="a-b")

    def test_led(self) -> None:
        """A value that follows the operator's own text may begin with anything."""
        asked = command("x", "--f={f}", "./{f}", "{{f}}{f}", f=String(name="f"))
        self.assert_dash(asked, None, f="-rf")

    def test_past_empty(self) -> None:
        """If the first value is empty, the next one is at the start."""
        asked = command("x", "{a}{b}", a=String(name="a"), b=String(name="b"))
        self.assert_dash(asked, "b", a="", b="-rf")
        self.assert_dash(asked, "a", a="-", b="")
        self.assert_dash(asked, None, a="x", b="-rf")

    def test_empty_before_literal_dash(self) -> None:
        """An empty value does not turn the operator's own dash into an option's."""
        user, file = String(name="user"), String(name="file")
        asked = command("rm", "{user}-{file}", user=user, file=file)
        sent: list[tuple[str, object]] = [("user", ""), ("file", "rf")]
        error = self.assertRaises(ParametersRefused, asked.invoke, sent)
        (refusal,) = error.refused
        self.assertEqual(
            (refusal.name, refusal.detail), ("user", "must not be empty here")
        )
        fine = asked.invoke([("user", "u"), ("file", "")])
        self.assertEqual(fine.argv, ("rm", "u-"))

    def test_empty_is_named(self) -> None:
        """The empty value is refused, not a later one with a dash."""
        a, b = String(name="a"), String(name="b")
        asked = command("x", "{a}-{b}", a=a, b=b)
        sent: list[tuple[str, object]] = [("a", ""), ("b", "-x")]
        error = self.assertRaises(ParametersRefused, asked.invoke, sent)
        self.assertEqual([each.name for each in error.refused], ["a"])

    def test_empty_elsewhere(self) -> None:
        """An empty value is accepted where no dash follows it."""
        a, b = String(name="a", default=""), String(name="b", default="")
        for template in (
            "{a}",
            "{a}x-",
            "-{a}-",
            "x{a}-",
            "{{a}}{b}-",
            "{a}{{b}}-",
            "{a}{b}",
        ):
            self.assert_dash(command("x", template, a=a, b=b), None)
        for template in ("{a}-", "{a}{b}-x"):
            asked = command("x", template, a=a, b=b)
            error = self.assertRaises(ParametersRefused, asked.invoke, [])
            self.assertEqual([each.name for each in error.refused], ["a"])

    def test_script_variables(self) -> None:
        """A script's variables may be used anywhere: none may begin with a dash."""
        asked = command(shell='rm "$f"', f=String(name="f"))
        self.assert_dash(asked, "f", f="-rf")

    def test_allowed(self) -> None:
        """The operator may allow it."""
        asked = command("x", "{f}", f=String(name="f", allow_leading_dash=True))
        self.assertEqual(asked.invoke([("f", "-x")]).argv, ("x", "-x"))

    def test_choices(self) -> None:
        """A choice with a dash is allowed; no other value is."""
        asked = command("x", "{f}", f=String(name="f", choices=("-v", "-q")))
        self.assertEqual(asked.invoke([("f", "-v")]).argv, ("x", "-v"))
        self.assertRaises(ParametersRefused, asked.invoke, [("f", "-x")])

    def test_negative_numbers(self) -> None:
        """A negative minimum allows the dash of negative numbers."""
        for kind in (Integer, Number):
            below, above, either = (kind(name="n", min=low) for low in (-5, 0, None))
            self.assert_dash(command("x", "{n}", n=below), None, n=-3)
            self.assert_dash(command("x", "{n}", n=above), None, n=3)
            self.assert_dash(command("x", "{n}", n=either), "n", n=-3)

    def test_negative_zero(self) -> None:
        """Negative zero is refused, too."""
        asked = command("x", "{n}", n=Number(name="n", min=0))
        self.assert_dash(asked, "n", n="-0.0")

    def test_paths(self) -> None:
        """A path is absolute once it is resolved, so its name may have a dash."""
        path = Path(name="f", roots=("/srv",), resolve=lambda text: text)
        self.assert_dash(command("x", "{f}", f=path), None, f="-rf")


class PlaceholderTests(SynchronousTestCase):
    """L{placeholders} names the placeholders of an item."""

    def test_found(self) -> None:
        """Only single braces round a name are a placeholder."""
        found = {
            "{a}": ["a"],
            "x{a}y{b_1}{a}": ["a", "b_1", "a"],
            "{{a}}": [],
            "{{{a}}}": [],
            "{}{1}{a-b}{ a}{é}{a": [],
            "${HOME}": ["HOME"],
        }
        for item, names in found.items():
            with self.subTest(item=item):
                self.assertEqual(placeholders(item), names)


class EnvironmentTests(SynchronousTestCase):
    """A child's environment is an allow-list."""

    def test_allow_list(self) -> None:
        """
        The environment has a few variables of the daemon, the command's, and the
        values.
        """
        daemon = {
            "PATH": "/bin",
            "HOME": "/root",
            "LC_ALL": "C",
            "LANG": "de",
            "SECRET": "x",
            "PYTHONPATH": "/x",
            "SHELLSTREAM_URL": "http://x",
            "LCALL": "x",
        }
        asked = Command(name="c", shell="x", env={"LANG": "fr", "A": "1", "v": "0"})
        found = environment(
            inherited(daemon), asked, Invocation(("x",), {"v": "1"}, {}), "id"
        )
        self.assertEqual(
            found,
            {
                "PATH": "/bin",
                "HOME": "/root",
                "LC_ALL": "C",
                "LANG": "fr",
                "A": "1",
                "v": "1",
                "SHELLSTREAM_RUN": "id",
            },
        )

    def test_run(self) -> None:
        """Neither a configuration nor a client can set the id of the run."""
        name = "SHELLSTREAM_RUN"
        asked = Command(name="c", shell="x", env={name: "forged"})
        filled = Invocation(("x",), {name: "forged"}, {})
        found = environment({name: "forged"}, asked, filled, "id")
        self.assertEqual(found, {name: "id"})
