"""
The syntax that a request's head must have, so that it can be read in one way only.

A proxy before the daemon and the daemon must agree where a request ends, or the rest of
it is a request that the proxy has never seen (request smuggling). So a head that can be
read in two ways is refused, also where HTTP lets a server repair it (RFC 9112, 11.2).
"""

import re
from typing import NamedTuple

from shellstream.config.http_limits import HttpLimits
from shellstream.model.errors import (
    ExpectationUnknown,
    HeadersTooLarge,
    RequestMalformed,
    SpeaksTLS,
)

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

#: Method, target and version. A target is a path, or a whole URL, as proxies send it.
#: Other forms are for proxies, or for no resource at all (RFC 9112, 3.2).
_REQUEST = re.compile(
    rb"(%b) (?:(/[!-~]*)|(?i:https?)://([^/?#\x00-\x20\x7f-\xff]+)([/?][!-~]*)?) "
    rb"HTTP/1\.([0-9])" % _TOKEN
)

#: What a request, or the empty lines before it, may begin with.
_FIRST = re.compile(rb"[\r\n]|" + _TOKEN)

#: The type of the record that a TLS client begins with (RFC 8446, 5.1).
_HANDSHAKE = b"\x16"

#: Without line folding, and without bytes that some take for the line's end.
_FIELD = rb"%b:[\t\x20-\x7e\x80-\xff]*+" % _TOKEN
_FIELDS = re.compile(rb"(?:%b(?:\r\n%b)*+)?+" % (_FIELD, _FIELD))
_NAME_AND_VALUE = re.compile(r"([^:\r\n]+):([^\r]*)")

#: More digits than anybody needs, and fewer than L{int} refuses.
_LENGTH = re.compile("[0-9]{1,100}")

#: Values by name in lower case, without the space around them. Bytes that are not ASCII
#: are decoded as Latin-1, as WSGI has them (PEP 3333).
HeaderValues = dict[str, list[str]]


class Head(NamedTuple):
    """
    The head of a request.

    @ivar target: a path, and a query if there is one.
    @ivar persists: whether the client may send another request behind this one.
    """

    method: bytes
    target: bytes
    version: bytes
    headers: HeaderValues
    persists: bool


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


def match_request_line(line: bytes) -> re.Match[bytes]:
    """@raise RequestMalformed: if this is not a request line of HTTP/1."""
    match = _REQUEST.fullmatch(line)
    if match is None:
        raise RequestMalformed(
            "its first line is no METHOD /PATH HTTP/1.1 in visible ASCII"
        )
    return match


def parse_fields(lines: bytes) -> HeaderValues:
    """
    Parse the lines of headers, or of trailers.

    @raise RequestMalformed: if one of them is not a header.
    """
    if _FIELDS.fullmatch(lines) is None:
        raise RequestMalformed(
            "a header is no NAME: VALUE in one line, without control characters"
        )
    found: HeaderValues = {}
    for name, value in _NAME_AND_VALUE.findall(lines.decode("latin-1")):
        name = name.lower()
        if name in found:
            found[name].append(value.strip(" \t"))
        else:
            found[name] = [value.strip(" \t")]
    if "content-length" in found:
        for length in found["content-length"]:
            if _LENGTH.fullmatch(length) is None:
                raise RequestMalformed("its Content-Length is no number")
    return found


def check_beginning(data: bytes) -> None:
    """
    Check a head that is not complete.

    @raise RequestMalformed: if its first line is here, and no request line.
    """
    first, end, _ = data.removeprefix(b"\r\n").partition(b"\r\n")
    if end:
        match_request_line(first)


def parse_head(data: bytes, limits: HttpLimits) -> Head:
    """
    Parse the head of a request.

    @param data: all of it but the empty line at its end. One empty line before it is
        ignored (RFC 9112, 2.2).
    @raise HeadersTooLarge: if it has too many headers.
    @raise RequestMalformed: if it is no head, or can be read in two ways.
    @raise ExpectationUnknown: if the client expects what nobody promises here.
    """
    first, _, lines = data.removeprefix(b"\r\n").partition(b"\r\n")
    method, path, host, rest, minor = match_request_line(first).groups()
    if lines.count(b"\r\n") >= limits.headers:
        raise HeadersTooLarge(limits.headers, "headers")
    headers = parse_fields(lines)
    # A later minor version is understood as the latest one known (RFC 9110, 2.5).
    is_old = minor == b"0"
    _check_headers(headers, is_old=is_old)
    if path is None:  # Whatever Host says (RFC 9112, 3.2.2).
        headers["host"] = [host.decode("ascii")]
        path = b"/" + (rest or b"").removeprefix(b"/")
    # Without Connection: keep-alive, which HTTP/1.0 did not have.
    persists = not is_old and not ("connection" in headers and _closes(headers))
    return Head(method, path, b"HTTP/1.0" if is_old else b"HTTP/1.1", headers, persists)


def _check_headers(headers: HeaderValues, *, is_old: bool) -> None:
    """
    @raise RequestMalformed: if these headers, each correct, contradict others.
    @raise ExpectationUnknown: see L{parse_head}.
    """
    hosts = len(headers.get("host", ()))
    if hosts > 1 or (hosts == 0 and not is_old):
        raise RequestMalformed(f"it has {hosts} Host headers in place of one")
    lengths = headers.get("content-length", [])
    codings = headers.get("transfer-encoding", [])
    if len(lengths) + len(codings) > 1:
        raise RequestMalformed("it says more than once how long its body is")
    if codings and codings[0].lower() != "chunked":
        raise RequestMalformed("its Transfer-Encoding is not chunked")
    if codings and is_old:
        raise RequestMalformed("HTTP/1.0 knows no Transfer-Encoding")
    if "expect" in headers:
        for expectation in headers["expect"]:
            if expectation.lower() != "100-continue":
                raise ExpectationUnknown


def _closes(headers: HeaderValues) -> bool:
    """Whether a member of C{Connection} is C{close} (RFC 9110, 7.6.1)."""
    members = ",".join(headers["connection"]).split(",")
    return any(each.strip().lower() == "close" for each in members)
