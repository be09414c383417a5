"""The parameters of a command, as the configuration declares them."""

from collections.abc import Mapping

from attrs import evolve

from shellstream.model.checks import Check, NotAllowed, boolean, string
from shellstream.model.errors import did_you_mean
from shellstream.model.tables import Setting, Table, abbreviated

from .parameters import KINDS, InvalidValue, Parameter, Path, Ranged, String

#: The keys of a parameter that are no fields of its class, or depend on the others.
KEYS: Mapping[str, Setting] = {
    "type": Setting(
        Check(f"one of {', '.join(KINDS)}", {"enum": list(KINDS)}, string),
        "The type; required.",
        None,
    ),
    "default": Setting(
        Check("a value that the parameter accepts", {}, lambda value: value),
        "The value when a client sends none; without it, a client must send one.",
        None,
    ),
    "required": Setting(
        boolean,
        "Whether a client must send a value: `true` without a default, `false` with "
        "one.",
        None,
    ),
}


def read_parameter(table: Table) -> Parameter:
    """What a table C{[commands.NAME.params.NAME]} declares."""
    kind = table.read("type", string, None)
    if kind is None or kind not in KINDS:
        if kind is not None or "type" not in table:
            found = f"{kind!r}{did_you_mean(kind, KINDS)}" if kind else "nothing"
            table.report("type", found, KEYS["type"].check.allowed)
        # Without a type nobody knows which other keys there may be.
        return table.read_settings(KINDS["boolean"], name=table.name)
    declared = table.read_settings(KINDS[kind], name=table.name)
    match declared:
        case String():
            declared = _with_safe_pattern(table, declared)
            _check_choices(table, declared)
        case Ranged(min=low, max=high):
            if low is not None and high is not None and low > high:
                table.report("min", abbreviated(low), f"at most max, which is {high}")
                declared = evolve(declared, min=None)
        case Path() if "roots" not in table:
            table.report("roots", "nothing", "a list of absolute paths")
            declared = evolve(declared, roots=("/",))  # for the other rules
    return _with_default(table, declared)


def _with_safe_pattern(table: Table, declared: String) -> String:
    """Report a pattern that could take long on some text of a client."""
    if declared.pattern is None:
        return declared
    from .backtracking import TooManyWays, check_ways  # most configurations have none

    try:
        check_ways(declared.pattern, declared.max_length)
    except TooManyWays as error:
        allowed = (
            f"one that is matched in a short time, but {error} (up to max_length = "
            f"{declared.max_length} characters): make repeats possessive, as in "
            "[a-z]++, or of characters that cannot follow them, as in [^/]*/, or set "
            "a lower max_length"
        )
        table.report("pattern", abbreviated(declared.pattern.pattern), allowed)
        return evolve(declared, pattern=None)
    return declared


def _check_choices(table: Table, declared: String) -> None:
    for choice in declared.choices or ():
        try:
            evolve(declared, choices=None).accept(choice)
        except InvalidValue as invalid:
            table.report("choices", repr(choice), f"one that fits: it {invalid}")
    if declared.secret and declared.choices is not None:
        allowed = "one of the two: everybody is shown the choices"
        table.report("secret", "true beside choices", allowed)


def _with_default(table: Table, declared: Parameter) -> Parameter:
    def fitting(value: object) -> str:
        text = isinstance(value, str)
        if text != isinstance(declared, String | Path):
            raise NotAllowed(f"a value of type {declared.kind}")
        try:
            fits = declared.accept(value)
        except InvalidValue as invalid:
            raise NotAllowed(f"one that the parameter takes: it {invalid}") from None
        # The default of a path is resolved each time that it is used.
        return value if isinstance(value, str) else fits

    # Both keys say the same. A file may have both, if they do not contradict.
    required = table.read("required", boolean, "default" not in table)
    default = table.read("default", fitting, None)
    if required and "default" in table:
        table.report("required", "true beside a default", "one of the two")
    if not required and "default" not in table:
        table.report("required", "false without a default", "false with a default")
    table.report_unknown()
    return evolve(declared, default=default)
