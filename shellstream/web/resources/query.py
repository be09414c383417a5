"""The query of a request, or its form, read field by field."""

import re
from collections.abc import Collection
from enum import Enum
from typing import TypeVar

from shellstream.model.errors import (
    MAX_SHOWN,
    UNKNOWN_NAME,
    ParametersRefused,
    RefusedParameter,
    did_you_mean,
)
from shellstream.web.server.request import Request

from .request_params import Params, from_query

E = TypeVar("E", bound=Enum)

#: The field in which polyfills of C{EventSource} send the id of the last event: a
#: header of that name would cost them a preflight.
LAST_EVENT_ID = "lastEventId"

#: Offsets are below this: as far as JavaScript counts exactly, and a little less
#: (RFC 8673).
MAX_OFFSET = (1 << 53) - 1

#: A number that is not negative (RFC 8259, 6). A program writes a float in up to 17
#: digits, behind up to five zeros or with an exponent.
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,24})?([eE][-+]?[0-9]{1,2})?", re.ASCII)


class Query:
    """
    Reads fields one by one, and remembers what is wrong until L{validate}.

    @param params: the pairs that were sent.
    @param known: the names that there may be.
    """

    def __init__(self, params: Params, known: Collection[str]) -> None:
        self._values: dict[str, str] = {}
        self._refusals: dict[str, str] = {}
        self._unknown: set[str] = set()
        names, hinted = ", ".join(known) or "none", False
        for name, value in params:
            if name not in known:
                # One hint, for the first: it costs more than all else here.
                hint = "" if hinted else did_you_mean(name, known)
                hinted = True
                why = f"is unknown here{hint}; there are {names}"
                self.refuse(name[:MAX_SHOWN], why)
                self._unknown.add(name[:MAX_SHOWN])
            elif name in self._values:
                self.refuse(name, "is given more than once")
            self._values[name] = str(value)

    @classmethod
    def of(cls, request: Request, *known: str) -> "Query":
        """The query of a request's target."""
        return cls(from_query(query_of(request)), known)

    def refuse(self, name: str, why: str) -> None:
        """Remember that a field does not fit."""
        self._refusals[name] = why

    def validate(self) -> None:
        """@raise ParametersRefused: if any field did not fit; it names all of them."""
        if self._refusals:
            raise ParametersRefused(
                [
                    RefusedParameter(
                        name, why, UNKNOWN_NAME if name in self._unknown else ""
                    )
                    for name, why in self._refusals.items()
                ]
            )

    def text(self, name: str) -> str | None:
        """A field as it was sent."""
        return self._values.get(name)

    def number(self, name: str, low: int, high: int) -> int | None:
        """A field that holds an integer in decimal digits."""
        text = self._values.get(name)
        if text is None:
            return None
        if re.fullmatch("[0-9]{1,16}", text, re.ASCII) and low <= int(text) <= high:
            return int(text)
        self.refuse(name, f"must be an integer from {low} to {high}")
        return None

    def seconds(self, name: str, high: float) -> float | None:
        """A field that holds a number of seconds, as JSON writes numbers."""
        text = self._values.get(name)
        if text is None:
            return None
        if _NUMBER.fullmatch(text) and float(text) <= high:
            return float(text)
        self.refuse(name, f"must be a number of seconds from 0 to {high:g}")
        return None

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A field that holds C{true} or C{false}."""
        text = self._values.get(name)
        if text not in (None, "true", "false"):
            self.refuse(name, "must be true or false")
        return default if text is None else text == "true"

    def one_of(self, name: str, kind: type[E]) -> E | None:
        """A field that holds a value of an enumeration."""
        text = self._values.get(name)
        if text is None:
            return None
        try:
            return kind(text)
        except ValueError:
            names = ", ".join(each.value for each in kind)
            self.refuse(name, f"must be one of {names}")
            return None


def last_event_id(request: Request, field: str | None) -> str | None:
    """
    The id of the last event that a client had; L{None} if it had none, also where the
    id is empty (WHATWG HTML, 9.2.4).

    @param field: the value of L{LAST_EVENT_ID} in the query.
    """
    return request.header("last-event-id") or field or None


def query_of(request: Request) -> bytes:
    """The query of a request's target, as it was sent."""
    return request.uri.partition(b"?")[2]
