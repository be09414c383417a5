"""What was done to tokens, and by whom, until a daemon has noted it in its audit."""

import json
import os
import pwd
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import asdict, frozen

from .access import names_of
from .audit import Entry, What
from .tokens import Token

#: How many are kept: the newest, and how many others there were.
MOST = 1000


@frozen
class Done:
    """
    One thing that was done.

    @ivar time: when, in microseconds since 1970.
    @ivar by: the account that did it; empty, if nobody knows.
    @ivar what: C{made}, C{changed} or C{revoked}; or C{gap}, for what is not kept.
    """

    time: int
    by: str
    what: str
    token: str = ""
    facts: Mapping[str, str | int | None] = {}

    @classmethod
    def of(cls, time: int, by: str, what: str, token: Token) -> "Done":
        """What was done to a token."""
        grant = token.grant
        facts = {
            "name": token.name,
            "commands": ", ".join(grant.commands),
            "actions": ", ".join(names_of(grant.actions)),
            "own": "true" if grant.own else None,
        }
        return cls(time, by, what, token.id, facts)

    @property
    def entry(self) -> Entry:
        """What the audit has of it."""
        if self.what == What.GAP.value:
            return Entry(what=What.GAP, facts=self.facts)
        return Entry(
            what=What(f"token-{self.what}"),
            who=self.by,
            credential="account" if self.by else "",
            facts={"token": self.token, **self.facts},
        )


def account(environ: Mapping[str, str]) -> str:
    """Who has this process do something, as the system knows them."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    other = environ.get("SUDO_USER", "")
    if os.getuid() == 0 and re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", other, re.ASCII):
        return f"{name} (sudo: {other})"
    return name


def render(done: Sequence[Done]) -> str:
    """The newest of what was done, a line each."""
    if len(done) > MOST:
        left_out = done[: 1 - MOST]
        times = sum(_times(each) for each in left_out)
        first = Done(left_out[0].time, "", What.GAP.value, facts={"times": times})
        done = [first, *done[1 - MOST :]]
    return "".join(f"{json.dumps(asdict(each))}\n" for each in done)


def _times(done: Done) -> int:
    times = done.facts.get("times") if done.what == What.GAP.value else 1
    return times if isinstance(times, int) else 1


def parse(text: str) -> Iterable[Done]:
    """What L{render} has written; of a line that is none, that there was one."""
    for line in text.splitlines():
        try:
            members: dict[str, Any] = json.loads(line)
            done = Done(**members)
            done.entry  # noqa: B018  # whether it can be one
            time = done.time
            sound = type(time) is int and isinstance(done.facts, dict)
        except (ValueError, TypeError, RecursionError, AttributeError):
            sound, time = False, 0
        yield done if sound else Done(0, "", What.GAP.value, facts={"times": 1})
