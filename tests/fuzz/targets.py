"""
The targets: one function for each parser of untrusted input.

A target gets bytes, lets its parser's documented errors pass, and checks the parser's
result. A new parser needs a function, an entry here, and inputs in a folder of
C{corpus}, all under the same name.
"""

from collections.abc import Callable, Mapping

from tests.fuzz.channel import channel
from tests.fuzz.output_decoding import frames, ndjson, output
from tests.fuzz.server_inputs import (
    body,
    configuration,
    event_id,
    negotiation,
    parameters,
    query,
    ranges,
)
from tests.fuzz.stored_data import kept_output, row, token

TARGETS: Mapping[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        body,
        channel,
        configuration,
        event_id,
        frames,
        kept_output,
        ndjson,
        negotiation,
        output,
        parameters,
        query,
        ranges,
        row,
        token,
    )
}
