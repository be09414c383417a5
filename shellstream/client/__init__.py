"""
Follow a streaming HTTP answer, each chunk as it is delivered.

Nothing here knows the reactor: bring a L{treq.client.HTTPClient}, such as
L{http_client} makes.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import treq
from treq.client import HTTPClient
from twisted.internet import error as neterror
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.error import Error, SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from shellstream import __version__

from .errors import (
    CannotConnect,
    ClientError,
    CutShort,
    NoSuchHost,
    NotHTTP,
    Refused,
    ServerFailed,
    TLSFailed,
    Usage,
)

#: Seconds until a server that does not take our connection counts as away.
CONNECT_TIMEOUT = 15.0

#: The most that is read of an answer that is an error, in bytes.
_MAX_PROBLEM = 1 << 16


@implementer(IAgent)
class LiveAgent:
    """Ask for bytes as they are: treq offers gzip, which holds output back."""

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  # IAgent's name
    ) -> "Deferred[IResponse]":
        headers = Headers() if headers is None else headers.copy()
        headers.setRawHeaders("accept-encoding", ["identity"])
        headers.setRawHeaders("user-agent", [f"shellstream/{__version__}"])
        return self._agent.request(method, uri, headers, bodyProducer)


def http_client(reactor: Any) -> HTTPClient:
    """A client that opens a connection for each request and offers no gzip."""
    return HTTPClient(LiveAgent(Agent(reactor, connectTimeout=CONNECT_TIMEOUT)))


async def stream(
    http: HTTPClient,
    method: str,
    url: str,
    params: Sequence[tuple[str, str]],
    write: Callable[[bytes], None],
) -> None:
    """
    Give C{write} each chunk of an answer the moment it is delivered.

    @param params: sent as the query of a GET, as the form of a POST.
    @raise ClientError: if the answer is an error, or did not come whole.
    """
    body = {"params": params} if method == "GET" else {"data": list(params)}
    try:
        response = await http.request(method, url, unbuffered=True, **body)
    except Exception as error:
        raise _unanswered(url, error) from error
    if response.code >= 400:
        raise await _refused(url, response)
    try:
        await treq.collect(response, write)
    except ResponseFailed as error:
        raise CutShort(url) from error


def _unanswered(url: str, error: Exception) -> Exception:
    match error:
        case neterror.DNSLookupError():
            return NoSuchHost(url)
        case neterror.ConnectionRefusedError():
            return CannotConnect(url, "connection refused; is the daemon running?")
        case neterror.TimeoutError():
            return CannotConnect(url, "no answer to the connection attempt")
        case neterror.ConnectError():
            return CannotConnect(url, str(error))
        case SchemeNotSupported():
            return Usage(f"{url}: only http:// and https:// are spoken here")
        case ResponseFailed() | RequestTransmissionFailed():
            return _broken(url, error.reasons)
        case Error():
            return NotHTTP(url, str(error))
        case ValueError():
            return Usage(f"{url}: not a URL: {error}")
    return error


def _broken(url: str, reasons: Sequence[Failure]) -> ClientError:
    """Why a connection ended before its answer began."""
    for error in (reason.value for reason in reasons):
        # Named, not imported: a plain-HTTP client need not load OpenSSL.
        module = type(error).__module__
        if module.startswith("service_identity"):
            return TLSFailed(url, "the certificate is for another host")
        if module.startswith("OpenSSL"):
            return TLSFailed(url, _tls_reason(error))
        if isinstance(error, ResponseFailed):
            return _broken(url, error.reasons)
    return NotHTTP(url, "; ".join(str(reason.value) for reason in reasons))


def _tls_reason(error: Any) -> str:
    # pyOpenSSL's errors hold a list of (library, function, reason).
    if error.args and isinstance(error.args[0], list) and error.args[0]:
        last = error.args[0][-1]
        return str(last[-1]) if isinstance(last, tuple) else str(last)
    return str(error) or type(error).__name__


async def _refused(url: str, response: IResponse) -> ClientError:
    """An error that says what the server said of it."""
    body = bytearray()

    def keep(data: bytes) -> None:
        body.extend(data[: _MAX_PROBLEM - len(body)])

    try:
        await treq.collect(response, keep)
    except ResponseFailed:
        body.clear()  # half an explanation misleads; the status tells enough
    phrase = _line(response.phrase.decode("ascii", "replace"))
    text = f"{response.code} {phrase}"
    detail = _detail(response.headers.getRawHeaders("content-type", [""])[0], body)
    cls = Refused if response.code < 500 else ServerFailed
    return cls(url, f"{text}: {detail}" if detail else text)


def _detail(media_type: str, body: bytearray) -> str:
    text = body.decode("utf-8", "replace")
    if media_type.startswith("application/problem+json"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return ""
        return _line(str(found.get("detail", ""))) if isinstance(found, dict) else ""
    if media_type.startswith("text/plain"):
        return _line(text.strip().partition("\n")[0])
    return ""


def _line(text: str) -> str:
    """A server's words as one line that cannot steer a terminal."""
    return "".join(each if each.isprintable() else " " for each in text[:1000])
