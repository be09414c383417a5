"""How the command line exits."""

from shellstream.client.events import End

#: Its own codes, from C{sysexits.h}, which no common program returns; each comes
#: with a line on stderr that says more.
CODES = {
    64: "the command line is wrong",
    65: "the server refused the request (HTTP 3xx, 4xx)",
    66: "standard input, or the command that doctor is to examine, is not to be had",
    68: "no such host",
    69: "cannot connect",
    70: "the server failed (HTTP 5xx), or could not start the command",
    71: "the run is lost: its daemon or machine went down under it",
    72: "the run went well, but part of its output is not kept any more",
    73: "the run was cancelled before it began",
    74: "standard output cannot be written to",
    75: "the output was cut short, and could not be taken up again",
    76: "what answered does not speak HTTP, or not as a shellstream",
    77: "no trusted TLS connection",
    78: "the configuration, or a file that it names, is wrong",
    129: "hung up, or left by ~.: the run is ended soon after",
    130: "interrupted (Ctrl-C) for the third time, or before the run began or after it",
    141: "nobody reads standard output any more, as after | head -1",
    143: "terminated for the second time, or before the run began",
}

_STATES = {"lost": 71, "failed": 70, "cancelled": 73}

#: What is said of it where the command's code does not tell.
_WORDS = {
    "lost": "the run is lost: its daemon or machine went down under it",
    "failed": "the command could not be started",
    "cancelled": "the run was cancelled before it began",
}

_REASONS = {
    "timeout": "it took longer than its timeout",
    "idle-timeout": "it was silent for longer than its idle_timeout",
    "cancelled": "it was cancelled",
    "disconnected": "its viewers were away for longer than its linger",
    "output-limit": "it wrote more than is kept",
    "shutdown": "the daemon was stopped",
}


def exit_code(end: End, *, gaps: bool = False) -> int:
    """As a shell would see the command exit; 128 + n for a signal."""
    if end.state == "exited" and end.code is not None:
        return end.code or (72 if gaps else 0)
    if end.state == "signaled" and end.signal is not None:
        return 128 + signal_number(end.signal)
    return _STATES.get(end.state, 76)


def signal_number(name: str) -> int:
    """A signal by its name, or its number; 0 for one that is not known here."""
    import signal

    known = signal.Signals.__members__.get(f"SIG{name}")
    if known is not None:
        return known.value
    return int(name) if name.isdecimal() and len(name) < 3 else 0


def words(end: End) -> str | None:
    """What a person would want to know of an end, if anything."""
    if end.state in _WORDS:
        return _WORDS[end.state]
    if end.reason is not None:
        why = _REASONS.get(end.reason, end.reason)
        return f"the run was ended: {why}"
    return None
