"""Who may do what: the values that say so, and the one function that decides."""

import re
from collections.abc import Iterable
from enum import Enum
from fnmatch import fnmatchcase

from attrs import frozen

from shellstream.model.tables import NotAllowed, Table, boolean, strings


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


@frozen(kw_only=True)
class Grant:
    """
    What somebody may do, and to what.

    @ivar commands: patterns of their names, in which C{*} and C{?} stand for others.
    @ivar own: whether only to runs that they started themselves.
    """

    commands: tuple[str, ...] = ("*",)
    actions: frozenset[Action] = USUAL_ACTIONS
    own: bool = False

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


def actions(names: object) -> frozenset[Action]:
    """
    Actions by their names.

    @raise NotAllowed: if there is one that is none.
    """
    known = {each.value: each for each in Action}
    try:
        return frozenset(known[each] for each in strings(names))
    except (KeyError, NotAllowed):
        raise NotAllowed(f"a list of some of {', '.join(known)}") from None


def patterns(texts: object) -> tuple[str, ...]:
    """
    Patterns of commands' names.

    @raise NotAllowed: if there is one that no name can match.
    """
    try:
        found = strings(texts)
    except NotAllowed:
        found = ("",)
    # Without brackets, which SQLite's GLOB reads otherwise.
    if not all(re.fullmatch(r"[A-Za-z0-9._*?-]{1,128}", each) for each in found):
        raise NotAllowed(
            "a list of patterns of commands' names, such as ['build*'], in which * "
            "and ? stand for others"
        )
    return found


def read_grant(table: Table) -> Grant:
    """The keys of a table that say what somebody may do."""
    return Grant(
        commands=table.read("commands", patterns, ("*",)),
        actions=table.read("actions", actions, USUAL_ACTIONS),
        own=table.read("own", boolean, False),
    )


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
