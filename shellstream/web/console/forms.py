"""The form of a command: a field for each parameter, its help, and what is wrong."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from attrs import frozen
from twisted.web.template import Tag, tags

from shellstream.config.command import Command
from shellstream.config.parameters import (
    MAX_LENGTH,
    Boolean,
    Parameter,
    Ranged,
    String,
)

from .frame import Frame, to_html

#: The most choices that are all shown at once.
MAX_RADIOS = 4

#: The field of a form without scripts that says yes to a command's question. No
#: parameter can have this name.
CONFIRMED = "is-confirmed"


@frozen
class Attempt:
    """
    What was sent by a form that is shown again.

    @ivar values: of the parameters, by name; those of secret ones are left out.
    @ivar errors: what is wrong with each.
    @ivar message: what else is wrong.
    """

    values: Mapping[str, str] = {}
    errors: Mapping[str, str] = {}
    message: str = ""


def by_heading(commands: Iterable[Command]) -> list[Command]:
    """
    Commands that have a heading in common one after the other, else as they are. Those
    without one come first: below others they would seem to belong to the last heading.
    """
    firsts = {"": 0}
    return sorted(
        commands, key=lambda each: firsts.setdefault(each.heading, len(firsts))
    )


def link(frame: Frame, command: Command, heading: str = "") -> bytes:
    """
    A command in a long list: its name and description, and the way to its form.

    @param heading: the heading above it, if it is the first one there.
    """
    above = [tags.h3(heading)] if heading else []
    where = f"{frame.root or './'}?{urlencode({'form': command.name})}"
    href = f"{where}#command-{command.name}"
    shown = tags.a(*_names(command), href=href, class_="entry")
    return to_html([*above, shown])


def _names(command: Command) -> list[Tag]:
    return [
        tags.span(command.name, class_="name"),
        tags.span(command.description, class_="soft"),
    ]


def entry(
    frame: Frame, command: Command, heading: str = "", attempt: Attempt | None = None
) -> bytes:
    """
    A command in the list: its name and description, and its form to unfold.

    @param heading: the heading above it, if it is the first one there.
    @param attempt: what its form starts with; then it is unfolded.
    """
    above = [tags.h3(heading)] if heading else []
    summary = tags.summary(*_names(command))
    form = _form(frame, command, attempt or Attempt())
    details = tags.details(summary, form, id=f"command-{command.name}")
    if attempt is not None:
        details(open="")
    return to_html([*above, details])


def _form(frame: Frame, command: Command, attempt: Attempt) -> Tag:
    fields = [_field(command, each, attempt) for each in command.params.values()]
    facts = {"data-command": command.name, "data-confirm": command.confirm}
    facts |= {
        f"data-{name}": ""
        for name, offered in (("stdin", command.stdin), ("tty", command.tty))
        if offered
    }
    asked: list[Tag] = []
    if command.confirm:
        # Scripts ask when the button is pressed.
        box = tags.input(type="checkbox", name=CONFIRMED, value="true", required="")
        asked = [tags.noscript(tags.label(box, tags.span(command.confirm)))]
    return frame.form(
        f"{frame.root or './'}?start={command.name}",
        *fields,
        *asked,
        tags.p(attempt.message, class_="error", role="alert"),
        tags.button("Run", type="submit", **{"aria-label": f"Run {command.name}"}),
        **facts,
    )


def _field(command: Command, parameter: Parameter, attempt: Attempt) -> Tag:
    name, error = parameter.name, attempt.errors.get(parameter.name, "")
    id_ = f"{command.name}-{name}"
    value = attempt.values.get(name, parameter.default)
    notes = _notes(parameter, id_, error)
    described = " ".join(str(each.attributes["id"]) for each in notes)
    known = {"name": name, "aria-describedby": described}
    if error:
        known["aria-invalid"] = "true"
    choices = parameter.choices if isinstance(parameter, String) else None
    if choices is not None and len(choices) <= MAX_RADIOS:
        return _radios(parameter, id_, described, choices, value, notes)
    if isinstance(parameter, Boolean):
        control = tags.input(type="checkbox", id=id_, value="true", **known)
        if value == "true":
            control(checked="")
        label = tags.label(control, tags.span(name))
        return tags.div(label, *notes, class_="field")
    control = _control(parameter, {"id": id_, **known}, choices, value)
    if parameter.default is None:
        control(required="")
    label = tags.label(name, *_required(parameter), for_=id_)
    return tags.div(label, control, *notes, class_="field")


def _control(
    parameter: Parameter,
    known: Mapping[str, str],
    choices: tuple[str, ...] | None,
    value: str | None,
) -> Tag:
    if parameter.secret:
        return tags.input(type="password", autocomplete="off", **known)
    if choices is not None:
        options = [tags.option(each, value=each) for each in choices]
        for each, option in zip(choices, options, strict=True):
            if each == value:
                option(selected="")
        if value is None:
            options.insert(0, tags.option("Choose", value=""))
        return tags.select(*options, **known)
    if isinstance(parameter, Ranged):
        step = "1" if parameter.kind == "integer" else "any"
        control = tags.input(type="number", step=step, value=value or "", **known)
        for bound in ("min", "max"):
            if (limit := getattr(parameter, bound)) is not None:
                control(**{bound: str(limit)})
        return control
    if "\n" in (value or parameter.default or ""):
        # HTML leaves out a line end at the beginning.
        return tags.textarea(f"\n{value}", rows="4", **known)
    plain = {"autocapitalize": "off", "spellcheck": "false"}
    return tags.input(type="text", value=value or "", **plain, **known)


def _radios(
    parameter: Parameter,
    id_: str,
    described: str,
    choices: tuple[str, ...],
    value: str | None,
    notes: list[Tag],
) -> Tag:
    labels = []
    for choice in choices:
        box = tags.input(type="radio", name=parameter.name, value=choice)
        if choice == value:
            box(checked="")
        if parameter.default is None:
            box(required="")
        labels.append(tags.label(box, tags.span(choice)))
    return tags.fieldset(
        tags.legend(parameter.name, *_required(parameter)),
        tags.div(*labels, class_="choices"),
        *notes,
        class_="field",
        id=id_,
        **{"aria-describedby": described},
    )


def _required(parameter: Parameter) -> list[Tag]:
    shown = parameter.default is None
    return [tags.span(" required", class_="soft")] if shown else []


def _notes(parameter: Parameter, id_: str, error: str) -> list[Tag]:
    """The help of a field, and what is wrong with it."""
    texts = [parameter.description, hint(parameter)]
    help_ = ". ".join(each.rstrip(".") for each in texts if each)
    notes = [tags.p(help_, id=f"{id_}-help", class_="soft")] if help_ else []
    return [*notes, tags.p(error, id=f"{id_}-error", class_="error")]


def hint(parameter: Parameter) -> str:
    """What a parameter accepts, where its field does not show it."""
    match parameter:
        case Ranged(min=low, max=high):
            kind = "Whole number" if parameter.kind == "integer" else "Number"
            lows = [] if low is None else [f"from {low}"]
            highs = [] if high is None else [f"to {high}" if lows else f"up to {high}"]
            return " ".join([kind, *lows, *highs])
        case String(pattern=pattern, choices=None, max_length=most):
            hints = [] if pattern is None else [f"Has to match {pattern.pattern}"]
            if most < MAX_LENGTH:
                hints.append(f"At most {most} characters")
            return ". ".join(hints)
        case Parameter(kind="path"):
            return "Path of a file or folder"
    return ""
