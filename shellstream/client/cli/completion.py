"""C{completion}: what makes a shell complete this command line."""

import sys

from .parser import whole_parser


def completion(shell: str) -> int:
    """Print it, for C{eval} or a file."""
    import shtab

    script = shtab.complete(whole_parser(), shell=shell)  # nosec B604  # its name
    sys.stdout.write(script)
    sys.stdout.write("\n")
    return 0
