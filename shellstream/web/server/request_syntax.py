"""
The syntax that a request's head must have, so that it can be read in one way only.

A proxy before the daemon and the daemon must agree where a request ends, or the rest of
it is a request that the proxy has never seen (request smuggling). So a head that can be
read in two ways is refused, also where HTTP lets a server repair it (RFC 9112, 11.2).
"""

import re

from twisted.web.http_headers import Headers

from shellstream.model.errors import RequestMalformed

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

#: Method, target and version. Targets in other forms are for proxies, and the C{*} of
#: OPTIONS would pass by all access control (RFC 9112, 3.2).
_REQUEST = re.compile(rb"%b (?:/|(?i:https?)://)[!-~]* HTTP/1\.[01]" % _TOKEN)

#: Without line folding, and without bytes that some take for the line's end.
_FIELD = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*" % _TOKEN)

#: More digits than anybody needs, and fewer than L{int} refuses.
_LENGTH = re.compile(rb"[^:]*:[\t ]*[0-9]{1,100}[\t ]*")


def check_request_line(line: bytes) -> None:
    """@raise RequestMalformed: if this is not a request line."""
    if _REQUEST.fullmatch(line) is None:
        raise RequestMalformed(
            "its first line is no METHOD /PATH HTTP/1.1 in visible ASCII"
        )


def check_field_line(line: bytes) -> None:
    """@raise RequestMalformed: if this is not a header, or a trailer."""
    if _FIELD.fullmatch(line) is None:
        raise RequestMalformed(
            "a header is no NAME: VALUE in one line, without control characters"
        )
    if line[:15].lower() == b"content-length:" and _LENGTH.fullmatch(line) is None:
        raise RequestMalformed("its Content-Length is no number")


def check_head(version: bytes, headers: Headers) -> None:
    """@raise RequestMalformed: if these headers, each correct, contradict others."""
    hosts = len(headers.getRawHeaders(b"host", ()))
    if hosts > 1 or (hosts == 0 and version == b"HTTP/1.1"):
        raise RequestMalformed(f"it has {hosts} Host headers in place of one")
    lengths = headers.getRawHeaders(b"content-length", ())
    codings = headers.getRawHeaders(b"transfer-encoding", ())
    if len(lengths) + len(codings) > 1:
        raise RequestMalformed("it says more than once how long its body is")
    if codings and codings[0].lower() != b"chunked":
        raise RequestMalformed("its Transfer-Encoding is not chunked")
    if codings and version == b"HTTP/1.0":
        raise RequestMalformed("HTTP/1.0 knows no Transfer-Encoding")
