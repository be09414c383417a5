"""The content that should arrive."""

from collections.abc import Callable

from attrs import evolve, frozen


@frozen
class Content:
    """
    A C{head}, then a block that is repeated up to C{size} bytes.

    The length of a block is no multiple of a buffer's size, so that lost, doubled or
    moved bytes show.

    @ivar lossy: the peer loses output at the end, or adds empty lines; so only the
        beginning has to arrive.
    """

    block: bytes
    size: int
    head: bytes = b""
    lossy: bool = False

    @property
    def total(self) -> int:
        return len(self.head) + self.size

    def altered(self, change: Callable[[bytes], bytes]) -> "Content":
        """The content as a peer sends it that changes output, and may lose its end."""
        count = self.size // len(self.block)
        block = change(self.block)
        return evolve(self, block=block, size=count * len(block), lossy=True)
