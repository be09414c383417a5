"""Reading how a program is loaded from its first bytes (elf(5), execve(2))."""

import re
import struct
from collections.abc import Callable
from struct import Struct

#: Reads from a file: offset, size in bytes.
Read = Callable[[int, int], bytes]

_CLASSES = {1: "I", 2: "Q"}  # the size of an address
_ORDERS = {1: "<", 2: ">"}
_PT_INTERP = 3

#: More program headers than any linker writes, and the longest path (PATH_MAX).
_MAX_HEADERS = 128
_MAX_PATH = 4096

#: How much of a C{#!} line Linux reads, in bytes.
_MAX_LINE = 256
_INTERPRETER = re.compile(rb"#![ \t]*([^ \t\n\0]+)")


def loader_of(read: Read) -> bytes | None:
    """
    The path of the dynamic loader that a program names; L{None} if it is static or not
    ELF. Each libc has another loader, and the loader decides what may be preloaded.
    """
    start = read(0, 16)
    if len(start) < 16 or start[:4] != b"\x7fELF":
        return None
    address, order = _CLASSES.get(start[4]), _ORDERS.get(start[5])
    if address is None or order is None:
        return None
    header = Struct(f"{order}HHI{address}{address}{address}IHHH")
    try:
        _, _, _, _, offset, _, _, _, size, count = header.unpack(read(16, header.size))
        for index in range(min(count, _MAX_HEADERS)):
            at = read(offset + index * size, 56)
            if address == "Q":
                kind, _, place, _, _, length = Struct(f"{order}IIQQQQ").unpack(at[:40])
            else:
                kind, place, _, _, length = Struct(f"{order}IIIII").unpack(at[:20])
            if kind == _PT_INTERP:
                return read(place, min(length, _MAX_PATH)).partition(b"\0")[0]
    except struct.error:  # cut short
        return None
    return None


def interpreter_of(read: Read) -> bytes | None:
    """The program that a script's C{#!} line names; L{None} without that line."""
    line = _INTERPRETER.match(read(0, _MAX_LINE))
    return line and line[1]
