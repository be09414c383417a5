"""
What a request's head must be like, so that nobody can take it for another.

A proxy before us and we must agree where a request ends, or the rest of it is one
that the proxy has never looked at. So what may be read in two ways is refused, also
where HTTP lets a server mend it (RFC 9112, 11.2). A function here returns what is
wrong, or L{None}.
"""

import re

from twisted.web.http_headers import Headers

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

#: Method, target and version. What is no path and no URL is for proxies, and the
#: C{*} of OPTIONS would pass by all that decides who may do what (RFC 9112, 3.2).
_REQUEST = re.compile(rb"%b (?:/|(?i:https?)://)[!-~]* HTTP/1\.[01]" % _TOKEN)

#: Without line folding, and without what somebody might take for the line's end.
_FIELD = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*" % _TOKEN)

#: More digits than anybody needs, and fewer than Python takes (L{int}).
_LENGTH = re.compile(rb"[^:]*:[\t ]*[0-9]{1,100}[\t ]*")


def request_line(line: bytes) -> str | None:
    """The first line."""
    if _REQUEST.fullmatch(line) is None:
        return "its first line is no METHOD /PATH HTTP/1.1 in visible ASCII"
    return None


def field_line(line: bytes) -> str | None:
    """A header, or a trailer."""
    if _FIELD.fullmatch(line) is None:
        return "a header is no NAME: VALUE in one line, without control characters"
    if line[:15].lower() == b"content-length:" and _LENGTH.fullmatch(line) is None:
        return "its Content-Length is no number"
    return None


def head(version: bytes, headers: Headers) -> str | None:
    """All headers of a request, each of which is in order."""
    hosts = len(headers.getRawHeaders(b"host", ()))
    if hosts > 1 or (hosts == 0 and version == b"HTTP/1.1"):
        return f"it has {hosts} Host headers in place of one"
    lengths = headers.getRawHeaders(b"content-length", ())
    codings = headers.getRawHeaders(b"transfer-encoding", ())
    if len(lengths) + len(codings) > 1:
        return "it says more than once how long its body is"
    if any(each.lower() != b"chunked" for each in codings):
        return "its Transfer-Encoding is not chunked"
    if codings and version == b"HTTP/1.0":
        return "HTTP/1.0 knows no Transfer-Encoding"
    return None
