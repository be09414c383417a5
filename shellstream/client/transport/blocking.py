"""
One small document of a server, without Twisted: completion has no time to load it.

It trusts the same certificates as L{trust_policy}, and shows no server a token before
its certificate was checked.
"""

import hashlib
import hmac
import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from shellstream.client.urls import host_header

from .fingerprint import parse_fingerprint
from .trust import Trust
from .wire import ALWAYS

#: The most bytes to read.
_MOST = 1 << 20


class NoDocument(Exception):
    """There is none, for whatever reason."""


def get_document(url: str, token: str | None, trust: Trust, timeout: float) -> Any:
    """
    GET a JSON document. Redirects are not followed.

    @param timeout: seconds for each step: to connect, or to wait for data.
    @raise NoDocument: if the server does not answer with one, or not in time.
    """
    parts = urlsplit(url)
    headers = {
        **ALWAYS,
        "accept": "application/json",
        "connection": "close",
        "host": host_header(parts.netloc),
    }
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        connection = _connect(
            parts.scheme, parts.hostname or "", parts.port, trust, timeout
        )
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            if response.status != 200:
                raise NoDocument(str(response.status))
            return json.loads(response.read(_MOST))
        finally:
            connection.close()
    except (OSError, ValueError, HTTPException, RecursionError) as error:
        raise NoDocument(str(error)) from error


def _connect(
    scheme: str, host: str, port: int | None, trust: Trust, timeout: float
) -> HTTPConnection:
    """
    Connect to a server that is trusted.

    @raise OSError: if there is none.
    """
    if scheme != "https":
        return HTTPConnection(host, port, timeout=timeout)
    import ssl

    context = ssl.create_default_context(cafile=trust.cacert)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if trust.cert is not None:
        context.load_cert_chain(trust.cert, trust.key)
    if trust.pin is not None:
        # The fingerprint alone counts, which is checked below.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    connection = HTTPSConnection(host, port, timeout=timeout, context=context)
    connection.connect()
    if trust.pin is not None:
        shown = connection.sock.getpeercert(binary_form=True) or b""
        found = hashlib.sha256(shown).digest()
        if not hmac.compare_digest(found, parse_fingerprint(trust.pin)):
            connection.close()
            raise NoDocument("another certificate")
    return connection
