"""
Requests that two servers may read in two ways, each with another hidden behind it.

A proxy takes the hidden one for a part of the first, and has not looked at it. Who
executes it was fooled.
"""

#: What is hidden, and what nobody may execute: C{GET /stream/hidden}.
HIDDEN = b"GET /stream/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"

_GET = b"GET /commands HTTP/1.1\r\n"
_POST = b"POST /commands HTTP/1.1\r\nHost: localhost\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
_SIZE = b"Content-Length: %d\r\n" % len(HIDDEN)


def _chunks(*lines: bytes) -> bytes:
    return _CHUNKED + b"".join(lines) + HIDDEN


def _get(line: bytes) -> bytes:
    return _GET + b"Host: localhost\r\n" + line + b"\r\n\r\n" + HIDDEN


def _post(*lines: bytes, body: bytes = b"") -> bytes:
    return _POST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body + HIDDEN


def _coded(coding: bytes) -> bytes:
    """Return a body that is chunked only for some readers of this header."""
    return _post(coding, body=b"0\r\n\r\n")


def _first(line: bytes) -> bytes:
    return line + b"\r\nHost: localhost\r\n\r\n" + HIDDEN


_CODINGS = {
    "unknown": b"Transfer-Encoding: gzip",
    "identity": b"Transfer-Encoding: identity",
    "two codings": b"Transfer-Encoding: gzip, chunked",
    "chunked first": b"Transfer-Encoding: chunked, identity",
    "empty": b"Transfer-Encoding:",
    "quoted": b'Transfer-Encoding: "chunked"',
    "xchunked": b"Transfer-Encoding: xchunked",
    "a parameter": b"Transfer-Encoding: chunked;q=1",
    "a space before the colon": b"Transfer-Encoding : chunked",
    "a tab before the colon": b"Transfer-Encoding\t: chunked",
    "a space before the name": b" Transfer-Encoding: chunked",
    "folded": b"Transfer-Encoding:\r\n chunked",
    "folded with a tab": b"X: y\r\n\tTransfer-Encoding: chunked",
    "vertical tab": b"Transfer-Encoding:\x0bchunked",
    "form feed": b"Transfer-Encoding: chunked\x0c",
    "NUL": b"Transfer-Encoding: chunked\0",
    "no-break space": b"Transfer-Encoding:\xa0chunked",
    "bare LF": b"X: y\nTransfer-Encoding: chunked",
    "bare CR": b"X: y\rTransfer-Encoding: chunked",
    "twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "and identity": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "identity and": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
}

_LENGTHS = {
    "plus": b"+5",
    "minus": b"-5",
    "hexadecimal": b"0x5",
    "a list": b"5, 5",
    "a space": b"5 5",
    "underscore": b"1_0",
    "decimal point": b"5.0",
    "exponent": b"1e1",
    "empty": b"",
    "letters": b"five",
    "quoted": b'"5"',
    "other digits": "\N{ARABIC-INDIC DIGIT FIVE}".encode(),
    "superscript": b"\xb2",
    "semicolon": b"5;",
    "NUL": b"5\0",
    "vertical tab": b"\x0b5",
    "digits by the thousand": b"9" * 5000,
}

_SIZES = {
    "prefix": b"0x1\r\nx\r\n0\r\n\r\n",
    "plus": b"+1\r\nx\r\n0\r\n\r\n",
    "minus": b"-1\r\nx\r\n0\r\n\r\n",
    "space before": b" 1\r\nx\r\n0\r\n\r\n",
    "space behind": b"1 \r\nx\r\n0\r\n\r\n",
    "underscore": b"1_0\r\nx\r\n0\r\n\r\n",
    "empty": b"\r\nx\r\n0\r\n\r\n",
    "no number": b"x\r\nx\r\n0\r\n\r\n",
    "huge": b"1" + b"0" * 40 + b"\r\nx",
    "endless": b"0" * 2000 + b"1\r\nx\r\n0\r\n\r\n",
    "bare LF": b"1\nx\n0\n\n",
    "bare CR": b"1\rx\r0\r\r",
    "LF in an extension": b"1;a\nb\r\nx\r\n0\r\n\r\n",
    "CR in an extension": b"1;a\rb\r\nx\r\n0\r\n\r\n",
    "NUL in an extension": b"1;\0\r\nx\r\n0\r\n\r\n",
    "no CRLF behind the data": b"1\r\nx0\r\n\r\n",
    "LF behind the data": b"1\r\nx\n0\r\n\r\n",
    "too much data": b"1\r\nxy\r\n0\r\n\r\n",
    "LF behind the last": b"0\r\n\n",
    "LF in a trailer": b"0\r\nX: y\n\r\n",
    "a request as a trailer": b"0\r\nGET /stream/hidden HTTP/1.1\r\n\r\n",
    "a folded trailer": b"0\r\nX: y\r\n z\r\n\r\n",
}

