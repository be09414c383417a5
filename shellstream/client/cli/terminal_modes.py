"""What a run does to our screen beside writing on it."""

import re

#: Private modes of xterm, and whether they are on at a terminal as one finds it: keys
#: of the cursor, reverse video, origin, wrapping, the cursor itself, mice, other
#: screens, brackets around what is pasted.
_DEFAULT_MODES = {
    **dict.fromkeys((1, 5, 6), False),
    **dict.fromkeys((7, 25), True),
    **dict.fromkeys((9, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016), False),
    **dict.fromkeys((47, 1047, 1049, 2004), False),
}

#: Modes, colours or other keys, margins (CSI); the keypad; a reset of everything.
_SWITCH = re.compile(rb"\x1b(?:\[([?>]?)([0-9;]{0,60})([hlmr])|([=>c]))")
_BEGUN = re.compile(rb"\x1b(?:\[[?>]?[0-9;]{0,60})?\Z")


class TerminalModes:
    """
    Sees what a run switches, so that it can be switched back when the run cannot do
    so any more: an editor that lost its network leaves no screen of its own behind.
    """

    def __init__(self) -> None:
        self._held = b""  # the beginning of a sequence
        self._found()

    def feed(self, data: bytes) -> None:
        """This is written to the terminal."""
        data = self._held + data
        for kind, numbers, what, single in _SWITCH.findall(data):
            match kind + what or single:
                case b"?h" | b"?l":
                    on = what == b"h"
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
                    self._found()
        begun = _BEGUN.search(data)
        self._held = b"" if begun is None else begun[0]

    def undo(self) -> bytes:
        """What switches all of that back; from then on it counts as done."""
        sent = [
            b"\x1b[?%d%c" % (number, b"h" if usual else b"l")
            for number, usual in _DEFAULT_MODES.items()
            if self._modes[number] != usual
        ]
        sent += [b"\x1b[>4m"] if self._keys else []
        sent += [b"\x1b>"] if self._keypad else []
        sent += [b"\x1b[m"] if self._coloured else []
        sent += [b"\x1b7\x1b[r\x1b8"] if self._margins else []  # it moves the cursor
        self._found()
        return b"".join(sent)

    def _found(self) -> None:
        """As a terminal is found."""
        self._modes = dict(_DEFAULT_MODES)
        self._coloured = self._keys = self._keypad = self._margins = False
