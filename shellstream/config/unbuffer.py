"""Whether a command's programs are kept from holding their output back."""

from enum import Enum


class Unbuffer(Enum):
    """How a command is kept from holding its output back."""

    AUTO = "auto"
    PTY = "pty"
    OFF = "off"
