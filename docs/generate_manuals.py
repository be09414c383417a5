"""
Makes the manual pages of the generated Markdown, in the macros of man(7).

It knows the Markdown that C{docs/generate.py} writes, and no other: headings,
paragraphs, blocks of code, lists and tables, whose first column names a thing.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from shellstream import __version__


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
    """A text without its marks; a link within the documents leads nowhere here."""
    text = re.sub(r"\[([^]]*)\]\((https?:[^)]*)\)", r"\1 (\2)", text)
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("`", "")


def _inline(text: str) -> str:
    """A line of text, with code in bold type."""
    text = re.sub(r"\[`?([^]`]*)`?\]\((https?:[^)]*)\)", r"\1 (\2)", text)
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)
    parts = [_escaped(each) for each in text.replace("**", "`").split("`")]
    for index in range(1, len(parts), 2):
        parts[index] = rf"\fB{parts[index]}\fR"
    return _guarded("".join(parts))


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
