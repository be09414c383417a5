"""Tests for L{shellstream.command}: what no client can do, by hypothesis."""

from attrs import frozen
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.command import Command, Invocation, environment, placeholders
from shellstream.errors import ParametersRefused
from shellstream.parameters import Boolean, Integer, Number, Parameter, String
from tests.test_parameter_properties import VALUES

UNHURRIED = settings(deadline=None)
NAMES = ("a", "b", "cc")
#: What the operator writes between placeholders; braces have examples of their own.
LITERALS = st.text("-x =$é'\n", min_size=1, max_size=3)
#: What clients like to try.
TRICKS = st.sampled_from(
    ["", "-", "--", "-rf", "x", "a b", "{a}", "{{a}}", "$(id)", "`id`", ";", "'", "\n"]
)


@frozen
class Literal:
    """Text of the operator's."""

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
    """What each piece of an item ought to become, found without looking for braces."""
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


def parameters(name: str) -> st.SearchStrategy[Parameter]:
    """A parameter of any type; paths have a property of their own."""
    named, dash = st.just(name), st.booleans()
    low = st.sampled_from([None, -5, 0])
    choices = st.sampled_from([None, None, ("-v", "x", "")])
    return st.one_of(
        st.builds(String, name=named, allow_leading_dash=dash, choices=choices),
        st.builds(String, name=named, default=st.sampled_from([None, "", "x"])),
        st.builds(Integer, name=named, min=low, allow_leading_dash=dash),
        st.builds(Number, name=named, min=low),
        st.builds(Boolean, name=named),
    )


PARAMS = st.fixed_dictionaries({name: parameters(name) for name in NAMES})
PIECES = st.one_of(
    LITERALS.map(Literal),
    st.sampled_from(NAMES).map(Filled),
    st.sampled_from(NAMES).map(Filled),
    st.sampled_from(NAMES).map(Braces),
)
ITEMS = st.lists(st.lists(PIECES, max_size=4), max_size=4)
SENT = st.one_of(
    st.fixed_dictionaries(
        {name: TRICKS | st.integers(-9, 9) | st.booleans() | VALUES for name in NAMES}
    ).map(lambda values: list(values.items())),
    st.lists(
        st.tuples(st.sampled_from([*NAMES, "d", ""]), TRICKS | VALUES), max_size=4
    ),
)


def says_so(parameter: Parameter) -> bool:
    """Whether the operator let values of this parameter begin with a dash."""
    match parameter:
        case String(choices=choices) if choices is not None:
            return True
        case Integer(min=low) | Number(min=low) if low is not None and low < 0:
            return True
    return parameter.allow_leading_dash


def invoked(
    command: Command, sent: list[tuple[str, object]]
) -> tuple[Invocation, dict[str, str]]:
    """What is executed, and the text of each parameter; not for what is refused."""
    try:
        found = command.invoke(sent)
    except ParametersRefused:
        assume(False)
        raise
    texts = {n: p.default for n, p in command.params.items() if p.default is not None}
    texts |= {name: command.params[name].accept(value) for name, value in sent}
    return found, texts


#: Most of what is generated is refused, as it ought to be.
PATIENT = settings(UNHURRIED, suppress_health_check=["filter_too_much"])


class InvokeProperties(SynchronousTestCase):
    """What holds for every command, and whatever a client sends."""

    @UNHURRIED
    @given(PARAMS, ITEMS, SENT)
    def test_argv(self, params, items, sent) -> None:
        """As many items as configured, all literal text in place, each value in its."""
        argv = ("program", *map(template, items))
        command = Command(name="c", argv=argv, params=params)
        found, texts = invoked(command, sent)
        expected = ["".join(parts(item, texts)) for item in items]
        self.assertEqual(found, Invocation(("program", *expected), {}))

    @UNHURRIED
    @given(PARAMS, ITEMS, SENT)
    def test_dash(self, params, items, sent) -> None:
        """No item begins with a dash because of a value, unless the operator said so."""
        # BUG in command._leader, as in test_command: '{a}-{b}' with an empty a.
        argv = ("program", *map(template, items))
        found, texts = invoked(Command(name="c", argv=argv, params=params), sent)
        for item, filled in zip(items, found.argv[1:], strict=True):
            if not filled.startswith("-"):
                continue
            first = next(n for n, part in enumerate(parts(item, texts)) if part)
            for piece in item[: first + 1]:
                if isinstance(piece, Filled):
                    self.assertTrue(says_so(params[piece.name]), (item, filled))

    @UNHURRIED
    @given(PARAMS, st.text("$abc {}'\"\n", min_size=1), SENT)
    def test_script(self, params, script, sent) -> None:
        """A script is constant whatever is sent; values are in the environment only."""
        command = Command(name="c", shell=script, params=params)
        found, texts = invoked(command, sent)
        self.assertEqual(found.argv, ("/bin/sh", "-c", script, "c"))
        self.assertEqual(found.env, texts)
        for name, text in texts.items():
            if text.startswith("-"):
                self.assertTrue(says_so(params[name]), (name, text))

    @UNHURRIED
    @given(PARAMS, ITEMS, SENT)
    def test_refused(self, params, items, sent) -> None:
        """All else is refused, with at least one parameter named."""
        argv = ("program", *map(template, items))
        try:
            Command(name="c", argv=argv, params=params).invoke(sent)
        except ParametersRefused as refused:
            self.assertTrue(refused.refusals)
            for each in refused.refusals:
                self.assertIn(each.name, {*NAMES, *(name[:80] for name, _ in sent)})
                self.assertTrue(each.detail)

    @UNHURRIED
    @given(PARAMS, SENT, st.dictionaries(st.text(max_size=5), st.text(max_size=3)))
    def test_environment(self, params, sent, daemon) -> None:
        """A child's variables are its parameters, the command's own, and few more."""
        command = Command(name="c", shell="x", params=params, env={"OWN": "1"})
        found, _ = invoked(command, sent)
        env = environment({**daemon, "PATH": "/bin", "TOKEN": "x"}, command, found)
        passed = {name for name in env if name in ("PATH", "HOME", "LANG")}
        passed |= {name for name in env if name.startswith("LC_")}
        self.assertEqual(set(env) - passed, {"OWN", *NAMES})

    @UNHURRIED
    @given(ITEMS)
    def test_placeholders(self, items) -> None:
        """The names that an item is filled with are those of its placeholders."""
        for item in items:
            expected = [piece.name for piece in item if isinstance(piece, Filled)]
            self.assertEqual(placeholders(template(item)), expected)
