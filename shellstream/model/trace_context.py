"""
The W3C Trace Context of a request: the trace that a run is a part of.

Invalid headers are ignored, as the recommendation says (Trace Context, 3.2 and 3.3).
"""

import re
from collections.abc import Mapping, Sequence

from attrs import frozen

#: What all versions begin with; 0xff is none. Later versions may have more behind it.
_PARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
    r"(-.*)?"
)
_KEY = r"[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?"
_MEMBER = re.compile(rf"({_KEY})=([ -+\--<>-~]{{0,255}}[!-+\--<>-~])")

#: The most members of a C{tracestate}, and the most characters that are passed on.
MAX_MEMBERS, MAX_STATE = 32, 512

#: A longer member is left out first where there is no room for all.
_LONG = 128


@frozen
class TraceContext:
    """
    A valid trace context.

    @ivar parent: a C{traceparent} of version 00.
    @ivar state: a C{tracestate}; empty if there is none.
    """

    parent: str
    state: str = ""

    @property
    def trace_id(self) -> str:
        """The id of the whole trace."""
        return self.parent.split("-")[1]

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables by which programs pass a trace context on to others."""
        state = {"TRACESTATE": self.state} if self.state else {}
        return {"TRACEPARENT": self.parent, **state}


def trace_context(
    parents: Sequence[str], states: Sequence[str] = ()
) -> TraceContext | None:
    """
    The trace context in headers; L{None} without a valid C{traceparent}.

    @param parents: all headers C{traceparent} of a request.
    @param states: all headers C{tracestate}.
    """
    match = _PARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if match is None:
        return None
    version, trace, parent, flags, more = match.groups()
    if version != "00":
        flags = f"{int(flags, 16) & 1:02x}"  # the only flag that stays what it is
    elif more:
        return None
    return TraceContext(f"00-{trace}-{parent}-{flags}", _state(",".join(states)))


def _state(text: str) -> str:
    """The valid members of a C{tracestate}; empty if one of them is not valid."""
    if len(text) > 16 * MAX_STATE:
        return ""
    members = [each.strip(" \t") for each in text.split(",")]
    members = [each for each in members if each]
    found = [_MEMBER.fullmatch(each) for each in members]
    keys = {match[1] for match in found if match is not None}
    if len(members) > MAX_MEMBERS or len(keys) < len(members):  # or one twice
        return ""
    if _size(members) > MAX_STATE:
        members = [each for each in members if len(each) <= _LONG]
    while _size(members) > MAX_STATE:
        members.pop()
    return ",".join(members)


def _size(members: Sequence[str]) -> int:
    return sum(map(len, members)) + len(members) - 1
