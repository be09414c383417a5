"""
The targets: one function for each parser of untrusted input.

A target gets bytes, lets its parser's documented errors pass, and checks the parser's
result. A new parser needs a function, an entry here, and inputs in a folder of
C{corpus}, all under the same name.
"""

from collections.abc import Callable, Mapping

from tests.fuzz.channel import channel
from tests.fuzz.client_inputs import document, refusal
from tests.fuzz.costly_inputs import pattern, run_request
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
from tests.fuzz.stored_data import kept_output, row, short_output, token

TARGETS: Mapping[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        body,
        channel,
        configuration,
        document,
        event_id,
        frames,
        kept_output,
        ndjson,
        negotiation,
        output,
        parameters,
        pattern,
        query,
        ranges,
        refusal,
        row,
        run_request,
        short_output,
        token,
    )
}
