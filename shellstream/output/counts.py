"""What happened to runs and their output, in plain numbers, for the metrics."""

from attrs import define, field

from shellstream.model.histogram import LONG, Histogram

#: Of so many chunks the time of one is taken: it costs four calls.
SAMPLE = 8


@define(eq=False)
class OutputCounts:
    """
    Numbers that only grow. Everything that moves output adds to one of these.

    @ivar chunks: the chunks that were read from commands.
    @ivar output: the bytes that ended runs wrote; C{input}: that they took.
    @ivar latency: of every L{SAMPLE}th chunk with viewers, the time from when it was
        read until all viewers that keep up were sent it.
    @ivar paused: seconds that commands had to wait for viewers.
    @ivar resumed: viewers that did not begin at the first byte.
    @ivar gaps: how often a viewer went on behind bytes that were gone.
    @ivar skipped: how many bytes these were.
    @ivar spawn: the time to start a process.
    """

    chunks: int = 0
    output: int = 0
    input: int = 0
    latency: Histogram = field(factory=Histogram)
    paused: float = 0.0
    resumed: int = 0
    gaps: int = 0
    skipped: int = 0
    spawn: Histogram = field(factory=lambda: Histogram(LONG))
