"""The terminals that clients ask for, and their sizes."""

import re
from collections.abc import Mapping
from typing import Any

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
    found = _wrong_sizes(members, "tty.")
    found += unknown_members(members, (*_SIDES, "term"), "tty.")
    term = members.get("term", "xterm")
    if not isinstance(term, str) or not re.fullmatch(TERM, term, re.ASCII):
        why = "must be a terminal's type, such as xterm"
        found.append(RefusedParameter("tty.term", why))
    if len(members) < len(wish):
        found.append(RefusedParameter("tty", "has a member twice"))
    refusals += found
    return None if found else Tty(**members)


def size_of(body: Mapping[str, Any]) -> tuple[int, int]:
    """
    The rows and columns that a terminal shall have.

    @raise ParametersRefused: naming every member that does not fit.
    """
    absent = [each for each in _SIDES if each not in body]
    refusals = [RefusedParameter(each, "is required") for each in absent]
    refusals += _wrong_sizes(body) + unknown_members(body, _SIDES)
    if refusals:
        raise ParametersRefused(refusals)
    return body["rows"], body["columns"]


def _wrong_sizes(body: Mapping[str, Any], within: str = "") -> list[RefusedParameter]:
    why = f"must be an integer from 1 to {MAX_SIDE}"
    wrong = (each for each in _SIDES if each in body and not _fits(body[each]))
    return [RefusedParameter(f"{within}{each}", why) for each in wrong]


def _fits(side: object) -> bool:
    # For Python true is an integer; for JSON it is not.
    return type(side) is int and 1 <= side <= MAX_SIDE
