"""The terminals that clients ask for, and their sizes."""

import re
from typing import Any

from shellstream.model.checks import json_integer
from shellstream.model.errors import ParametersRefused, RefusedParameter
from shellstream.model.run_input import MAX_SIDE, TERM, Tty

from .request_params import JsonPairs, unknown_members

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
    found = _take_sizes(members, "tty.")
    found += unknown_members(members, (*_SIDES, "term"), "tty.")
    term = members.get("term", "xterm")
    if not isinstance(term, str) or not re.fullmatch(TERM, term, re.ASCII):
        why = "must be a terminal's type, such as xterm"
        found.append(RefusedParameter("tty.term", why))
    if len(members) < len(wish):
        found.append(RefusedParameter("tty", "has a member twice"))
    refusals += found
    return None if found else Tty(**members)


def size_of(body: dict[str, Any]) -> tuple[int, int]:
    """
    The rows and columns that a terminal shall have.

    @raise ParametersRefused: naming every member that does not fit.
    """
    absent = [each for each in _SIDES if each not in body]
    refusals = [RefusedParameter(each, "is required") for each in absent]
    refusals += _take_sizes(body) + unknown_members(body, _SIDES)
    if refusals:
        raise ParametersRefused(refusals)
    return body["rows"], body["columns"]


def _take_sizes(body: dict[str, Any], within: str = "") -> list[RefusedParameter]:
    """Make the sides in a body integers, and refuse those that do not fit."""
    why = f"must be an integer from 1 to {MAX_SIDE}"
    refusals = []
    for name in _SIDES:
        if name in body:
            side = body[name] = json_integer(body[name])
            if side is None or not 1 <= side <= MAX_SIDE:
                refusals.append(RefusedParameter(f"{within}{name}", why))
    return refusals
