"""Who may do what: the values that say so, and the one function that decides."""

from collections.abc import Iterable
from enum import Enum
from fnmatch import fnmatchcase

from attrs import frozen

from shellstream.model.checks import boolean, list_of, matching, one_of
from shellstream.model.tables import setting


class Action(Enum):
    """
    What may be done.

    C{READ} shows runs and their output, C{WRITE} is input and the size of a terminal,
    C{SIGNAL} includes cancel, and makes a command wait for its viewer; C{ADMIN}
    forgets ended runs.
    """

    RUN = "run"
    READ = "read"
    WRITE = "write"
    SIGNAL = "signal"
    ADMIN = "admin"


#: What a credential may if nobody says: all but to make something be forgotten.
USUAL_ACTIONS = frozenset(Action) - {Action.ADMIN}


#: Actions by their names.
actions = list_of(
    one_of(Action), f"a list of some of {', '.join(each.value for each in Action)}"
).then(frozenset)

#: Patterns of commands' names. They have no brackets, which SQLite's GLOB reads in
#: another way.
patterns = list_of(
    matching("[A-Za-z0-9._*?-]{1,128}", "a pattern"),
    "a list of patterns of commands' names, such as ['build*'], in which * and ? stand "
    "for others",
)


@frozen(kw_only=True)
class Grant:
    """What somebody may do, and to what."""

    commands: tuple[str, ...] = setting(
        "Patterns of the commands that the grant is for; `*` and `?` stand for other "
        "characters.",
        patterns,
        ("*",),
    )
    actions: frozenset[Action] = setting(
        "What the grant allows: `run` starts runs, `read` shows them and their output, "
        "`write` sends input, `signal` sends signals and cancels, `admin` deletes "
        "ended runs.",
        actions,
        USUAL_ACTIONS,
    )
    own: bool = setting(
        "Whether the grant is only for runs of the principal's own.", boolean, False
    )

    def covers(self, command: str) -> bool:
        """Whether it is for this command."""
        return any(fnmatchcase(command, each) for each in self.commands)


EVERYTHING = Grant(actions=frozenset(Action))


@frozen(kw_only=True)
class Principal:
    """
    One who asks.

    @ivar name: whose the runs are that they start.
    @ivar credential: what they have shown; whoever revokes it ends what it opened.
    @ivar expires: when that is no longer good, in microseconds since 1970.
    """

    name: str
    grant: Grant
    credential: str
    expires: int | None = None


#: Who asks where nobody has to say who they are.
ANONYMOUS = Principal(name="anonymous", grant=EVERYTHING, credential="none")


@frozen
class Caller:
    """
    Somebody who asks, and where from.

    @ivar address: of their machine, as far as it is known.
    """

    principal: Principal = ANONYMOUS
    address: str = ""


#: Where nobody has to say who they are, nor where from.
SOMEBODY = Caller()


class Verdict(Enum):
    """
    What is decided.

    C{HIDDEN} is no different from what is not there: who may not see it is not to
    learn that it is.
    """

    ALLOWED = "allowed"
    FORBIDDEN = "forbidden"
    HIDDEN = "hidden"


def decide(
    principal: Principal,
    action: Action,
    command: str | None = None,
    owner: str | None = None,
) -> Verdict:
    """
    Whether somebody may do something.

    What depends on the action alone is decided alike for all commands and runs, and
    before anybody looks whether they are there.

    @param command: what it is about, if it is about one.
    @param owner: who started the run that it is about, if it is about one.
    """
    grant = principal.grant
    if action not in grant.actions:
        return Verdict.FORBIDDEN
    if command is not None and not grant.covers(command):
        return Verdict.HIDDEN
    if owner is not None and grant.own and owner != principal.name:
        return Verdict.HIDDEN
    return Verdict.ALLOWED


def named(grant: Grant) -> dict[str, object]:
    """A grant as a file or a list of tokens shows it."""
    return {
        "commands": list(grant.commands),
        "actions": names_of(grant.actions),
        "own": grant.own,
    }


def names_of(actions: Iterable[Action]) -> list[str]:
    """The names of actions, in their usual order."""
    return [each.value for each in Action if each in actions]
