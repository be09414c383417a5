"""The terminals that clients ask for, and their sizes."""

import re
from collections.abc import Mapping
from typing import Any

from shellstream.model.errors import ParametersRefused, RefusedParameter
from shellstream.model.run_input import MAX_SIDE, TERM, Tty

from .request_params import JsonPairs

_SIDES = ("rows", "columns")


def tty_of(wish: object, refusals: list[RefusedParameter]) -> Tty | None:
    """
    The terminal of a new run: C{true}, or an object with its size and type.

    @param refusals: what does not fit is added to these.
    """
    if isinstance(wish, bool):
        return Tty() if wish else None
    if not isinstance(wish, JsonPairs):
        why = 'must be true, false or {"rows": 24, "columns": 80, "term": "xterm"}'
        refusals.append(RefusedParameter("tty", why))
        return None
    members: dict[str, Any] = dict(wish)
    found = [
        RefusedParameter(f"tty.{each.name}", each.detail) for each in _sizes(members)
    ]
    for name in members:
        if name not in (*_SIDES, "term"):
            why = "is unknown here; send rows, columns, term"
            found.append(RefusedParameter(f"tty.{name[:80]}", why))
    term = members.get("term", "xterm")
    if not isinstance(term, str) or not re.fullmatch(TERM, term, re.ASCII):
        found.append(
            RefusedParameter("tty.term", "must be a terminal's type, such as xterm")
        )
    if len(members) < len(wish):
        found.append(RefusedParameter("tty", "has a member twice"))
    refusals += found
    return None if found else Tty(**members)


def size_of(body: Mapping[str, object]) -> tuple[int, int]:
    """
    The rows and columns that a terminal shall have.

    @raise ParametersRefused: naming every member that does not fit.
    """
    missing = [
        RefusedParameter(each, "is required") for each in _SIDES if each not in body
    ]
    unknown = [
        RefusedParameter(name[:80], "is unknown here; send rows, columns")
        for name in body
        if name not in _SIDES
    ]
    if refusals := [*missing, *_sizes(body), *unknown]:
        raise ParametersRefused(refusals)
    rows, columns = (body[each] for each in _SIDES)
    assert isinstance(rows, int)
    assert isinstance(columns, int)
    return rows, columns


def _sizes(members: Mapping[str, object]) -> list[RefusedParameter]:
    """The refusals of the sizes that were sent."""
    why = f"must be an integer from 1 to {MAX_SIDE}"
    return [
        RefusedParameter(each, why)
        for each in _SIDES
        if each in members and not _fits(members[each])
    ]


def _fits(side: object) -> bool:
    return (
        isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= MAX_SIDE
    )
