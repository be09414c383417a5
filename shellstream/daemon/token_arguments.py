"""The command line of C{twistd shellstream tokens}."""

import argparse
import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from shellstream.model.checks import NotAllowed
from shellstream.model.errors import did_you_mean
from shellstream.security.authorization import (
    DEFAULT_ACTIONS,
    Action,
    action_names,
    actions,
    patterns,
)
from shellstream.security.tokens import LAST_TIME, token_name

T = TypeVar("T")

_EPILOG = """\
  twistd shellstream tokens make pi
  twistd shellstream tokens make ci --commands 'build*' --actions run,read --expires 90d
  twistd shellstream --state-dir /var/lib/shellstream tokens list
  twistd shellstream tokens revoke pi

The tokens belong to the daemons that use the same --state-dir (under systemd that is
/var/lib/NAME), which follow a change within two seconds. Several tokens may have the
same name: to replace one, make the next, and then revoke the first by its ID.
"""

_WHEN = (
    "such as 45m, 12h, 30d or 2w, or a time such as 2027-01-31 or 2027-01-31T12:00:00Z"
)

# No months or years: their length differs.
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def parser(now: int) -> ArgumentParser:
    """
    The parser of the command line; C{do} of its result names the subcommand.

    @param now: the time, in microseconds since 1970.
    """
    parser = ArgumentParser(
        prog="twistd shellstream [--state-dir DIR] tokens",
        description="Makes, lists and revokes the tokens by which clients log in.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, help: str) -> ArgumentParser:  # noqa: A002
        found = commands.add_parser(
            name, help=help, description=help, allow_abbrev=False
        )
        found.set_defaults(do=name)
        return found

    a_time = _type(partial(_moment, now=now))
    making = command("make", "make a token, and show it once, on standard output")
    making.add_argument(
        "name",
        metavar="NAME",
        type=_type(token_name),
        help="who or what will use it",
    )
    making.add_argument(
        "--commands",
        metavar="PATTERN",
        action="append",
        type=_type(lambda text: patterns([text])[0]),
        help="the commands it is for, such as 'build*'; may be given several times "
        "(default: all)",
    )
    making.add_argument(
        "--actions",
        metavar="ACTION,...",
        type=_type(_actions),
        default=DEFAULT_ACTIONS,
        help=f"what it allows: some of {', '.join(action_names(Action))} "
        f"(default: {','.join(action_names(DEFAULT_ACTIONS))})",
    )
    making.add_argument(
        "--own", action="store_true", help="only runs that it has started"
    )
    making.add_argument(
        "--expires", metavar="WHEN", type=a_time, help=f"{_WHEN} (default: never)"
    )
    listing = command("list", "show all tokens, without their secrets")
    listing.add_argument("--json", action="store_true", help="for programs")
    revoking = command("revoke", "revoke one token, or all tokens with a name")
    revoking.add_argument("which", metavar="NAME|ID", help="as tokens list shows it")
    return parser


def _type(check: Callable[[str], T]) -> Callable[[str], T]:
    """A check of ours as argparse needs it, to show the reason."""

    def checked(text: str) -> T:
        try:
            return check(text)
        except NotAllowed as allowed:
            raise ArgumentTypeError(f"{text!r}; take {allowed}") from None

    return checked


def _actions(text: str) -> frozenset[Action]:
    names = [each.strip() for each in text.split(",")]
    known = action_names(Action)
    hints = [did_you_mean(each, known) for each in names if each not in known]
    try:
        return actions(names)
    except NotAllowed:
        hint = next(filter(None, hints), "")
        raise NotAllowed(f"some of {','.join(known)}{hint}") from None


def _moment(text: str, now: int) -> int:
    """Read a time later than now, in microseconds since 1970."""
    found = _later(text, now) or _date(text)
    if found is None:
        raise NotAllowed(_WHEN)
    if not now < found <= LAST_TIME:
        raise NotAllowed("a time that is still to come")  # or nobody could use it
    return found


def _later(text: str, now: int) -> int | None:
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text, re.ASCII)
    if match is None:
        return None
    return now + int(match[1]) * _UNITS[match[2]] * 1_000_000


def _date(text: str) -> int | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    # The time zone of this machine would surprise whoever reads the list elsewhere.
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
