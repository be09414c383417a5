"""Tests for L{shellstream.process.elf}."""

import struct
import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.process.elf import Read, interpreter_of, loader_of


def reading(data: bytes) -> Read:
    """A file with this in it."""
    return lambda offset, size: data[offset : offset + size]


def program(bits: int, order: str, machine: int, path: bytes | None) -> bytes:
    """An ELF program (elf(5)) with the loader at C{path}, or static."""
    wide = bits == 64
    ident = (
        b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    )
    size, entry = (64, 56) if wide else (52, 32)
    address = "QQQ" if wide else "III"
    head = struct.pack(
        f"{order}HHI{address}IHHHHHH",
        *(3, machine, 1, 0, size, 0, 0, size, entry, 2, 0, 0, 0),
    )
    place, length = size + 2 * entry, len(path or b"") + 1

    def header(kind: int) -> bytes:
        if wide:
            return struct.pack(f"{order}IIQQQQQQ", kind, 4, place, 0, 0, length, 0, 1)
        return struct.pack(f"{order}IIIIIIII", kind, place, 0, 0, length, 0, 4, 1)

    last = header(1) if path is None else header(3)
    return ident + head + header(6) + last + (path or b"") + b"\0rest"


class LoaderTests(SynchronousTestCase):
    """L{loader_of} tells two loaders apart, and whether there is any."""

    def test_kinds(self) -> None:
        """The path is read from all kinds of ELF."""
        for bits, order, machine in (
            (64, "<", 62),
            (32, "<", 3),
            (64, ">", 22),
            (32, ">", 8),
        ):
            read = reading(program(bits, order, machine, b"/lib/ld.so.1"))
            self.assertEqual(loader_of(read), b"/lib/ld.so.1")

    def test_static(self) -> None:
        """A static program has no loader."""
        self.assertIsNone(loader_of(reading(program(64, "<", 62, None))))

    def test_this(self) -> None:
        """A real program's is a file of this machine."""
        with open(sys.executable, "rb") as file:
            data = file.read()
        found = loader_of(reading(data))
        assert found is not None
        with open(found, "rb") as loader:
            self.assertEqual(loader.read(4), b"\x7fELF")

    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        """A damaged file raises no error."""
        self.assertIsNone(loader_of(reading(data)))

    @given(st.integers(0, 400), st.binary(max_size=40), st.sampled_from([32, 64]))
    def test_damaged(self, at: int, damage: bytes, bits: int) -> None:
        """A program that was overwritten or cut is not recognized."""
        whole = program(bits, "<", 62, b"/lib/ld.so.1")
        loader_of(reading(whole[:at]))
        damaged = loader_of(reading(whole[:at] + damage + whole[at + len(damage) :]))
        self.assertIsInstance(damaged, bytes | None)


class InterpreterTests(SynchronousTestCase):
    """L{interpreter_of} reads C{#!} as Linux does."""

    def test_lines(self) -> None:
        """Only the first word of the line counts."""
        for text, expected in (
            (b"#!/bin/sh\n", b"/bin/sh"),
            (b"#! \t/bin/sh -e\nexit", b"/bin/sh"),
            (b"#!/usr/bin/env\tpython3", b"/usr/bin/env"),
            (b"#!/bin/sh\r\n", b"/bin/sh\r"),  # which is not there
            (b"#!\n/bin/sh", None),
            (b"#!", None),
            (b"", None),
            (b" #!/bin/sh", None),
            (b"\x7fELF", None),
        ):
            self.assertEqual(interpreter_of(reading(text)), expected, text)
