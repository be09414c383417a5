"""The parameters of a command, as the configuration declares them."""

from typing import Any

from attrs import evolve

from shellstream.model import tables
from shellstream.model.errors import did_you_mean
from shellstream.model.tables import NotAllowed, Table

from .parameters import (
    KINDS,
    MAX_LENGTH,
    Boolean,
    Integer,
    InvalidValue,
    Number,
    Parameter,
    Path,
    String,
)


def parameter(table: Table) -> Parameter:
    """What a table C{[commands.NAME.params.NAME]} declares."""
    kind = table.read("type", tables.string, None)
    common: dict[str, Any] = {
        "name": table.name,
        "description": table.read("description", tables.string, ""),
        "allow_leading_dash": table.read("allow_leading_dash", tables.boolean, False),
        "secret": table.read("secret", tables.boolean, False),
    }
    found: Parameter
    match kind:
        case String.kind:
            found = String(
                pattern=table.read("pattern", tables.pattern, None),
                choices=table.read("choices", tables.strings, None),
                max_length=table.read("max_length", tables.count, MAX_LENGTH),
                **common,
            )
            _check_choices(table, found)
            if found.secret and found.choices is not None:
                allowed = "one of the two: everybody is shown the choices"
                table.report("secret", "true beside choices", allowed)
        case Integer.kind:
            found = Integer(**_range(table, tables.integer), **common)
        case Number.kind:
            found = Number(**_range(table, tables.number), **common)
        case Boolean.kind:
            found = Boolean(**common)
        case Path.kind:
            # Without roots there is a mistake, and this stands in for them.
            roots: tuple[str, ...] = ("/",)
            roots = table.read("roots", tables.folders, roots)
            if "roots" not in table:
                table.report("roots", "nothing", "a list of absolute paths")
            found = Path(roots=roots, **common)
        case _:
            if kind is not None or "type" not in table:
                what = f"{kind!r}{did_you_mean(kind, KINDS)}" if kind else "nothing"
                table.report("type", what, f"one of {', '.join(KINDS)}")
            return Boolean(**common)  # its other keys mean nothing without a type
    return _with_default(table, found)


def _range(table: Table, check: Any) -> dict[str, Any]:
    low = table.read("min", check, None)
    high = table.read("max", check, None)
    if low is not None and high is not None and low > high:
        table.report("min", tables.shown(low), f"at most max, which is {high}")
        low = None
    return {"min": low, "max": high}


def _check_choices(table: Table, declared: String) -> None:
    for choice in declared.choices or ():
        try:
            evolve(declared, choices=None).accept(choice)
        except InvalidValue as unfit:
            table.report("choices", repr(choice), f"one that fits: it {unfit}")


def _with_default(table: Table, declared: Parameter) -> Parameter:
    def fitting(value: object) -> str:
        text = isinstance(value, str)
        if text != isinstance(declared, String | Path):
            raise NotAllowed(f"a value of type {declared.kind}")
        try:
            fits = declared.accept(value)
        except InvalidValue as unfit:
            raise NotAllowed(f"one that the parameter takes: it {unfit}") from None
        # What a path leads to is found out each time.
        return value if isinstance(value, str) else fits

    required = table.read("required", tables.boolean, "default" not in table)
    default = table.read("default", fitting, None)
    if required and "default" in table:
        table.report("required", "true beside a default", "one of the two")
    if not required and "default" not in table:
        table.report("required", "false without a default", "false with a default")
    table.report_unknown()
    return evolve(declared, default=default)
