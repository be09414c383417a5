"""How programs are kept from holding their output back."""

from enum import Enum


class Unbuffer(Enum):
    """
    How programs are kept from holding their output back.

    L{shellstream.process.unbuffering} puts it into force.
    """

    AUTO = "auto"
    PTY = "pty"
    OFF = "off"
