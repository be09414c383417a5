"""Makes C{deploy/shellstream.1}, the manual page, of the command line's own words."""

import re
from collections.abc import Iterator, Sequence

from shellstream.client.cli.exit_codes import CODES
from shellstream.client.cli.options import (
    CONNECTING,
    DESCRIPTION,
    ENVIRONMENT,
    SHOWING,
    SUBCOMMANDS,
    Option,
)
from tests.support.programs import ROOT

PATH = ROOT / "deploy" / "shellstream.1"


def manual() -> str:
    """The page, in the man(7) macros."""
    about, _, examples = DESCRIPTION.partition("\n\n")
    codes = {
        "0-255": "what the command exited with",
        "128+n": "the command was ended by the signal of number n",
        **{str(code): what for code, what in CODES.items()},
    }
    lines = [
        '.TH SHELLSTREAM 1 "" "" "User Commands"',
        ".SH NAME",
        r"shellstream \- run commands on one machine, watch them live on another",
        ".SH SYNOPSIS",
        *_synopsis("[OPTIONS] [NAME | URL] [NAME=VALUE ...]"),
        ".br",
        *_synopsis("SUBCOMMAND [OPTIONS] ..."),
        ".SH DESCRIPTION",
        _text(about),
        ".PP",
        ".nf",
        *map(_text, examples.rstrip().splitlines()),
        ".fi",
        ".SH SUBCOMMANDS",
        *_subcommands(),
        ".SH OPTIONS OF RUN, ATTACH AND OUTPUT",
        *_options(SHOWING),
        ".SH OPTIONS OF ALL THAT ASK A SERVER",
        *_options(CONNECTING),
        ".SH ENVIRONMENT",
        *_table(ENVIRONMENT),
        ".SH FILES",
        *_table({"$XDG_CONFIG_HOME/shellstream/client.toml": "servers by name"}),
        ".SH EXIT STATUS",
        *_table(codes),
        ".SH SEE ALSO",
        ".BR curl (1),",
        ".BR twistd (1)",
    ]
    return "\n".join(lines) + "\n"


def _synopsis(words: str) -> list[str]:
    return [".B shellstream", _text(words)]


def _subcommands() -> Iterator[str]:
    for name, subcommand in SUBCOMMANDS.items():
        own = [
            option
            for option in subcommand.options
            if option not in (*SHOWING, *CONNECTING)
        ]
        words = [_shown(option) for option in own if option.is_word]
        yield ".TP"
        yield rf"\fBshellstream {name}\fR {' '.join(words)}".rstrip()
        yield _text(subcommand.help)
        options = [option for option in own if not option.is_word]
        if options:
            yield ".RS"
            yield from _options(options)
            yield ".RE"


def _options(options: Sequence[Option]) -> Iterator[str]:
    for option in options:
        yield ".TP"
        yield _shown(option)
        help_ = str(option.given["help"])
        if "%(default)" in help_:
            help_ %= {"default": option.given["default"]}
        yield _text(help_)


def _shown(option: Option) -> str:
    """An option or a word, as it is typed."""
    choices = option.given.get("choices")
    value = option.given.get("metavar") or ("|".join(choices) if choices else "")
    if option.is_word:
        if value.startswith("["):
            return _text(value)
        many = option.given.get("nargs")
        word = rf"\fI{_text(value)}\fR"
        if value.startswith("["):
            return word
        return word if many is None else f"[{word}{' ...' if many == '*' else ''}]"
    names = ", ".join(rf"\fB{_text(name)}\fR" for name in option.names)
    return rf"{names} \fI{_text(value)}\fR" if option.takes_value else names


def _table(rows: "dict[str, str]") -> Iterator[str]:
    for name, what in rows.items():
        yield from (".TP", rf"\fB{_text(name)}\fR", _text(what))


def _text(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


if __name__ == "__main__":
    PATH.write_text(manual(), "utf-8")
