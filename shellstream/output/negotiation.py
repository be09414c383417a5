"""Which of the things that can be answered a client wants: RFC 9110, 12.5.1."""

from collections.abc import Iterator, Sequence

from mimeparse import (  # type: ignore[import-untyped]
    parse_mime_type,
    quality_parsed,
)

from shellstream.model.errors import NotAcceptable

from .formats import FORMATS, Format

#: Type, subtype and parameters, C{q} among them, as mimeparse takes them.
_Range = tuple[str, str, dict[str, object]]

#: No media range is longer, in characters; and to parse one takes mimeparse time
#: that grows with the square of this.
MAX_RANGE = 256


def negotiate(
    accept: str | None, wanted: str | None, formats: Sequence[Format] = FORMATS
) -> Format:
    """
    The format to answer in: the one C{wanted} by its name, or else the one that
    an C{Accept} header ranks first. Where it does not tell, the first of them.

    @raise NotAcceptable: if there is none of that name, or none is accepted.
    """
    if wanted is not None:
        for one in formats:
            if one.name == wanted:
                return one
        raise NotAcceptable({one.name: one.media_type for one in formats}, wanted)
    ranges = list(_ranges(accept))
    if not ranges:
        return formats[0]
    weights = [_quality(one.content_type, ranges) for one in formats]
    best = max(weights)
    if not best:
        raise NotAcceptable({one.name: one.media_type for one in formats})
    return formats[weights.index(best)]


def prefers_html(accept: str | None) -> bool:
    """Whether an index had better be a page: asked for more than JSON is."""
    ranges = list(_ranges(accept))
    return _quality("text/html", ranges) > _quality("application/json", ranges)


def _ranges(accept: str | None) -> Iterator[_Range]:
    """The media ranges of an C{Accept} header; what is none is passed over."""
    for part in (accept or "").lower().split(","):
        if len(part) > MAX_RANGE:
            continue
        try:
            kind, subtype, parameters = parse_mime_type(part)
            weight = float(parameters.get("q", 1))
        except ValueError:
            continue
        if 0 <= weight <= 1:
            yield kind, subtype, {**parameters, "q": weight}


def _quality(media_type: str, ranges: Sequence[_Range]) -> float:
    """What the most specific of the ranges gives this type; 0 if none fits."""
    return float(quality_parsed(media_type, ranges))
