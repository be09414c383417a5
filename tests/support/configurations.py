"""Configurations in TOML, and the mistakes found in them."""

from shellstream.config.loader import ConfigError, parse


def mistakes(text: str) -> list[tuple[str, str, str]]:
    """All that is wrong with a file: key, found, allowed."""
    try:
        parse(text)
    except ConfigError as mistaken:
        return [(one.key, one.found, one.allowed) for one in mistaken.mistakes]
    return []


#: What a file needs around what is tested.
COMMAND = '[commands.x]\nargv = ["a"]\n'


PARAMETER = '[commands.x]\nargv = ["a", "{p}"]\n[commands.x.params.p]\n'
