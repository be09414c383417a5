"""The modes that a run leaves the local terminal in."""

import re

#: xterm's private modes (DECSET), and whether a new terminal has them on: cursor keys,
#: reverse video and origin; wrapping and the cursor; mice; the alternate screen and
#: bracketed paste. See "Private Modes" in xterm's ctlseqs.
_DEFAULT_MODES = {
    **dict.fromkeys((1, 5, 6), False),
    **dict.fromkeys((7, 25), True),
    **dict.fromkeys((9, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016), False),
    **dict.fromkeys((47, 1047, 1049, 2004), False),
}

#: Sequences that change modes, colours, modified keys or margins (CSI), the keypad, or
#: reset everything (RIS).
_SWITCH = re.compile(rb"\x1b(?:\[([?>]?)([0-9;]{0,60})([hlmr])|([=>c]))")
# A sequence may be cut anywhere; 60 bounds what is held of one that never ends.
_UNFINISHED = re.compile(rb"\x1b(?:\[[?>]?[0-9;]{0,60})?\Z")


class TerminalModes:
    """
    Tracks the modes that a run switches, to switch them back where the run cannot: an
    editor whose connection broke does not leave its alternate screen behind.
    """

    def __init__(self) -> None:
        self._unfinished = b""  # the beginning of a sequence
        self._set_defaults()

    def feed(self, data: bytes) -> None:
        """Take what the run writes to the terminal."""
        data = self._unfinished + data
        for prefix, numbers, final, single in _SWITCH.findall(data):
            match prefix + final or single:
                case b"?h" | b"?l":
                    on = final == b"h"
                    wanted = {int(each) for each in numbers.split(b";") if each}
                    self._modes.update(
                        dict.fromkeys(wanted & _DEFAULT_MODES.keys(), on)
                    )
                case b"m":
                    self._coloured = numbers.strip(b"0;") != b""
                case b">m" if numbers.startswith(b"4"):
                    self._keys = numbers.removeprefix(b"4").strip(b";0") != b""
                case b"r":
                    self._margins = numbers != b""
                case b"=" | b">":
                    self._keypad = single == b"="
                case b"c":
                    self._set_defaults()
        unfinished = _UNFINISHED.search(data)
        self._unfinished = b"" if unfinished is None else unfinished[0]

    def reset(self) -> bytes:
        """Start afresh; returns the sequences that switch everything back."""
        sent = [
            b"\x1b[?%d%c" % (number, b"h" if default else b"l")
            for number, default in _DEFAULT_MODES.items()
            if self._modes[number] != default
        ]
        sent += [b"\x1b[>4m"] if self._keys else []
        sent += [b"\x1b>"] if self._keypad else []
        sent += [b"\x1b[m"] if self._coloured else []
        sent += (
            [b"\x1b7\x1b[r\x1b8"] if self._margins else []
        )  # margins move the cursor
        self._set_defaults()
        return b"".join(sent)

    def _set_defaults(self) -> None:
        self._modes = dict(_DEFAULT_MODES)
        self._coloured = self._keys = self._keypad = self._margins = False
