"""Read a command line, and print what it may hold."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from shellstream import __version__
from shellstream.client.errors import Usage

from .exit_codes import CODES
from .options import DESCRIPTION, ENVIRONMENT, SUBCOMMANDS, Subcommand


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with our own exit code."""

    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message}; see {self.prog} --help")


def epilog() -> str:
    """What the help says below the options."""
    lines = ["environment:"]
    lines += [f"  {name:<24}{what}" for name, what in ENVIRONMENT.items()]
    lines += ["", "exit codes, where they are not the command's own:"]
    lines += [f"  {code:<5}{what}" for code, what in CODES.items()]
    return "\n".join(lines)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """
    Read the command line.

    @return: what it says, C{subcommand} among it.
    @raise Usage: if it makes no sense.
    """
    words = list(argv)
    index = _first_word(words)
    if index is None and {"-h", "--help", "--version"} & set(words):
        whole_parser().parse_args(words)
    name = "run"
    if index is not None and words[index] in SUBCOMMANDS:
        name = words.pop(index)
    sub = SUBCOMMANDS[name]
    command = None
    if name == "doctor" and "--" in words:
        dashes = words.index("--")
        words, command = words[:dashes], words[dashes + 1 :]
    parser = Parser(f"shellstream {name}", allow_abbrev=False, **sub.given)
    _fill(parser, sub)
    found, unknown = parser.parse_known_intermixed_args(words)
    if unknown:
        parser.error(f"{unknown[0]!r} is unknown here{_meant(unknown[0], sub)}")
    found.subcommand, found.argv = name, command
    return found


def whole_parser() -> Parser:
    """All of it, for who reads, completes or prints it."""
    parser = Parser(
        "shellstream",
        usage="shellstream [OPTIONS] [NAME | URL] [NAME=VALUE ...]\n"
        "       shellstream SUBCOMMAND [OPTIONS] ...",
        description=DESCRIPTION,
        epilog=epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"shellstream {__version__}"
    )
    subparsers = parser.add_subparsers(metavar="SUBCOMMAND", title="subcommands")
    for name, sub in SUBCOMMANDS.items():
        each = subparsers.add_parser(name, help=sub.help, **sub.given)
        _fill(each, sub)
    return parser


def _meant(word: str, sub: Subcommand) -> str:
    """A hint for who mistyped an option."""
    from difflib import get_close_matches

    known = [name for option in sub.options for name in option.names]
    close = get_close_matches(word.partition("=")[0], known, n=1)
    return f" (did you mean {close[0]}?)" if close and word.startswith("-") else ""


def _fill(parser: argparse.ArgumentParser, sub: Subcommand) -> None:
    for option in sub.options:
        parser.add_argument(*option.names, **option.given)


def _first_word(words: Sequence[str]) -> int | None:
    """Where the first word is that is neither an option nor the value of one."""
    valued = {
        name
        for sub in SUBCOMMANDS.values()
        for option in sub.options
        if option.takes_value
        for name in option.names
    }
    skip = False
    for index, word in enumerate(words):
        if skip:
            skip = False
        elif word == "--":
            return None  # what follows is no subcommand
        elif word in valued:
            skip = True
        elif not word.startswith("-"):
            return index
    return None


def completion(shell: str) -> int:
    """Print it, for C{eval} or a file."""
    import shtab

    script = shtab.complete(whole_parser(), shell=shell)  # nosec B604  # its name
    sys.stdout.write(script)
    sys.stdout.write("\n")
    return 0
