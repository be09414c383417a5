"""Output of a command as plain text: what a terminal would show of its last lines."""

import re

#: Control sequences, strings of the operating system, and short escapes (ECMA-48).
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[PX\]^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]"
)

#: All other controls but the tab and the end of a line.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def last_lines(data: bytes, lines: int) -> str:
    """
    The last lines of an output, without escape sequences and controls.

    A line that was written several times, as by a progress bar, is shown as it was
    last.
    """
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    shown = []
    for line in _ESCAPES.sub("", text).rstrip("\n").split("\n")[-lines:]:
        shown.append(_CONTROLS.sub("", line.rstrip("\r").rpartition("\r")[2]))
    return "\n".join(shown)


def masked(text: str, secrets: list[str], mask: str) -> str:
    """A text without these secrets. Longer ones first: one may be part of another."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, mask)
    return text
