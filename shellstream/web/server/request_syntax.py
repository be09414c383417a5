"""
The syntax that a request's head must have, so that it can be read in one way only.

A proxy before the daemon and the daemon must agree where a request ends, or the rest of
it is a request that the proxy has never seen (request smuggling). So a head that can be
read in two ways is refused, also where HTTP lets a server repair it (RFC 9112, 11.2).
"""

import re

from twisted.web.http_headers import Headers

from shellstream.model.errors import RequestMalformed, SpeaksTLS

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

#: Method, target and version. A target is a path, or a whole URL, as proxies send it.
#: Other forms are for proxies, or for no resource at all (RFC 9112, 3.2).
_REQUEST = re.compile(
    rb"%b (?:/[!-~]*|(?i:https?)://[^/?#\x00-\x20\x7f-\xff]+(?:[/?][!-~]*)?) "
    rb"HTTP/1\.([0-9])" % _TOKEN
)

#: What a request, or the empty lines before it, may begin with.
_FIRST = re.compile(rb"[\r\n]|" + _TOKEN)

#: The type of the record that a TLS client begins with (RFC 8446, 5.1).
_HANDSHAKE = b"\x16"

#: Without line folding, and without bytes that some take for the line's end.
_FIELD = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*" % _TOKEN)

#: More digits than anybody needs, and fewer than L{int} refuses.
_LENGTH = re.compile(rb"[^:]*:[\t ]*[0-9]{1,100}[\t ]*")


def check_first_bytes(data: bytes) -> None:
    """
    Check the first bytes of a connection: what is no HTTP may never end a line, and
    would wait for an answer.

    @raise SpeaksTLS: if the client speaks TLS.
    @raise RequestMalformed: if no request begins so.
    """
    if data[:1] == _HANDSHAKE:
        raise SpeaksTLS
    if _FIRST.match(data) is None:
        raise RequestMalformed("its first byte begins no METHOD")


def check_request_line(line: bytes) -> bytes:
    """
    The request line, of a version that is spoken here.

    @raise RequestMalformed: if this is not a request line of HTTP/1.
    """
    match = _REQUEST.fullmatch(line)
    if match is None:
        raise RequestMalformed(
            "its first line is no METHOD /PATH HTTP/1.1 in visible ASCII"
        )
    # A later minor version is understood as the latest one known (RFC 9110, 2.5).
    return line if match[1] in b"01" else line[:-1] + b"1"


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
