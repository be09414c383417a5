"""Grants, principals, and the one function that decides what they allow."""

from collections.abc import Iterable
from enum import Enum
from fnmatch import fnmatchcase

from attrs import frozen

from shellstream.model.checks import boolean, list_of, matching, one_of
from shellstream.model.tables import setting


class Action(Enum):
    """
    A kind of action that needs a permission.

    C{READ} shows runs and their output. C{WRITE} sends input and sets the size of a
    terminal. C{SIGNAL} includes cancel, and lossless viewing, which can delay a
    command. C{ADMIN} deletes ended runs. C{METRICS} reads what is counted, of all
    commands.
    """

    RUN = "run"
    READ = "read"
    WRITE = "write"
    SIGNAL = "signal"
    ADMIN = "admin"
    METRICS = "metrics"

    # Members are single. Enum's own hashes the name, in two calls of Python.
    __hash__ = object.__hash__


#: The actions of a grant that names none: all but the one that destroys something, and
#: the one that is not only about the commands of the grant.
DEFAULT_ACTIONS = frozenset(Action) - {Action.ADMIN, Action.METRICS}


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
    """What a principal may do, and to which commands and runs."""

    commands: tuple[str, ...] = setting(
        "Patterns of the commands that the grant is for; `*` and `?` stand for other "
        "characters.",
        patterns,
        ("*",),
    )
    actions: frozenset[Action] = setting(
        "What the grant allows: `run` starts runs, `read` shows them and their output, "
        "`write` sends input, `signal` sends signals and cancels, `admin` deletes "
        "ended runs, `metrics` reads `/metrics`.",
        actions,
        DEFAULT_ACTIONS,
    )
    own: bool = setting(
        "Whether the grant is only for runs of the principal's own.", boolean, False
    )

    def covers(self, command: str) -> bool:
        """Whether the grant is for a command."""
        return any(fnmatchcase(command, each) for each in self.commands)


EVERYTHING = Grant(actions=frozenset(Action))


@frozen(kw_only=True)
class Principal:
    """
    A user or program that sends requests.

    @ivar name: the owner of the runs that it starts.
    @ivar credential: the credential that it showed. Revoking that closes the
        connections opened with it.
    @ivar expires: the end of the credential's validity, in microseconds since 1970.
    """

    name: str
    grant: Grant
    credential: str
    expires: int | None = None


#: The principal of requests without a credential, where no credential is required.
ANONYMOUS = Principal(name="anonymous", grant=EVERYTHING, credential="none")


#: The principal of requests to what needs no authentication: it may do nothing.
STRANGER = Principal(
    name="stranger", grant=Grant(actions=frozenset()), credential="none"
)


def is_reserved(name: str) -> bool:
    """Whether a name, in any case, is that of callers without a credential."""
    return name.casefold() in (ANONYMOUS.name, STRANGER.name)


@frozen
class Caller:
    """
    The sender of a request.

    @ivar address: the client's, as far as it is known.
    """

    principal: Principal = ANONYMOUS
    address: str = ""


#: For programs that use the runs without HTTP.
ANONYMOUS_CALLER = Caller()


class Verdict(Enum):
    """
    The result of a decision.

    What is C{HIDDEN} must look as if it did not exist, so that a principal cannot learn
    the names of commands and the ids of runs that it may not see.
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
    Decide whether a principal may do something.

    An action that the grant does not have at all is C{FORBIDDEN}, whether or not the
    command or run exists: so that can be decided before anything is looked up.

    @param command: the command concerned, if it is one.
    @param owner: the principal who started the run concerned, if it is one.
    """
    # The order matters: C{FORBIDDEN} must not depend on the command or the run.
    grant = principal.grant
    if action not in grant.actions:
        return Verdict.FORBIDDEN
    if command is not None and not grant.covers(command):
        return Verdict.HIDDEN
    if owner is not None and grant.own and owner != principal.name:
        return Verdict.HIDDEN
    return Verdict.ALLOWED


def grant_document(grant: Grant) -> dict[str, object]:
    """A grant as the file and the list of tokens show it."""
    return {
        "commands": list(grant.commands),
        "actions": action_names(grant.actions),
        "own": grant.own,
    }


def action_names(actions: Iterable[Action]) -> list[str]:
    """The names of actions, in their usual order."""
    return [each.value for each in Action if each in actions]
