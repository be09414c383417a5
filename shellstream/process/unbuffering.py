"""
What keeps a program from sitting on its output until it ends.

On a pipe, C's stdio, Python, Perl and Ruby write by blocks of some KiB. Each can
be told not to, by a variable of its environment, or be given a terminal.
"""

from collections.abc import Mapping

from attrs import frozen

from shellstream.config.unbuffer import Unbuffer

from .elf import Loader


@frozen
class Preload:
    """
    C{stdbuf -oL} without its exec: a library that sets stdio to lines.

    Any other libc's loader would complain about it, or take it and crash.

    @ivar variables: what makes a loader take the library.
    @ivar loader: the one that can.
    """

    variables: Mapping[str, str]
    loader: Loader


#: Perl has no variable for it, but one for C{-M}, which it makes C{use strict();}
#: of: that loads a module that every script has, imports nothing from it, and
#: ends before the statement that we want. It is split at spaces: there is none.
_PERL = "-Mstrict();$|=1"

_AUTO = {"PYTHONUNBUFFERED": "1", "PERL5OPT": _PERL}

#: There is nobody at this terminal to look at colors, or to turn a page. Git has
#: its own pager beside C{PAGER}: C{core.pager} of its configuration.
_ON_TERMINAL = {"TERM": "dumb", "NO_COLOR": "1", "PAGER": "cat", "GIT_PAGER": "cat"}

#: What holds several of a kind, and what is between them.
_JOINED = {"PERL5OPT": " ", "LD_PRELOAD": ":"}


def unbuffered(
    how: Unbuffer, given: Mapping[str, str], preload: Preload | None
) -> dict[str, str]:
    """
    An environment with what un-buffers a program, and all that it starts.

    @param given: as the operator made it: what is there wins, also if it is empty;
        ours is appended to what can hold several.
    @param preload: if the program's loader is the one that can take it.
    """
    if how is Unbuffer.OFF:
        return dict(given)
    ours = {**_AUTO, **(preload.variables if preload is not None else {})}
    if how is Unbuffer.PTY:
        ours |= _ON_TERMINAL
    for name, between in _JOINED.items():
        if name in ours and given.get(name):
            ours[name] = f"{given[name]}{between}{ours[name]}"
    kept = {
        name: value
        for name, value in given.items()
        if not (name in _JOINED and name in ours and value)
    }
    return {**ours, **kept}
