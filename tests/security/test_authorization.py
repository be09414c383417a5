"""Tests for authorization."""

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.tables import Mistake, Table
from shellstream.security.authorization import (
    ANONYMOUS,
    DEFAULT_ACTIONS,
    EVERYTHING,
    Action,
    Grant,
    Principal,
    Verdict,
    decide,
    grant_document,
)

ALICE = Principal(name="alice", grant=Grant(), credential="test")


def may(grant: Grant, action: Action, *about: str | None) -> Verdict:
    """Return the verdict for alice with this grant."""
    return decide(evolve(ALICE, grant=grant), action, *about)


class DecideTests(SynchronousTestCase):
    """One pure function decides."""

    def test_actions(self) -> None:
        """An action that is not granted is forbidden for every command and owner."""
        grant = Grant(commands=("build",), actions=frozenset({Action.READ}), own=True)
        for about in ((), ("build",), ("other",), ("build", "alice"), ("x", "bob")):
            self.assertIs(may(grant, Action.RUN, *about), Verdict.FORBIDDEN)

    def test_commands(self) -> None:
        """Commands are granted by patterns; all others are not there."""
        grant = Grant(commands=("build*", "test-?"))
        for name in ("build", "build-all", "test-1"):
            self.assertIs(may(grant, Action.RUN, name), Verdict.ALLOWED)
        for name in ("Build", "rebuild", "test-12", "test", ""):
            self.assertIs(may(grant, Action.RUN, name), Verdict.HIDDEN, name)

    def test_own(self) -> None:
        """A principal limited to its own runs does not learn of others."""
        grant = Grant(own=True)
        self.assertIs(may(grant, Action.READ, "build", "alice"), Verdict.ALLOWED)
        self.assertIs(may(grant, Action.READ, "build", "bob"), Verdict.HIDDEN)
        self.assertIs(may(Grant(), Action.READ, "build", "bob"), Verdict.ALLOWED)

    def test_usual(self) -> None:
        """A grant does not allow the deletion of runs by default."""
        self.assertIs(may(Grant(), Action.ADMIN, "build", "alice"), Verdict.FORBIDDEN)
        self.assertIs(may(Grant(), Action.METRICS), Verdict.FORBIDDEN)
        unusual = {Action.ADMIN, Action.METRICS}
        self.assertEqual(DEFAULT_ACTIONS, frozenset(Action) - unusual)

    @given(
        st.sampled_from(list(Action)),
        st.none() | st.text(),
        st.none() | st.text(),
    )
    def test_everything(self, action: Action, command: str, owner: str) -> None:
        """Anonymous clients, where they are admitted, may do everything."""
        verdict = decide(ANONYMOUS, action, command, owner)
        self.assertIs(verdict, Verdict.ALLOWED)

    @given(
        st.sets(st.sampled_from(list(Action))),
        st.lists(st.sampled_from(["*", "a*", "b", "?"]), min_size=1),
        st.booleans(),
        st.sampled_from(list(Action)),
        st.sampled_from([None, "a", "ab", "b", "c"]),
        st.sampled_from([None, "alice", "bob"]),
    )
    def test_less_is_never_more(
        self, actions, commands, own, action, command, owner
    ) -> None:
        """A wider grant allows everything that a narrower one allows."""
        narrow = Grant(commands=tuple(commands), actions=frozenset(actions), own=own)
        about = command, owner
        if may(narrow, action, *about) is Verdict.ALLOWED:
            for wider in (
                evolve(narrow, own=False),
                evolve(narrow, commands=("*",)),
                evolve(narrow, actions=frozenset(Action)),
            ):
                self.assertIs(may(wider, action, *about), Verdict.ALLOWED)


class ReadTests(SynchronousTestCase):
    """A grant in the configuration."""

    def read(self, values: dict[str, object]) -> tuple[Grant, list[Mistake]]:
        mistakes: list[Mistake] = []
        table = Table("t", "t", values, mistakes)
        grant = table.read_settings(Grant)
        table.report_unknown()
        return grant, mistakes

    def test_round(self) -> None:
        """The document of a grant parses to the same grant."""
        for grant in (Grant(), EVERYTHING, Grant(commands=("a*", "b"), own=True)):
            self.assertEqual(self.read(grant_document(grant)), (grant, []))

    def test_mistakes(self) -> None:
        """A mistake is reported with the allowed values."""
        wrong = {"commands": [""], "actions": ["run", "fly"], "own": 1}
        _, mistakes = self.read(wrong)
        self.assertEqual(
            list(map(str, mistakes)),
            [
                "t.commands: found ['']; allowed: a list of patterns of commands' "
                "names, such as ['build*'], in which * and ? stand for others",
                "t.actions: found ['run', 'fly']; allowed: a list of some of run, "
                "read, write, signal, admin, metrics",
                "t.own: found 1; allowed: true or false",
            ],
        )
