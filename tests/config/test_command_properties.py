"""Properties of L{shellstream.config.command}: the limits of every client."""

from attrs import frozen
from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.command import Command, Invocation
from shellstream.config.parameters import Boolean, Integer, Number, Parameter, String
from shellstream.config.templates import placeholders
from shellstream.model.errors import ParametersRefused
from shellstream.process.environment import environment, inherited
from tests.support.parameters import VALUES

NAMES = ("a", "b", "cc")
#: What the operator writes between placeholders; braces have examples of their own.
LITERALS = st.text("-x =$é'\n", min_size=1, max_size=3)
#: What clients like to try.
TRICKS = st.sampled_from(
    [
        "",
        "",
        "",
        "-",
        "-rf",
        "x",
        "a b",
        "{a}",
        "{{a}}",
        "$(id)",
        "`id`",
        ";",
        "'",
        "\n",
    ]
)


@frozen
class Literal:
    """Text that the operator wrote."""

    text: str


@frozen
class Filled:
    """A placeholder."""

    name: str


@frozen
class Braces:
    """A name in double braces: a literal C{{name}}."""

    name: str


def template(item: list[Literal | Filled | Braces]) -> str:
    """An argv item as it stands in a configuration."""
    written = {Literal: "{0.text}", Filled: "{{{0.name}}}", Braces: "{{{{{0.name}}}}}"}
    return "".join(written[type(piece)].format(piece) for piece in item)


def parts(item: list[Literal | Filled | Braces], texts: dict[str, str]) -> list[str]:
    """The expected text of each piece of an item, found without looking for braces."""
    found = []
    for piece in item:
        match piece:
            case Literal(text):
                found.append(text)
            case Filled(name):
                found.append(texts[name])
            case Braces(name):
                found.append(f"{{{name}}}")
    return found


NUMBERS = st.integers(-9, 9)
WORDS = st.sampled_from(["-v", "x", ""])


def declared(name: str) -> st.SearchStrategy[tuple[Parameter, object]]:
    """A parameter and a value for it, which mostly fits."""
    named, dash = st.just(name), st.booleans()
    low = st.sampled_from([None, -9, -9])
    a_string = st.builds(String, name=named, allow_leading_dash=dash)
    a_choice = st.builds(String, name=named, choices=st.just(("-v", "x", "")))
    an_integer = st.builds(Integer, name=named, min=low, allow_leading_dash=dash)
    return st.one_of(
        st.tuples(a_string, TRICKS),
        st.tuples(a_string, TRICKS | st.text(max_size=3)),
        st.tuples(a_choice, WORDS),
        st.tuples(an_integer, NUMBERS | NUMBERS.map(str)),
        st.tuples(st.builds(Number, name=named, min=low), NUMBERS),
        st.tuples(st.builds(Boolean, name=named), st.booleans()),
        st.tuples(st.builds(String, name=named, default=WORDS), st.just(...)),
        st.tuples(a_string, VALUES),
    )


@frozen
class Case:
    """The declared parameters, and a client's values for them."""

    params: dict[str, Parameter]
    sent: list[tuple[str, object]]


def case(cases: tuple[tuple[Parameter, object], ...]) -> Case:
    sent = [(each.name, value) for each, value in cases if value is not ...]
    return Case({each.name: each for each, _ in cases}, sent)


CASES = st.tuples(*map(declared, NAMES)).map(case)
PIECES = st.one_of(
    LITERALS.map(Literal),
    st.sampled_from(NAMES).map(Filled),
    st.sampled_from(NAMES).map(Filled),
    st.sampled_from(NAMES).map(Braces),
)
ITEMS = st.lists(st.lists(PIECES, max_size=4), max_size=3)
#: Items that a dash may come to the front of.
DASHED = st.lists(
    st.sampled_from(NAMES).map(Filled) | st.just(Literal("-")), min_size=1, max_size=3
)
#: Names and values at random, few of which will do.
ANYTHING = st.lists(
    st.tuples(st.sampled_from([*NAMES, "d", "e" * 90]), VALUES), max_size=4
)


def says_so(parameter: Parameter) -> bool:
    """Return whether values of this parameter may begin with a dash."""
    match parameter:
        case String(choices=choices) if choices is not None:
            return True
        case Integer(min=low) | Number(min=low) if low is not None and low < 0:
            return True
    return parameter.allow_leading_dash


