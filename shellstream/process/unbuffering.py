"""
Keeping programs from holding their output back until they end.

On a pipe, C's stdio, Python and Perl write in blocks of some KiB. Each can be told not
to by an environment variable, or be given a terminal.
"""

import re
from collections.abc import Mapping

from attrs import frozen

from shellstream.config.command import Unbuffer


@frozen
class Preload:
    """
    The library of C{stdbuf -oL}, which makes C's stdio write line by line.

    @ivar variables: they make a loader take the library.
    @ivar loader: the path of the only one that may: another libc's would complain, or
        crash.
    """

    variables: Mapping[str, str]
    loader: bytes


#: Perl has no variable for this, but one for the option C{-M}. Of this value it makes
#: C{use strict();$|=1;}: a module that every script has, of which nothing is imported,
#: then the statement that we want. Perl splits it at spaces, so it must not have any.
_PERL = "-Mstrict();$|=1"

_AUTO = {"PYTHONUNBUFFERED": "1", "PERL5OPT": _PERL}

#: A program with the shared runtime of AddressSanitizer ends at once if any library is
#: loaded before that, unless it is told not to look. It is loaded first where it
#: matters: C{stdbuf}'s library replaces no function.
_PRELOADED = {"ASAN_OPTIONS": "verify_asan_link_order=0"}

#: No person is at this terminal to look at colors or to turn pages. C{core.pager} of
#: git's configuration goes before C{PAGER}, but not before C{GIT_PAGER}.
_ON_TERMINAL = {"TERM": "dumb", "NO_COLOR": "1", "PAGER": "cat", "GIT_PAGER": "cat"}

#: What makes programs write colors: U{https://force-color.org/},
#: U{https://bixense.com/clicolors/}, and a terminal that has them.
_COLORED = {"TERM": "xterm-256color", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}

#: Variables that hold several values, and what separates them.
_JOINED = {"PERL5OPT": " ", "LD_PRELOAD": ":", "ASAN_OPTIONS": ":"}

#: Programs that change what files others find. In there C{stdbuf}'s library is missing,
#: and each program that is started would complain of that.
_CHANGE_ROOT = re.compile(
    r"(?<![\w.+-])(?:apptainer|arch-chroot|bwrap|chroot|debootstrap|distrobox|fakechroot"
    r"|firejail|flatpak|mmdebstrap|nsenter|pivot_root|proot|schroot|singularity"
    r"|switch_root|systemd-nspawn|unshare)(?![\w.+-])"
)


def changes_root(text: str) -> bool:
    """Whether an argument, or a script, names a program that changes the root."""
    return _CHANGE_ROOT.search(text) is not None


def unbuffered(
    how: Unbuffer,
    given: Mapping[str, str],
    preload: Preload | None,
    color: bool = False,
) -> dict[str, str]:
    """
    An environment that un-buffers a program and all that it starts.

    @param given: the environment without that. Its values win, even empty ones; ours
        are appended to those of variables that hold several.
    @param preload: only if the program's loader is the one that may take it.
    @param color: whether programs shall write colors, terminal or not.
    """
    ours: dict[str, str] = {}
    if how is not Unbuffer.OFF:
        ours |= _AUTO
        if preload is not None:
            ours |= {**preload.variables, **_PRELOADED}
    if how is Unbuffer.PTY:
        ours |= _ON_TERMINAL
    if color:
        ours.pop("NO_COLOR", None)
        ours |= _COLORED
    joined = {
        name: f"{given[name]}{between}{ours[name]}"
        for name, between in _JOINED.items()
        if name in ours and given.get(name)
    }
    return {**ours, **given, **joined}
