"""The JSON Schema of a command's parameters."""

from .command import Command


def parameter_schema(command: Command) -> dict[str, object]:
    """What a command has to be given."""
    params = command.params.values()
    return {
        "type": "object",
        "properties": {each.name: each.schema() for each in params},
        "required": [each.name for each in params if each.default is None],
        "additionalProperties": False,
    }
