"""Cutting bytes into pieces."""

from collections.abc import Sequence


def pieces(wire: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The same bytes, as a network might deliver them."""
    found, position, turn = [], 0, 0
    while position < len(wire):
        size = cuts[turn % len(cuts)]
        found.append(wire[position : position + size])
        position, turn = position + size, turn + 1
    return found
