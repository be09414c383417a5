"""
What is fuzzed: a function for each parser that meets strangers.

Each is given bytes, lets nothing out but what its parser documents, and looks at what
comes of the bytes, too. A parser that is added gets a function, a place here, and
inputs in a folder of C{corpus}; its name is that of all three.
"""

from collections.abc import Callable, Mapping

from tests.fuzz.answered import frames, ndjson, output
from tests.fuzz.asked import (
    body,
    configuration,
    event_id,
    negotiation,
    parameters,
    query,
    ranges,
)
from tests.fuzz.channel import channel
from tests.fuzz.kept import kept_output, row, token

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
