"""The sockets that systemd has opened for the daemon (sd_listen_fds(3))."""

import os
import socket
from collections.abc import Mapping

#: The first descriptor that is handed over.
_FIRST = 3

#: The kinds of sockets that Twisted's endpoint takes over.
_DOMAINS = {
    socket.AF_INET: "INET",
    socket.AF_INET6: "INET6",
    socket.AF_UNIX: "UNIX",
}


def handed_over(environ: Mapping[str, str], first: int = _FIRST) -> list[str]:
    """
    Return a Twisted endpoint for each socket that was handed over to this process.

    They keep the connections that come while no daemon accepts them.

    @raise OSError: if one of them is no socket.
    """
    count = environ.get("LISTEN_FDS", "")
    # The variables may be those of a parent that handed them on by mistake.
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    return [
        f"systemd:domain={_domain(first + index)}:index={index}"
        for index in range(int(count))
    ]


def _domain(fd: int) -> str:
    opened = socket.socket(fileno=fd)
    try:
        return _DOMAINS.get(opened.family, "INET")
    finally:
        opened.detach()  # it stays open
