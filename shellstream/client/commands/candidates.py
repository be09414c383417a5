"""What a word of the command line may be, for completion. It does without Twisted."""

import os
import re
import signal
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from shellstream.client.cli.messages import print_text
from shellstream.client.cli.options import Option
from shellstream.client.cli.subcommands import (
    NAMES,
    SUBCOMMANDS,
    Subcommand,
    canonical,
)
from shellstream.client.cli.times import local
from shellstream.client.errors import ClientError
from shellstream.client.escape import printable

from .completion import FILES

#: Seconds for each step of a request, and for all of a completion.
_STEP, _ALL = 0.2, 1.0

#: How many runs are offered.
_RUNS = 20

#: The options that choose the server, and how it is trusted.
_CHOOSING = ("server", "token_file", "cacert", "pin", "cert", "key")


class Candidate(NamedTuple):
    """A word, and what it means. It is offered if it begins as the user's word does."""

    word: str
    help: str = ""


class Files(Exception):
    """The word is the name of a file: the shell knows these."""


#: What bash does not take as it stands: outside of quotes, and between double ones.
_SPECIAL = re.compile(r"[^\w@%+=:,./-]")
_SPECIAL_QUOTED = re.compile(r"[$`\"\\!]")

#: Asks a server: gets the command line's options and a path, and returns a document;
#: L{None} if there is none.
Ask = Callable[[Mapping[str, str], str], Any]


def complete(argv: Sequence[str]) -> int:
    """
    Print the candidates for the last word, one a line.

    @param argv: the words after C{--}; or C{--bash}, the line up to the cursor, and
        the part of it that bash replaces.
    """
    # Whatever happens, a user who presses Tab does not wait longer. What has been
    # printed by then is shown.
    signal.setitimer(signal.ITIMER_REAL, _ALL)
    signal.signal(signal.SIGALRM, lambda number, frame: os._exit(0))
    cut, quote = 0, None
    if argv[0] == "--bash":
        words, quote = split_line(argv[1])
        (*_, part), _ = split_line(f"shellstream {quote}{argv[2]}")
        cut = len(words[-1]) - len(part) if words[-1].endswith(part) else 0
    else:
        words = list(argv[1:]) or [""]
    try:
        for each in candidates(words, ask_server):
            word = printable(each.word)[cut:]
            if quote is not None:
                word = quoted(word, quote)
            # A tab ends the word, a line end the candidate.
            line = f"{word}\t{printable(each.help)}".rstrip("\t")
            print_text(f"{line}\n")
    except Files:
        return FILES
    return 0


def quoted(word: str, quote: str) -> str:
    """
    A word as it has to stand in a line of bash, which puts it there unchanged. The
    server has chosen it, and it must not become a command.

    @param quote: the quotation mark that is open before it, if any.
    """
    if quote == "'":
        return word.replace("'", r"'\''")
    special = _SPECIAL_QUOTED if quote else _SPECIAL
    return special.sub(r"\\\g<0>", word)


def split_line(line: str) -> tuple[list[str], str]:
    """
    The words of a line without its first, as a shell splits them. The last one, which
    may be empty, is being written: its quotes may be open.

    @return: the words, and the quotation mark that is open, if any.
    """
    words: list[str] = []
    word: str | None = None
    quote, at = "", 0
    while at < len(line):
        char = line[at]
        at += 1
        if char == "\\" and quote != "'" and at < len(line):
            word = (word or "") + line[at]
            at += 1
        elif quote:
            quote = "" if char == quote else quote
            word = (word or "") + ("" if not quote else char)
        elif char in "'\"":
            quote, word = char, word or ""
        elif char.isspace():
            words += [] if word is None else [word]
            word = None
        else:
            word = (word or "") + char
    return [*words[1:], word or ""], quote


def candidates(words: Sequence[str], ask: Ask) -> Iterator[Candidate]:
    """
    What the last word may be.

    @raise Files: if it may be any file.
    """
    *before, word = words
    for each in _all(before, word, ask):
        if each.word.startswith(word):
            yield each


def _all(before: list[str], word: str, ask: Ask) -> Iterator[Candidate]:
    called = before[0] if before and before[0] in NAMES else None
    name = canonical(called or "run") or "run"
    line = _Line(before[1:] if called else before, SUBCOMMANDS[name])
    if name == "doctor" and "--" in before:
        raise Files
    server = _Server(line.given, ask)
    if line.open is not None:
        yield from _values(line.open, server)
    elif word.startswith("--") and "=" in word:
        names, _, _ = word.partition("=")
        option = line.options.get(names)
        if option is not None and option.takes_value:
            for each in _values(option, server):
                yield Candidate(f"{names}={each.word}", each.help)
    elif word.startswith("-"):
        for option in line.subcommand.options:
            if not option.is_positional:
                yield Candidate(option.names[-1], _help(option))
        yield Candidate("--help", "show the help")
    else:
        if not before:
            yield from _subcommands()
        for each in _words(name, line.words, word, server):
            # Here this name is the subcommand's.
            if before or each.word not in NAMES:
                yield each


class _Line:
    """
    The words before the one that is completed.

    @ivar given: the values of options, by their destinations.
    @ivar words: the other words.
    @ivar open: the option whose value comes next, if any.
    """

    def __init__(self, words: Sequence[str], subcommand: Subcommand) -> None:
        self.subcommand = subcommand
        self.options = {
            name: option for option in subcommand.options for name in option.names
        }
        self.given: dict[str, str] = {}
        self.words: list[str] = []
        self.open: Option | None = None
        for word in words:
            name, equals, value = word.partition("=")
            option = self.options.get(name)
            if self.open is not None:
                self.given[self.open.destination] = word
                self.open = None
            elif not word.startswith("-") or word == "-":
                self.words.append(word)
            elif option is not None and option.takes_value:
                if equals:
                    self.given[option.destination] = value
                else:
                    self.open = option


