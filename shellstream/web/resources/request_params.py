"""The parameters that a request carries: query, form body or JSON body."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl

from shellstream.model.checks import json_integer
from shellstream.model.errors import (
    MAX_SHOWN,
    UNKNOWN_NAME,
    BodyMalformed,
    MediaTypeUnsupported,
    ParametersRefused,
    RefusedParameter,
)
from shellstream.model.run_input import MAX_SIDE, TERM, Tty
from shellstream.model.trace_context import TraceContext, trace_context
from shellstream.web.server.request import Request

#: The most parameters that a request may carry; far above what a command has.
MAX_FIELDS = 200

#: How many lists and objects of a body may stand in one another: no resource takes
#: more than three.
MAX_DEPTH = 8

# A bracket outside of all strings, and all before it.
_BRACKET = re.compile(
    r'(?:[^][{}"]++|"(?:[^"\\]++|\\.)*+"?+)*+(?:([\[{])|([\]}]))', re.DOTALL
)

#: What the size of a terminal has.
_SIDES = ("rows", "columns")

#: Names and values as they were sent, repeats included.
Params = list[tuple[str, object]]


def from_query(query: bytes) -> Params:
    """
    The pairs of a query or form (WHATWG URL, 5.1).

    @raise BodyMalformed: if it is not UTF-8, or holds too many.
    """
    if not query:
        return []
    try:
        return list(
            parse_qsl(
                query.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_FIELDS,
            )
        )
    except UnicodeError:
        raise BodyMalformed(
            "the parameters are not percent-encoded UTF-8; encode them "
            "(curl: --data-urlencode NAME=VALUE)"
        ) from None
    except ValueError:
        raise BodyMalformed(f"more than {MAX_FIELDS} parameters; send fewer") from None


def from_body(media_type: str, body: bytes) -> Params:
    """
    The pairs of a request's body.

    @param media_type: the C{Content-Type}, with its parameters if any.
    @raise BodyMalformed: if the body is not what the media type says.
    @raise MediaTypeUnsupported: if bodies of this type hold no parameters.
    """
    if not body:
        return []
    kind = essence(media_type)
    if kind == "application/x-www-form-urlencoded":
        return from_query(body)
    if kind == "application/json":
        return _pairs(body)
    raise MediaTypeUnsupported(kind)


def from_json(media_type: str, body: bytes) -> dict[str, object]:
    """
    The members of a JSON object; an object in it stays L{JsonPairs}.

    @raise BodyMalformed: if the body is not a JSON object, or has a member twice.
    @raise MediaTypeUnsupported: if the media type is another.
    """
    if media_type and essence(media_type) != "application/json":
        raise MediaTypeUnsupported(essence(media_type), "application/json")
    pairs = _pairs(body)
    members = dict(pairs)
    if len(members) < len(pairs):
        raise BodyMalformed("the body has a member twice")
    return members


def essence(media_type: str) -> str:
    """A media type without its parameters (RFC 9110, 8.3.1)."""
    return media_type.partition(";")[0].strip().lower()


def _pairs(body: bytes) -> Params:
    count = 0

    def counted(pairs: list[tuple[str, object]]) -> JsonPairs:
        # Objects within others count, too: each pair of them costs as much.
        nonlocal count
        count += len(pairs)
        if count > MAX_FIELDS:
            raise BodyMalformed(f"more than {MAX_FIELDS} parameters; send fewer")
        return JsonPairs(pairs)

    try:
        text = body.decode("utf-8-sig")  # some editors begin a file with a BOM
        _check_depth(text)
        document = json.loads(
            text, object_pairs_hook=counted, parse_constant=_no_constant
        )
    except ValueError as error:
        raise BodyMalformed(f"the body is not valid JSON: {error}") from None
    if not isinstance(document, JsonPairs):
        raise BodyMalformed('the body must be a JSON object: {"NAME": VALUE, …}')
    return list(document)


def _check_depth(text: str) -> None:
    """
    Check how deep a document of JSON is before it is parsed: Python's parser calls
    itself for each level, and fails at a depth that depends on its callers.

    @raise BodyMalformed: if it is deeper than L{MAX_DEPTH}, or has too many lists.
    """
    if text.count("[") + text.count("{") <= MAX_DEPTH:  # as in nearly all requests
        return
    depth = opened = 0
    for found in _BRACKET.finditer(text):
        if found[1] is None:
            depth -= 1
            continue
        depth, opened = depth + 1, opened + 1
        if opened > MAX_FIELDS:
            raise BodyMalformed(f"more than {MAX_FIELDS} lists and objects; send fewer")
        if depth > MAX_DEPTH:
            raise BodyMalformed(
                f"the body nests more than {MAX_DEPTH} lists and objects; send a flat "
                'object: {"NAME": VALUE, …}'
            )


def trace_of(request: Request) -> TraceContext | None:
    """The trace that a request, and so its run, is a part of."""
    if "traceparent" not in request.received:
        return None
    parents = request.header_lines("traceparent")
    return trace_context(parents, request.header_lines("tracestate"))


def unknown_members(
    body: Iterable[str], known: Sequence[str], within: str = ""
) -> list[RefusedParameter]:
    """The members of a JSON object that it may not have."""
    why = f"is unknown here; send {', '.join(known)}"
    names = (name for name in body if name not in known)
    return [
        RefusedParameter(f"{within}{name[:MAX_SHOWN]}", why, UNKNOWN_NAME)
        for name in names
    ]


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


class JsonPairs(list[tuple[str, object]]):
    """A JSON object with its repeated names still in it."""


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")
