"""The parameters that a request carries: query, form body or JSON body."""

import json
from urllib.parse import parse_qsl

from shellstream.errors import BodyMalformed, MediaTypeUnsupported

#: The most parameters that a request may carry; far above what a command has.
MAX_FIELDS = 200

Given = list[tuple[str, object]]


def from_query(query: bytes) -> Given:
    """
    The pairs of a query or form (WHATWG URL, 5.1), repeats included.

    @raise BodyMalformed: if it is no UTF-8, or holds too many.
    """
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


def from_body(media_type: str, body: bytes) -> Given:
    """
    The pairs of a request's body.

    @param media_type: the C{Content-Type}, with its parameters if any.
    @raise BodyMalformed: if it is not what the media type says.
    @raise MediaTypeUnsupported: if such bodies hold no parameters.
    """
    if not body:
        return []
    essence = media_type.partition(";")[0].strip().lower()
    if essence == "application/x-www-form-urlencoded":
        return from_query(body)
    if essence == "application/json":
        return _from_json(body)
    raise MediaTypeUnsupported(essence)


def _from_json(body: bytes) -> Given:
    try:
        document = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_Pairs,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise BodyMalformed(f"the body is not valid JSON: {reason}") from None
    if not isinstance(document, _Pairs):
        raise BodyMalformed('the body must be a JSON object: {"NAME": VALUE, …}')
    if len(document) > MAX_FIELDS:
        raise BodyMalformed(f"more than {MAX_FIELDS} parameters; send fewer")
    return list(document)


class _Pairs(list[tuple[str, object]]):
    """A JSON object with its repeated names still in it."""


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")
