"""The run that a user means: by its id, by a part of it, or by a name."""

import re
from collections.abc import Callable

from shellstream.client.api import Client
from shellstream.client.errors import NoSuchRun
from shellstream.client.events import RunInfo
from shellstream.programs import typed

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: Ids sort by time, and these characters sort behind all others.
_HIGHEST = "ffffffff-ffff-ffff-ffff-ffffffffffff"

#: How many runs are looked at, at most, for the end of an id, or for a run of ours.
MOST_SEARCHED = 5000

#: With so many characters the end of an id is one run's alone, in practice: they are
#: random. The beginning is the time.
_CERTAIN = 8

#: How many runs an error message lists.
_MOST_LISTED = 5


async def find_run(client: Client, text: str) -> str:
    """
    The id of a run. A whole id is taken as it is, without asking the server.

    @param text: an id, its beginning or its end, C{@last}, or C{@NAME} of a command.
    @raise NoSuchRun: if there is no such run, or more than one.
    """
    if text == "@last":
        mine = await client.principal()
        return await _newest(client, "of yours", lambda run: run["principal"] == mine)
    if text.startswith("@"):
        async for run in client.list(command=text[1:], limit=1):
            return run["id"]
        raise NoSuchRun(
            f"no run of {text[1:]!r} is kept; {_how()}, and "
            f"{typed('shellstream')} commands the commands"
        )
    part = text.lower()
    if _ID.fullmatch(part):
        return part
    if not re.fullmatch("[0-9a-f-]+", part):
        raise NoSuchRun(
            f"{text!r} is not the id of a run; {_how()}; @{text} is the last run of "
            f"the command {text!r}"
        )
    found = await _beginning_with(client, part) or await _ending_with(client, part)
    if not found:
        raise NoSuchRun(f"there is no run {text!r}: no id begins or ends so; {_how()}")
    if len(found) > 1:
        listed = ", ".join(f"{run['id']} ({run['command']})" for run in found)
        more = " and others" if len(found) == _MOST_LISTED else ""
        raise NoSuchRun(f"{text!r} may be any of {listed}{more}; give more of the id")
    return found[0]["id"]


def _how() -> str:
    return f"{typed('shellstream')} ps --all lists the runs"


async def _newest(client: Client, which: str, wanted: Callable[[RunInfo], bool]) -> str:
    async for run in client.list(limit=MOST_SEARCHED):
        if wanted(run):
            return run["id"]
    raise NoSuchRun(f"no run {which} is among the {MOST_SEARCHED} newest; {_how()}")


async def _beginning_with(client: Client, part: str) -> list[RunInfo]:
    highest = part + _HIGHEST[len(part) :]
    found: list[RunInfo] = []
    if _ID.fullmatch(highest):
        async for run in client.list(after=highest, limit=_MOST_LISTED):
            if not run["id"].startswith(part):
                break
            found.append(run)
    return found


async def _ending_with(client: Client, part: str) -> list[RunInfo]:
    found: list[RunInfo] = []
    searched = 0
    async for run in client.list(limit=MOST_SEARCHED):
        searched += 1
        if run["id"].endswith(part):
            found.append(run)
            if len(part) >= _CERTAIN or len(found) == _MOST_LISTED:
                return found
    if found and searched == MOST_SEARCHED:
        raise NoSuchRun(
            f"{part!r}: {found[0]['id']} ends so, but perhaps others of so many runs, "
            f"too; give {_CERTAIN} characters"
        )
    return found
