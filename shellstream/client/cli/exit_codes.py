"""The exit codes of the command line."""

import re
from urllib.parse import urlsplit

from shellstream.client.errors import (
    CannotConnect,
    ClientError,
    NoResponse,
    NoSuchHost,
    Refused,
    ServerError,
    ServerFailed,
    TLSFailed,
)
from shellstream.client.events import End
from shellstream.programs import typed

#: The client's own codes, from C{sysexits.h} of BSD, since common programs return none
#: of these. With each comes a line on stderr that says more.
CODES = {
    64: "the command line is wrong",
    65: "the server refused the request (HTTP 3xx, 4xx)",
    66: "cannot read standard input, or cannot run the command to examine",
    68: "no such host",
    69: "cannot connect",
    70: "the server failed (HTTP 5xx), or could not start the command",
    71: "the run is lost: its daemon or machine went down, or lost part of its output",
    72: "the run went well, but part of its output is not kept any more",
    73: "the run was cancelled before it began",
    74: "cannot write to standard output",
    75: "the output was cut short, and could not be resumed",
    76: "the server does not speak HTTP, or is not a shellstream server",
    77: "no trusted TLS connection",
    78: "the configuration, or a file that it names, is wrong",
    129: "hung up, or left with ~.: the run is ended soon after",
    130: "interrupted (Ctrl-C) for the third time, or before the run began or after it",
    141: "the reader of standard output has gone, as after | head -1",
    143: "terminated for the second time, or before the run began",
}

#: Codes and messages for the ends in which the command itself returned nothing.
_STATES = {
    "lost": (71, CODES[71]),
    "failed": (70, "the command could not be started"),
    "cancelled": (73, CODES[73]),
}

#: Why the server ended a run, by the reason in its end record.
_REASONS = {
    "timeout": "it took longer than its timeout",
    "idle-timeout": "it was silent for longer than its idle_timeout",
    "cancelled": "it was cancelled",
    "disconnected": "its viewers were away for longer than its linger",
    "output-limit": "it wrote more than is kept",
    "shutdown": "the daemon was stopped",
    "error": "something unforeseen went wrong in the daemon; its log says more",
}

#: What a user of this client can do after a status, by the path of the request: in
#: place of the server's own advice, which is for any HTTP client. C{{shellstream}} is
#: how to type the client.
_ADVICE = (
    (
        401,
        r".*",
        "{shellstream} login URL saves a token, --token-file FILE and "
        "$SHELLSTREAM_TOKEN give one; shellstreamd tokens make NAME, on the server's "
        "machine, makes one",
    ),
    (404, r".*/runs/[^/]+.*", "{shellstream} ps --all lists the runs"),
    (
        404,
        r".*/(stream|commands|runs)(/[^/]*)?",
        "only commands that the server names can be run: "
        "{shellstream} commands lists them",
    ),
    (409, r".*/runs/[^/]+", "{shellstream} cancel ends it"),
)

#: What a token may do that is made without C{--actions}.
_ACTIONS = ("run", "read", "write", "signal")

#: What to do about an answer of another server, or of a proxy, by its status.
_FOREIGN = {
    401: "it is not shellstream that asks for this, but a proxy or another server",
    407: "a proxy asks for this",
    **dict.fromkeys(
        (502, 503, 504), "a proxy answered: is the daemon running behind it?"
    ),
}


def explain(error: ClientError, run: str | None = None) -> str:
    """
    The text of an error, and what to do about it by means of this client.

    @param run: what the user calls the run that it is about, if there are several.
    """
    match error:
        case CannotConnect() if "refused" in error.why:
            at = _origin(error.url)
            return f"{at}: connection refused; {_start(error.url)}{error.hint}"
        # A redirect says itself where it leads.
        case Refused() | ServerFailed() if not error.is_ours and error.status >= 400:
            return f"{error} ({_foreign(error)}){error.hint}"
        case Refused() if error.is_ours and "nothing lives at this path" in error.why:
            return f"{error.url}: nothing lives at this path; check the server's URL"
        case Refused() | ServerFailed() if error.is_ours:
            return f"{run or _origin(error.url)}: {_told(error)}{error.hint}"
        case NoSuchHost() | CannotConnect() | TLSFailed():
            # The path is that of one of our own requests, most often.
            text = _origin(error.url) + str(error).removeprefix(error.url)
            return f"{text}{_unknown_name(error)}{error.hint}"
    cause = error if isinstance(error, NoResponse) else error.__cause__
    if isinstance(cause, NoResponse) and _may_expect_tls(cause):
        return f"{error} (if the server expects TLS, try https://)"
    return str(error)


