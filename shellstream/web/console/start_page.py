"""The page at C{/}: every command as a form."""

from twisted.web.template import Tag, tags

from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.config.parameters import Boolean, Integer, Number, Parameter, String

from .frame import Frame, render


def start_page(frame: Frame, config: Config) -> bytes:
    """The page for all commands of a configuration."""
    forms = [_form(frame, command) for command in config.commands.values()]
    return render(frame, "shellstream", tags.div(*forms), script="console.js")


def _form(frame: Frame, command: Command) -> Tag:
    return frame.form(
        f"{frame.root}stream/{command.name}",
        tags.h2(command.name),
        tags.p(command.description),
        *map(_field, command.params.values()),
        tags.button("Run", type="submit"),
    )


def _field(parameter: Parameter) -> Tag:
    known = {"name": parameter.name, "title": parameter.description}
    match parameter:
        case Parameter(secret=True):
            control = tags.input(type="password", autocomplete="off", **known)
        case String(choices=choices) if choices is not None:
            control = _select(known, choices, parameter.default)
        case Boolean():
            control = _select(known, ("true", "false"), parameter.default)
        case Integer() | Number():
            step = "1" if isinstance(parameter, Integer) else "any"
            control = tags.input(type="number", step=step, **known)
            for bound in ("min", "max"):
                if (value := getattr(parameter, bound)) is not None:
                    control(**{bound: str(value)})
            control(value=parameter.default or "")
        case _:
            control = tags.input(type="text", value=parameter.default or "", **known)
    if parameter.default is None:
        control(required="")
    return tags.label(parameter.name, " ", control)


def _select(
    known: dict[str, str], choices: tuple[str, ...], default: str | None
) -> Tag:
    options = [tags.option(choice, value=choice) for choice in choices]
    for choice, option in zip(choices, options, strict=True):
        if choice == default:
            option(selected="")
    return tags.select(*options, **known)
