"""
Makes the manual pages of the generated Markdown, in the macros of man(7).

It knows the Markdown that C{docs/generate.py} writes, and no other: headings,
paragraphs, blocks of code, lists and tables, whose first column names a thing.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from shellstream import __version__

#: The manual pages that are made of pages of the reference.
MANUALS = {
    "command-line.md": "shellstream(1)",
    "configuration.md": "shellstream.toml(5)",
    "daemon.md": "shellstreamd(8)",
}

#: Where the Debian package has files of the clone.
FILES = {
    "shellstream.schema.json": "/usr/share/shellstream/shellstream.schema.json",
    "shellstream.toml.example": (
        "/usr/share/doc/shellstream/examples/shellstream.toml.example"
    ),
}


def manual(
    name: str, section: int, about: str, markdown: Iterable[str], see: Sequence[str]
) -> Iterator[str]:
    """
    A manual page.

    @param about: what it is, in a few words.
    @param see: other pages, such as C{"curl(1)"}.
    """
    title = _quoted(name.upper())
    yield r".\" Made by docs/generate.py: change the code, then run it."
    yield f'.TH {title} {section} "" "shellstream {__version__}" "shellstream"'
    yield from (".SH NAME", rf"{_roff(name)} \- {_roff(about)}")
    yield from _blocks(iter(markdown))
    yield ".SH SEE ALSO"
    yield ", ".join(rf"\fB{_roff(page)}\fR" for page in see)


def _blocks(lines: Iterator[str]) -> Iterator[str]:
    head: list[str] | None = None  # the columns of the table that goes on
    new = True  # whether a paragraph begins here
    for line in lines:
        if line.startswith("|"):
            if head is None:
                head = _cells(line)
                next(lines)
            else:
                yield from _row(head, _cells(line))
            continue
        head = None
        if line.startswith("```"):
            yield from (".PP", ".RS 4", ".nf")
            yield from (_roff(each) for each in iter(lambda: next(lines), "```"))
            yield from (".fi", ".RE")
            new = True
        elif line.startswith("### "):
            yield f".SS {_quoted(line[4:].replace('`', ''))}"
            new = False
        elif line.startswith("## "):
            text = line[3:]
            # Keys and commands are as the reader types them.
            plain = text.replace("`", "") if "`" in text else text.upper()
            yield f".SH {_quoted(plain)}"
            new = False
        elif not line:
            new = True
        elif not line.startswith(("# ", "<!--")):
            if line.startswith("- "):
                yield r".IP \(bu 2"
            elif new and not line.startswith("  "):
                yield ".PP"
            new = False
            yield _inline(line.removeprefix("- ").strip())


def _row(head: Sequence[str], cells: Sequence[str]) -> Iterator[str]:
    """A row: the thing, what it does, and what the other columns say of it."""
    first, *others, about = cells
    yield from (".TP", rf"\fB{_roff(_plain(first))}\fR", _inline(about) or r"\&")
    for title, cell in zip(head[1:-1], others, strict=True):
        if cell:
            yield from (".br", _inline(f"{title}: {cell}"))


def _cells(line: str) -> list[str]:
    """The cells of a row; a bar within one is escaped."""
    parts = re.split(r"(?<!\\)\|", line.strip()[1:-1])
    return [each.strip().replace(r"\|", "|") for each in parts]


def _plain(text: str) -> str:
    """A text without its marks."""
    return _unlinked(text).replace("`", "")


def _inline(text: str) -> str:
    """A line of text, with code in bold type."""
    parts = [_escaped(each) for each in _unlinked(text).replace("**", "`").split("`")]
    for index in range(1, len(parts), 2):
        parts[index] = rf"\fB{parts[index]}\fR"
    return _guarded("".join(parts))


def _unlinked(text: str) -> str:
    """A text whose links say in words where they lead, unless within the page."""
    return re.sub(r"\[([^]]*)\]\(([^)]*)\)", _named, text)


def _named(link: re.Match[str]) -> str:
    text, target = link[1], link[2].partition("#")[0]
    if "://" in target:
        return f"{text.replace('`', '')} ({link[2]})"
    name = PurePosixPath(target).name
    file = f"{text} ({FILES[name]})" if name in FILES else text
    return MANUALS.get(name, file)


def _roff(text: str) -> str:
    return _guarded(_escaped(text))


def _escaped(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return text.replace("~", r"\(ti").replace("^", r"\(ha").replace("…", "...")


def _guarded(text: str) -> str:
    """A line that is no request, though it begins like one."""
    return rf"\&{text}" if text.startswith((".", "'")) else text


def _quoted(text: str) -> str:
    text = _escaped(text).replace('"', r"\(dq")
    return f'"{text}"'
