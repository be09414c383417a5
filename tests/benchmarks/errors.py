"""What can go wrong with a measurement: each fails the benchmark, none is a time."""


class Failed(Exception):
    """A server or a program could not be measured."""


class Differs(Failed):
    """What arrived is not what the command wrote."""


class Cut(Failed):
    """A stream ended before its end."""


class Refused(Failed):
    """A server answered, but not with output."""


class Silent(Failed):
    """Nothing came for longer than anything here takes."""
