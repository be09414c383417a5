"""Proactive content negotiation by the C{Accept} header (RFC 9110, 12.5.1)."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from attrs import frozen

from shellstream.model.errors import NotAcceptable

from .formats import FORMATS, Format

# A header is split in one pass: the possessive quantifiers never go back, so that the
# work grows with its length and no more, whatever a client sends.
_QUOTED = r'"(?:[^"\\]|\\.)*+"?+'
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})++', re.DOTALL)
_PARAMETER = re.compile(rf'(?:[^;"]|{_QUOTED})++', re.DOTALL)

#: How many media ranges of a header count: browsers send up to ten. Thousands fit into
#: a header, and each costs ten microseconds.
MAX_RANGES = 32

#: How many parameters of one media range count.
MAX_PARAMETERS = 8

#: RFC 9110, 12.4.2. Java's C{URLConnection} leaves out the 0 of C{q=.2}.
_WEIGHT = re.compile(r"q=(0?\.[0-9]{1,9}|[01](?:\.[0-9]{0,9})?)")

#: Media types that stand for a format where none of its own is accepted. A client that
#: sends JSON asks for JSON too, as C{curl --json} does, and can read it line by line.
_ALIASES = {"application/json": "ndjson"}


@frozen
class _MediaRange:
    """
    A media range, or a media type, and its weight.

    @ivar parameters: each as C{NAME=VALUE}, without the weight.
    """

    kind: str
    subtype: str
    parameters: frozenset[str]
    weight: float

    @classmethod
    def parse(cls, text: str) -> "_MediaRange | None":
        """A range as the header has it; L{None} if it is malformed."""
        parts = islice(_PARAMETER.finditer(text.lower()), 1 + MAX_PARAMETERS)
        name, *parameters = [part[0].replace('"', "").strip() for part in parts] or [""]
        kind, slash, subtype = name.partition("/")
        if name == "*":  # Java's URLConnection means */* by it
            kind, slash, subtype = "*/*"
        weights = [each for each in parameters if each.startswith("q=")]
        found = _WEIGHT.fullmatch(weights[0] if weights else "q=1")
        if found is None or not (kind and slash and subtype) or "/" in subtype:
            return None
        weight = float(found[1])
        if weight > 1:
            return None
        return cls(kind, subtype, frozenset(parameters) - {*weights}, weight)

    def covers(self, other: "_MediaRange") -> bool:
        return self.kind in ("*", other.kind) and self.subtype in ("*", other.subtype)


def negotiate(
    accept: str | None, wanted: str | None, formats: Sequence[Format] = FORMATS
) -> Format:
    """
    The format of a response.

    It is the one that C{wanted} names, or else the one that the C{Accept} header ranks
    first. Where the header has no preference, or accepts no format, it is the first of
    C{formats}: a client can do more with it than with a refusal (RFC 9110, 12.4.1).

    @raise NotAcceptable: if there is no format of that name.
    """
    if wanted is not None:
        for one in formats:
            if one.name == wanted:  # the query wins: browsers cannot set the header
                return one
        raise NotAcceptable({one.name: one.media_type for one in formats}, wanted)
    if accept is None or accept == "*/*":  # most clients; parsing costs 50 calls
        return formats[0]
    ranges = list(_ranges(accept))
    weights = [_weight(one.content_type, ranges) for one in formats]
    best = max(weights)
    if best:
        return formats[weights.index(best)]
    aliased = {name for kind, name in _ALIASES.items() if _weight(kind, ranges)}
    return next((one for one in formats if one.name in aliased), formats[0])


def prefers_html(accept: str | None) -> bool:
    """Whether the C{Accept} header ranks HTML above JSON, as browsers do."""
    ranges = list(_ranges(accept))
    return _weight("text/html", ranges) > _weight("application/json", ranges)


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether an C{Accept-Encoding} header names gzip (RFC 9110, 12.5.3)."""
    for element in islice(_ELEMENT.finditer(accept_encoding or ""), MAX_RANGES):
        name, _, weight = element[0].replace(" ", "").lower().partition(";")
        if name == "gzip":
            return not re.fullmatch(r"q=0?\.?0*", weight)
    return False


def _ranges(accept: str | None) -> Iterator[_MediaRange]:
    """
    The first L{MAX_RANGES} media ranges of an C{Accept} header. Malformed ranges are
    ignored.
    """
    for element in islice(_ELEMENT.finditer(accept or ""), MAX_RANGES):
        found = _MediaRange.parse(element[0])
        if found is not None:
            yield found


def _weight(media_type: str, ranges: Sequence[_MediaRange]) -> float:
    """The weight of the most specific range that covers this type; 0 without one."""
    wanted = _MediaRange.parse(media_type)
    assert wanted is not None, media_type
    best, weight = (-1, 0), 0.0
    for each in ranges:
        if each.covers(wanted):
            # A parameter that we do not have rules nothing out: clients ask for
            # charsets in any spelling.
            wildcards = (each.kind, each.subtype).count("*")
            specificity = (2 - wildcards, len(each.parameters & wanted.parameters))
            if specificity > best:
                best, weight = specificity, each.weight
    return weight
