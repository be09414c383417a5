"""The configuration in force."""

from attrs import define

from .loader import Config


@define(eq=False)
class LiveConfig:
    """
    The configuration in force: one place that everybody asks.

    A reload puts another whole in its place. So code that needs a value asks each time,
    and keeps no copy. What is derived from values, such as how to start each command,
    is made anew by its owner: see L{shellstream.daemon.configuration.reload}.

    @ivar now: the configuration; it never changes itself.
    """

    now: Config
