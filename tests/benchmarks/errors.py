"""
The ways in which a measurement fails. These fail the benchmark; a slow time does not.
"""


class Failed(Exception):
    """A server or a program could not be measured."""


class Differs(Failed):
    """Other bytes arrived than the command wrote."""


class Cut(Failed):
    """A stream ended before its end."""


class Refused(Failed):
    """A server answered with an error."""


class Silent(Failed):
    """A stream was silent for too long."""
