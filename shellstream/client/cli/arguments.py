"""Parses the command line, and prints its help."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from shellstream import __version__
from shellstream.client.errors import Usage
from shellstream.programs import typed

from .exit_codes import CODES
from .messages import print_text
from .options import ENVIRONMENT
from .subcommands import DESCRIPTION, NAMES, SUBCOMMANDS, Subcommand, canonical

#: Options that other clients have, and what takes their place here.
_ELSEWHERE = {
    "--url": "--server URL",
    "--token": "--token-file FILE or $SHELLSTREAM_TOKEN",
    "-it": "--tty",
    "-ti": "--tty",
    "-i": "--tty",
    "-d": "the subcommand start, which does not follow the run",
    "--detach": "the subcommand start, which does not follow the run",
    "--since": "-n N, which begins with the last N lines",
}


VERSION = f"shellstream {__version__}"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with an exit code of ours."""

    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message}; see {self.prog} --help")

    def print_help(self, file: Any = None) -> None:
        print_text(self.format_help())


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """
    Parse the command line. A subcommand is its first word; anything else is for C{run}.

    @return: the options, and C{subcommand}; C{argv} is the command after C{doctor --}.
    @raise Usage: if it is malformed.
    """
    words = list(argv)
    called = words[0] if words and words[0] in NAMES else None
    if called is None:
        for word in words:
            if word in ("-h", "--help"):
                _print_help(None)
            if word in ("-V", "--version"):
                print_text(f"{VERSION}\n")
                sys.exit(0)
    else:
        del words[0]
    name = canonical(called or "run") or "run"
    subcommand = SUBCOMMANDS[name]
    command = None
    if name == "doctor" and "--" in words:
        dashes = words.index("--")
        words, command = words[:dashes], words[dashes + 1 :]
    parser = _parser_of(called or "run")
    # Intermixed, since plain parsing ends the words at the first option after them.
    found, unknown = parser.parse_known_intermixed_args(words)
    # The first complaint, since the unknown option may be one of that subcommand.
    if called is None and found.words and found.words[0] in NAMES:
        # To run the command of this name instead would surprise most users.
        parser.error(
            f"{found.words[0]!r}: a subcommand comes before its options; a command of "
            f"this name runs with: {typed('shellstream')} run {found.words[0]}"
        )
    if unknown:
        if "run" in vars(found) and not unknown[0].startswith("-"):
            parser.error(f"{unknown[0]!r}: {called} takes one run")
        hint = _option_hint(unknown[0], subcommand)
        command_name = _command_of(found)
        if command_name is not None and ("=" in unknown[0] or not hint):
            hint = hint or (_subcommand_hint(command_name) if called is None else "")
            if re.match("--[^=]+=", unknown[0]):
                hint += f" (did you mean {unknown[0][2:]}?)"
            hint += (
                "; only commands that the server names can be run, with parameters as "
                f"NAME=VALUE: {typed('shellstream')} commands lists them"
            )
        parser.error(f"{unknown[0]!r} is unknown{hint}")
    _check_text(found, subcommand)
    if name == "help":
        if found.topic is not None and found.topic not in NAMES:
            shellstream = typed("shellstream")
            hint = _subcommand_hint(found.topic) or f"; {shellstream} help lists them"
            hint += f", and {shellstream} commands {found.topic} shows a command"
            parser.error(f"{found.topic!r} is no subcommand{hint}")
        _print_help(found.topic)
    found.subcommand, found.argv = name, command
    return found


def _print_help(name: str | None) -> NoReturn:
    """Print the help of all, or of a subcommand, and exit."""
    (build_parser() if name is None else _parser_of(name)).print_help()
    sys.exit(0)


def _parser_of(name: str) -> Parser:
    """The parser of a subcommand, by any of its names."""
    subcommand = SUBCOMMANDS[canonical(name) or name]
    keywords = subcommand.keywords(name)
    parser = Parser(f"shellstream {name}", allow_abbrev=False, **keywords)
    _add_options(parser, subcommand)
    return parser


def build_parser() -> Parser:
    """A parser of all subcommands, for help."""
    parser = Parser(
        "shellstream",
        usage="shellstream [OPTIONS] [NAME | URL] [NAME=VALUE ...]\n"
        "       shellstream SUBCOMMAND [OPTIONS] ...\n\n"
        "Options of run: shellstream run --help",
        description=DESCRIPTION,
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=VERSION)
    subparsers = parser.add_subparsers(metavar="SUBCOMMAND", title="subcommands")
    for name, sub in SUBCOMMANDS.items():
        keywords = sub.keywords(name)
        subparsers.add_parser(name, help=sub.help, aliases=sub.aliases, **keywords)
    return parser


def _command_of(found: argparse.Namespace) -> str | None:
    """The command of the server that a command line names, unless it names a URL."""
    words = [getattr(found, "name", None), *getattr(found, "words", ())]
    first = next(filter(None, words), "/")
    return None if re.search("[/:]", first) else first


def _check_text(found: argparse.Namespace, sub: Subcommand) -> None:
    """
    Check that nothing is empty, and that what is sent to a server is text. The names of
    files may be any bytes.

    An empty word comes from a variable that is not set. It must not choose the default
    command, the default server or no certificate.

    @raise Usage: if it is not.
    """
    for option in sub.options:
        given = getattr(found, option.destination)
        for word in given if isinstance(given, list) else [given]:
            if word == "":
                named = option.names[0].startswith("-")
                what = option.names[0] if named else "a word of the command line"
                raise Usage(f"{what} is empty; is a variable of the shell not set?")
            if option.keywords.get("metavar") == "FILE" or not isinstance(word, str):
                continue
            if not _is_text(word):
                encoding = sys.getfilesystemencoding().upper()
                raise Usage(
                    f"{word!r} is not {encoding} text; only the name of a "
                    "file may have other bytes"
                )


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:  # Python escapes bytes that it cannot decode
        return False
    return True


def _epilog() -> str:
    lines = ["environment:"]
    lines += [f"  {name:<24}{text}" for name, text in ENVIRONMENT.items()]
    lines += ["", "exit codes, where they are not the command's own:"]
    lines += [f"  {code:<5}{text}" for code, text in CODES.items()]
    return "\n".join(lines)


def _subcommand_hint(name: str) -> str:
    from .target import subcommand_hint  # late: it loads all that reads URLs

    return subcommand_hint(name)


def _option_hint(word: str, sub: Subcommand) -> str:
    from difflib import get_close_matches

    option = word.partition("=")[0]
    if option in _ELSEWHERE:
        return f" (use {_ELSEWHERE[option]})"
    known = [name for each in sub.options for name in each.names]
    # At the default of 0.6, --bogus would resemble --verbose.
    close = get_close_matches(option, known, n=1, cutoff=0.66)
    return f" (did you mean {close[0]}?)" if close and word.startswith("-") else ""


def _add_options(parser: argparse.ArgumentParser, sub: Subcommand) -> None:
    for option in sub.options:
        parser.add_argument(*option.names, **option.keywords)