def leaders(item: list[Literal | Filled | Braces], texts: dict[str, str]) -> list[str]:
    """
    The parameters that decide how an item begins: the one that it begins with, or
    those that are empty before the operator's own text.
    """
    for index, (piece, part) in enumerate(zip(item, parts(item, texts), strict=True)):
        if part:
            ahead = [piece] if isinstance(piece, Filled) else item[:index]
            return [each.name for each in ahead if isinstance(each, Filled)]
    return []


def invoked(
    command: Command, sent: list[tuple[str, object]]
) -> tuple[Invocation, dict[str, str]]:
    """The invocation, and the text of each parameter; L{None} if it is refused."""
    try:
        found = command.invoke(sent)
    except ParametersRefused:
        assume(False)
        raise
    texts = {n: p.default for n, p in command.params.items() if p.default is not None}
    texts |= {name: command.params[name].accept(value) for name, value in sent}
    return found, texts


class InvokeProperties(SynchronousTestCase):
    """Invariants of every command, for any parameters of a client."""

    @given(CASES, ITEMS)
    def test_argv(self, case, items) -> None:
        """The argv has as many items as configured, with all literal text in place."""
        argv = ("program", *map(template, items))
        command = Command(name="c", argv=argv, params=case.params)
        found, texts = invoked(command, case.sent)
        expected = ["".join(parts(item, texts)) for item in items]
        self.assertEqual(found, Invocation(("program", *expected), {}, texts))

    @given(CASES, st.lists(DASHED, min_size=1, max_size=3))
    def test_dash(self, case, items) -> None:
        """No value makes an item begin with a dash, unless the operator allowed it."""
        argv = ("program", *map(template, items))
        command = Command(name="c", argv=argv, params=case.params)
        found, texts = invoked(command, case.sent)
        for item, filled in zip(items, found.argv[1:], strict=True):
            names = leaders(item, texts)
            if filled.startswith("-") and names:
                meant = [says_so(case.params[name]) for name in names]
                self.assertTrue(any(meant), (item, filled))

    @given(CASES, ITEMS)
    def test_again(self, case, items) -> None:
        """The recorded parameters give the same run again, after a restart."""
        argv = ("program", *map(template, items))
        command = Command(name="c", argv=argv, params=case.params)
        found, _ = invoked(command, case.sent)
        self.assertEqual(command.invoke(found.params.items()), found)

    @given(CASES, st.text("$abc {}'\"\n", min_size=1))
    def test_script(self, case, script) -> None:
        """A script is constant for any values; they are only in the environment."""
        command = Command(name="c", shell=script, params=case.params)
        found, texts = invoked(command, case.sent)
        self.assertEqual(found.argv, ("/bin/sh", "-c", script, "c"))
        self.assertEqual(found.env, texts)
        for name, text in texts.items():
            if text.startswith("-"):
                self.assertTrue(says_so(case.params[name]), (name, text))

    @given(CASES, ITEMS, ANYTHING)
    def test_refused(self, case, items, sent) -> None:
        """Everything else is refused, with at least one parameter named."""
        argv = ("program", *map(template, items))
        try:
            Command(name="c", argv=argv, params=case.params).invoke(sent)
        except ParametersRefused as refused:
            self.assertTrue(refused.refused)
            for each in refused.refused:
                self.assertIn(each.name, {*NAMES, *(name[:80] for name, _ in sent)})
                self.assertTrue(each.detail)

    @given(CASES, st.dictionaries(st.text(max_size=5), st.text(max_size=3)))
    def test_environment(self, case, daemon) -> None:
        """A child's variables are its parameters, the command's own, and a few more."""
        command = Command(name="c", shell="x", params=case.params, env={"OWN": "1"})
        found, _ = invoked(command, case.sent)
        given = {**daemon, "PATH": "/bin", "TOKEN": "x"}
        env = environment(inherited(given), command, found, "id")
        passed = {name for name in env if name.startswith("LC_")}
        passed |= {"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"}
        self.assertEqual(set(env) - passed, {"OWN", "SHELLSTREAM_RUN", *NAMES})

    @given(ITEMS)
    def test_placeholders(self, items) -> None:
        """The names that an item is filled with are those of its placeholders."""
        for item in items:
            expected = [piece.name for piece in item if isinstance(piece, Filled)]
            self.assertEqual(placeholders(template(item)), expected)
