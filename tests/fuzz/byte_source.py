"""Turns a fuzzer's bytes into values."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class ByteSource:
    """
    Bytes that are consumed from the front; after the last one all values are zero or
    empty.

    The corpus is interpreted by this class alone: to change it makes that worthless.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def __bool__(self) -> bool:
        """Return whether bytes are left."""
        return self._position < len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next C{size} bytes, or the rest."""
        self._position += size
        return self._data[self._position - size : self._position]

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(len(self._data))

    def number(self, below: int) -> int:
        """An integer from 0 to C{below} - 1."""
        size = ((below - 1).bit_length() + 7) // 8
        return int.from_bytes(self.take(size), "big") % below

    def one_of(self, choices: Sequence[T]) -> T:
        """Return one of these."""
        return choices[self.number(len(choices))]

    def some(self) -> bytes:
        """Up to 255 bytes; the first byte says how many."""
        return self.take(self.number(256))

    def text(self) -> str:
        """Any text, even with lone surrogates."""
        return self.some().decode("utf-8", "surrogateescape")

    def each(self, make: Callable[[], T]) -> Iterator[T]:
        """Make values until all bytes are consumed."""
        while self:
            yield make()