_FIELDS = {
    "no colon": b"nothing",
    "no name": b": x",
    "a space in the name": b"X Y: z",
    "a control byte in the name": b"X\x01: z",
    "a letter beyond ASCII in the name": b"X\xe4: z",
    "a bracket in the name": b"X(: z",
    "NUL": b"X: y\0",
    "BEL": b"X: y\x07",
    "DEL": b"X: y\x7f",
    "escape": b"X: y\x1b[31m",
    "bare LF": b"X: y\nZ: z",
    "two bare LF": b"X: y\n\n",
    "bare CR": b"X: y\rZ: z",
    "CR CR LF": b"X: y\r",
    "folded": b"X: y\r\n z",
    "a second Host": b"Host: localhost",
    "another Host": b"host: 127.0.0.1",
}

_LINES = {
    "HTTP/0.9": b"GET /commands",
    "HTTP/2": b"GET /commands HTTP/2.0",
    "HTTP/1.10": b"GET /commands HTTP/1.10",
    "small letters": b"GET /commands http/1.1",
    "no number": b"GET /commands HTTP/x.y",
    "two spaces": b"GET  /commands HTTP/1.1",
    "a tab": b"GET\t/commands HTTP/1.1",
    "a space before": b" GET /commands HTTP/1.1",
    "a space behind": b"GET /commands HTTP/1.1 ",
    "a space in the target": b"GET /comm ands HTTP/1.1",
    "no target": b"GET HTTP/1.1",
    "no slash": b"GET commands HTTP/1.1",
    "another scheme": b"GET ftp://x/commands HTTP/1.1",
    "asterisk": b"GET * HTTP/1.1",
    "asterisk of OPTIONS": b"OPTIONS * HTTP/1.1",
    "authority": b"CONNECT x:80 HTTP/1.1",
    "authority of GET": b"GET x:80 HTTP/1.1",
    "beyond ASCII": "GET /commänds HTTP/1.1".encode(),
    "NUL": b"GET /commands\0 HTTP/1.1",
    "DEL": b"GET /commands\x7f HTTP/1.1",
    "byte 0x80": b"GET /commands\x80 HTTP/1.1",
    "bare LF": b"GET /commands HTTP/1.1\nX: y",
    "bare CR": b"GET /commands HTTP/1.1\rX: y",
    "a colon in the method": b"GE:T /commands HTTP/1.1",
    "NUL in the method": b"G\0ET /commands HTTP/1.1",
    "a method beyond ASCII": "GÄT /commands HTTP/1.1".encode(),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01",
}

#: By name. All of them are refused.
ATTACKS = {
    **{f"coding: {k}": _coded(line) for k, line in _CODINGS.items()},
    **{f"length: {k}": _post(b"Content-Length: " + v) for k, v in _LENGTHS.items()},
    **{f"chunk: {k}": _chunks(v) for k, v in _SIZES.items()},
    **{f"field: {k}": _get(line) for k, line in _FIELDS.items()},
    **{f"line: {k}": _first(line) for k, line in _LINES.items()},
    "CL.TE": _post(_SIZE[:-2], b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "TE.CL": _post(b"Transfer-Encoding: chunked", _SIZE[:-2], body=b"0\r\n\r\n"),
    "CL.0 TE": _post(b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    "CL.CL": _post(b"Content-Length: 0", _SIZE[:-2]),
    "equal CL": _post(b"Content-Length: 0", b"Content-Length: 0"),
    "TE of HTTP/1.0": _coded(b"Transfer-Encoding: chunked").replace(b"1.1", b"1.0", 1),
    "no Host": _GET + b"\r\n" + HIDDEN,
    "two Hosts of HTTP/1.0": _get(b"Host: localhost").replace(b"1.1", b"1.0", 1),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "two empty lines": b"\r\n\r\n" + _first(b"GET /commands HTTP/1.1"),
    "another expectation": _get(b"Expect: 200-ok"),
}

#: What is clear enough, though unusual; the hidden request is none there.
ALLOWED = {
    "a body that looks like a request": _POST + _SIZE + b"\r\n" + HIDDEN,
    "in a chunk": _CHUNKED + b"%X\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    "in capitals": _POST + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n",
    "no space behind the colon": _POST + b"Content-Length:0\r\n\r\n",
    "leading zeros": _POST + b"Content-Length: 000\r\n\r\n",
    "a chunk extension": _CHUNKED + b'1;a="b"\r\nx\r\n0\r\n\r\n',
    "a trailer": _CHUNKED + b"0\r\nX: y\r\n\r\n",
    "an empty line before": b"\r\n" + _GET + b"Host: localhost\r\n\r\n",
    "a whole URL": b"GET http://localhost/commands HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/1.0 without Host": b"GET /commands HTTP/1.0\r\n\r\n",
    "underscores": _GET + b"Host: localhost\r\nTransfer_Encoding: chunked\r\n\r\n",
    "letters beyond ASCII": _GET + "Host: localhost\r\nX: ä\r\n\r\n".encode(),
}
