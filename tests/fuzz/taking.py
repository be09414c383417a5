"""Values out of a fuzzer's bytes, the same with and without a fuzzer."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class Bytes:
    """
    Bytes that are taken from the front; when there are no more, all is zero or empty.

    The kept corpus is read by this alone: to change it is to make that worthless.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def __bool__(self) -> bool:
        """Whether there is more."""
        return self._position < len(self._data)

    def take(self, size: int) -> bytes:
        """So many bytes, or what is left."""
        self._position += size
        return self._data[self._position - size : self._position]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))

    def number(self, below: int) -> int:
        """An integer from 0."""
        size = ((below - 1).bit_length() + 7) // 8
        return int.from_bytes(self.take(size), "big") % below

    def one_of(self, choices: Sequence[T]) -> T:
        """One of these."""
        return choices[self.number(len(choices))]

    def some(self) -> bytes:
        """Up to 255 bytes, as the first of them says."""
        return self.take(self.number(256))

    def text(self) -> str:
        """Any text, lone surrogates too."""
        return self.some().decode("utf-8", "surrogateescape")

    def each(self, make: Callable[[], T]) -> Iterator[T]:
        """As many as there are bytes for."""
        while self:
            yield make()