class _Server:
    """The server that the command line names."""

    def __init__(self, given: Mapping[str, str], ask: Ask) -> None:
        self._given = given
        self._ask = ask

    def commands(self) -> list[Mapping[str, Any]]:
        """The commands, as the server describes them."""
        return self._list("/commands", "commands")

    def runs(self, **query: object) -> list[Mapping[str, Any]]:
        """The newest runs that a query chooses."""
        return self._list(f"/runs?{urlencode({'limit': _RUNS, **query})}", "runs")

    def _list(self, path: str, key: str) -> list[Mapping[str, Any]]:
        document = self._ask(self._given, path)
        found = document.get(key) if isinstance(document, dict) else None
        listed = found if isinstance(found, list) else []
        return [each for each in listed if isinstance(each, dict)]


def _subcommands() -> Iterator[Candidate]:
    for name, subcommand in SUBCOMMANDS.items():
        for each in (name, *subcommand.aliases):
            yield Candidate(each, subcommand.help)


def _help(option: Option) -> str:
    text = str(option.keywords.get("help", ""))
    if "%(default)" in text:
        text %= {"default": option.keywords["default"]}
    return text


def _values(option: Option, server: _Server) -> Iterator[Candidate]:
    """What the value of an option may be."""
    metavar = option.keywords.get("metavar")
    if metavar == "FILE":
        raise Files
    for choice in option.keywords.get("choices", ()):
        yield Candidate(choice)
    if option.destination == "server":
        yield from _saved_servers()
    elif option.destination == "command":
        yield from _commands(server)


def _words(
    name: str, before: Sequence[str], word: str, server: _Server
) -> Iterator[Candidate]:
    """What a word of a subcommand may be that is no option."""
    positional = [each for each in SUBCOMMANDS[name].options if each.is_positional]
    if name in ("run", "start"):
        if not before:
            yield from _commands(server)
        else:
            yield from _parameters(before, word, server)
    elif name == "commands" and not before:
        yield from _commands(server)
    elif name in ("login", "logout") and not before:
        yield from _saved_servers()
    elif name == "help" and not before:
        yield from _subcommands()
    elif name == "signal" and len(before) == 1:
        for each in ("INT", "TERM", "HUP", "USR1", "USR2", "KILL", "STOP", "CONT"):
            yield Candidate(each)
    elif name == "completion" and not before:
        yield from map(Candidate, positional[0].keywords["choices"])
    elif positional and positional[0].names[0] == "run":
        many = positional[0].keywords.get("nargs") == "+"
        if many or not before:
            yield from _runs(name, word, server)


def _commands(server: _Server) -> Iterator[Candidate]:
    for each in server.commands():
        yield Candidate(str(each.get("name")), str(each.get("description") or ""))


def _parameters(
    before: Sequence[str], word: str, server: _Server
) -> Iterator[Candidate]:
    """The parameters that are not given yet; or values of the one being written."""
    command = next((e for e in server.commands() if e.get("name") == before[0]), {})
    schema = command.get("parameters")
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    name, equals, _ = word.partition("=")
    given = {each.partition("=")[0] for each in before[1:]}
    for each, facts in properties.items():
        if not isinstance(facts, dict):
            continue
        if equals and each == name:
            choices = facts.get("enum") or (
                ("true", "false") if facts.get("type") == "boolean" else ()
            )
            for choice in choices:
                yield Candidate(f"{each}={choice}")
        elif not equals and each not in given:
            yield Candidate(f"{each}=", str(facts.get("description") or ""))


#: Which runs a subcommand is of use for: the fields that choose them.
_FOR: dict[str, dict[str, str]] = {
    "send": {"state": "running"},
    "signal": {"state": "running"},
}


def _runs(name: str, word: str, server: _Server) -> Iterator[Candidate]:
    yield Candidate("@last", "your newest run")
    if word.startswith("@"):
        for each in _commands(server):
            yield Candidate(f"@{each.word}", "its newest run")
        return
    runs = [
        run
        for run in server.runs(**_FOR.get(name, {}))
        if (name not in ("cancel", "wait") or not run.get("ended"))
        and (name != "delete" or run.get("ended"))
    ]
    for command in dict.fromkeys(str(run.get("command")) for run in runs):
        yield Candidate(f"@{command}", "its newest run")
    for run in runs:
        code = run.get("signal") if run.get("code") is None else run.get("code")
        state = f"{run.get('state')} {'' if code is None else code}".strip()
        created = local(str(run.get("created")), "minutes")[:16].replace("T", " ")
        what = f"{run.get('command')}, {state}, {created}"
        yield Candidate(str(run.get("id")), what)


def _saved_servers() -> Iterator[Candidate]:
    from shellstream.client.cli.configuration import load_configuration

    try:
        found = load_configuration(os.environ, _ignore)
    except ClientError:
        return
    for name, entry in found.servers.items():
        yield Candidate(name, entry["url"])


def ask_server(given: Mapping[str, str], path: str) -> Any:
    """The document at a path of the server that a command line and the files name."""
    from shellstream.client.cli.settings import load_settings
    from shellstream.client.transport.blocking import NoDocument, get_document
    from shellstream.client.transport.trust import Trust

    args = Namespace(**{key: given.get(key) for key in _CHOOSING}, quiet=True)
    try:
        settings = load_settings(args, os.environ, warn=_ignore)
        trust = settings.checked_trust() or Trust()
        url = settings.url + path
        return get_document(url, settings.token, trust, _STEP)
    except (ClientError, NoDocument):
        return None


def _ignore(text: str) -> None:
    """Drop a warning: a completion has no place for it."""