def _unknown_name(error: ServerError) -> str:
    """What to add where a name may be meant for a saved server."""
    host = urlsplit(error.url).hostname or ""
    if not isinstance(error, NoSuchHost) or "." in host or ":" in host:
        return ""
    return f"; no saved server has this name: {typed('shellstream')} servers lists them"


def _told(error: Refused | ServerFailed) -> str:
    """
    What a shellstream server said, in its words; what it says of HTTP is replaced by
    what can be done on the command line.
    """
    # The status says less than the words that follow it.
    why = re.sub(r"\A[0-9]{3}\b[^:]*: ", "", error.why)
    path = urlsplit(error.url).path
    if error.status == 403 and (action := re.search(r"takes the action '(\w+)'", why)):
        actions = ",".join(dict.fromkeys((*_ACTIONS, action[1])))
        make = f"{typed('shellstreamd')} tokens make --actions {actions} NAME"
        return f"{why}; {make}, on the server's machine, makes one that has it"
    for status, paths, text in _ADVICE:
        if error.status == status and re.fullmatch(paths, path):
            advice = text.format(shellstream=typed("shellstream"))
            return f"{why.partition('; ')[0]}; {advice}"
    return why


def _origin(url: str) -> str:
    """A URL without its path, which is the client's affair."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else url


def _may_expect_tls(error: NoResponse) -> bool:
    return error.url.startswith("http://") and "closed" in error.why


def _start(url: str) -> str:
    """How to start the daemon that no one reaches at this URL."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        tls = " --tls" if parts.scheme == "https" else ""
        port = parts.port or (443 if tls else 80)
        return (
            f"start a daemon here: {typed('shellstreamd')} --port {port}{tls}, or try: "
            f"{typed('shellstream')} demo; for another machine's, set $SHELLSTREAM_URL "
            "or give --server URL"
        )
    return (
        "is the daemon running there, with --interface 0.0.0.0? Without that option it "
        "listens for its own machine only"
    )


def _foreign(error: Refused | ServerFailed) -> str:
    if error.status == 400 and "HTTPS" in error.why:
        return "this port expects TLS: try https://"
    default = "no shellstream server answered: check the address"
    return _FOREIGN.get(error.status, default)


def exit_code(end: End, *, gaps: bool = False) -> int:
    """The code with which a shell sees the command exit; 128 + n for signal n."""
    if end.exit_code is not None:
        return end.exit_code or (72 if gaps else 0)
    # A state that this client does not know breaks the contract, hence 76.
    code, _ = _STATES.get(end.state, (76, ""))
    return code


def signal_name(text: str) -> str:
    """
    The name of a signal, which a server knows too, from what a user typed: numbers
    differ between systems.
    """
    import signal

    name = text.upper()
    if not re.fullmatch("[0-9]{1,3}", name):
        return name
    names = {str(each.value): each.name for each in signal.Signals}
    first = getattr(signal, "SIGRTMIN", None)  # macOS has no real-time signals
    if name not in names and first and first < int(name) < signal.SIGRTMAX:
        return f"RTMIN+{int(name) - first}"
    return names.get(name, name)


def describe_end(end: End) -> str | None:
    """Why a run ended, where its exit code does not say so; L{None} elsewhere."""
    if end.state in _STATES:
        return _STATES[end.state][1]
    if end.state not in ("exited", "signaled"):
        return f"the run ended in a way that this client does not know: {end.state}"
    if end.reason is not None:
        return f"the run was ended: {_REASONS.get(end.reason, end.reason)}"
    return None
