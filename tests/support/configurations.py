"""Configurations in TOML, and the mistakes found in them."""

import tomllib

from jsonschema import Draft4Validator

from docs.generate_configuration import json_schema
from shellstream.config.loader import ConfigError, parse


def mistakes(text: str) -> list[tuple[str, str, str]]:
    """The mistakes of a file: key, found, allowed."""
    try:
        parse(text)
    except ConfigError as mistaken:
        return [
            (one.key or one.place, one.found, one.allowed) for one in mistaken.mistakes
        ]
    return []


SCHEMA = Draft4Validator(json_schema())


#: What a file needs around what is tested.
COMMAND = '[commands.x]\nargv = ["a"]\n'


PARAMETER = '[commands.x]\nargv = ["a", "{p}"]\n[commands.x.params.p]\n'


def schema_errors(text: str) -> list[str]:
    """The errors that the JSON Schema for editors finds in a file."""
    errors = SCHEMA.iter_errors(tomllib.loads(text))
    return [f"{each.json_path}: {each.message}" for each in errors]
