"""The head of a response: what it says itself, and what every response says."""

from collections.abc import Mapping
from http import HTTPStatus

from twisted.web.http import datetimeToString

from shellstream.model.errors import HeaderValue

from .problem_details import SERVER

#: The headers of every answer. They tell a browser not to show the answer in a page of
#: another site, not to let such a page read it, and not to guess its type (Fetch, 3.7).
FIXED_HEADERS = {
    "Server": SERVER,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

#: The policy of every answer that sets no other (CSP level 3): nothing in it is run.
#: C{connect-src} lets a script of a browser's console, or of an extension, ask on.
DEFAULT_POLICY = "default-src 'none'; connect-src 'self'; frame-ancestors 'self'"

_FIXED = "".join(f"{name}: {value}\r\n" for name, value in FIXED_HEADERS.items())
_POLICY = "Content-Security-Policy"
_POLICY_LINE = f"{_POLICY}: {DEFAULT_POLICY}\r\n"

_STATUS_LINES = {each.value: f"{each.value} {each.phrase}\r\n" for each in HTTPStatus}


def response_head(
    version: str, status: int, headers: Mapping[str, HeaderValue]
) -> bytes:
    """
    A response's head: its own headers, and L{FIXED_HEADERS}.

    @param headers: names as they are written, and values. What would end a line in a
        value becomes a space, as a client may have sent it.
    """
    date = datetimeToString().decode("ascii")
    text = f"{version} {_STATUS_LINES[status]}Date: {date}\r\n{_FIXED}"
    if _POLICY not in headers:
        text += _POLICY_LINE
    for name, values in headers.items():
        for value in (values,) if isinstance(values, str) else values:
            if "\r" in value or "\n" in value:
                value = " ".join(value.splitlines())
            text += f"{name}: {value}\r\n"
    return f"{text}\r\n".encode()
