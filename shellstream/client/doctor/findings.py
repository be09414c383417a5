"""What a doctor says: findings as values, and the words for them."""

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen

from .exchange import Exchange, Framing


class Layer(Enum):
    """Who is to be changed."""

    SERVER = "server"
    PROXY = "proxy"
    CLIENT = "client"
    COMMAND = "command"


class Kind(Enum):
    """What is the matter."""

    NO_CHUNKS = "no-chunks"
    NO_CHUNKS_BEHIND = "no-chunks-behind"
    AT_THE_END = "at-the-end"
    BATCHES = "batches"
    LATE = "late"
    CUT = "cut"
    CUT_WHEN_IDLE = "cut-when-idle"
    COMPRESSED = "compressed"
    SNIFFED = "sniffed"
    TLS_UNTRUSTED = "tls-untrusted"
    TLS_REPLACED = "tls-replaced"
    COMMAND_BUFFERS = "command-buffers"


@frozen(kw_only=True)
class Finding:
    """
    Something that holds output back, or loses it.

    @ivar where: what was examined when it showed.
    @ivar what: what it does, in plain words.
    @ivar cure: lines that change it; each is a setting, or a comment that names the
        program to set.
    @ivar evidence: what was seen, as numbers.
    @ivar certain: whether nothing else would look like this.
    """

    kind: Kind
    layer: Layer
    where: str
    what: str
    seen: str
    cure: tuple[str, ...] = ()
    evidence: Mapping[str, object] = field(factory=dict)
    certain: bool = True


@frozen
class Report:
    """
    What an examination found.

    @ivar facts: what was examined, each with what is to be known of it.
    @ivar notes: what could not be told, and what is no fault.
    """

    facts: tuple[Mapping[str, object], ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


#: Programs that stand in front of servers, by what their headers say.
_PROXIES = {
    "nginx": "nginx",
    "openresty": "nginx",
    "haproxy": "HAProxy",
    "envoy": "Envoy",
    "caddy": "Caddy",
    "apache": "Apache",
    "varnish": "Varnish",
    "squid": "Squid",
    "cloudflare": "Cloudflare",
}


def proxy_named(exchange: Exchange) -> str | None:
    """Which proxy an answer came through, if it says so."""
    said = " ".join(exchange.headers.get(name, "") for name in ("server", "via"))
    for word, name in _PROXIES.items():
        if word in said.lower():
            return name
    return None


_BUFFERING = {
    "nginx": (
        "# nginx, in the location of the stream:",
        "proxy_buffering off;",
        "proxy_http_version 1.1;",
        "gzip off;",
        "# and no proxy_ignore_headers X-Accel-Buffering",
    ),
    "Apache": ("# Apache:", "ProxyPass / http://127.0.0.1:8000/ flushpackets=on"),
    "Varnish": ("# Varnish, in vcl_backend_response:", "set beresp.do_stream = true;"),
}
_LATE = {
    "HAProxy": (
        "# HAProxy, in the frontend and backend, or in defaults:",
        "option http-no-delay",
    ),
}
_CUT = {
    "Envoy": ("# Envoy, in the route:", "timeout: 0s"),
    "HAProxy": ("# HAProxy:", "timeout server 1d", "timeout client 1d"),
}
_IDLE = {
    "nginx": ("# nginx:", "proxy_read_timeout 1d;", "send_timeout 1d;"),
    "HAProxy": ("# HAProxy:", "timeout server 1d", "timeout client 1d"),
    "Envoy": (
        "# Envoy, in the connection manager and in the route:",
        "stream_idle_timeout: 0s",
        "idle_timeout: 0s",
    ),
}
_COMPRESSING = {
    "nginx": ("# nginx:", "gzip off;"),
    "HAProxy": ("# HAProxy: for this backend no", "compression algo"),
    "Caddy": ("# Caddy: for this path no", "encode"),
    "Apache": ("# Apache:", "SetEnv no-gzip 1"),
}
_CHUNKS = {
    "nginx": ("# nginx:", "proxy_http_version 1.1;"),
    "Apache": ("# Apache: no", "SetEnv force-proxy-request-1.0 1"),
}

CURES: Mapping[Kind, Mapping[str, tuple[str, ...]]] = {
    Kind.AT_THE_END: _BUFFERING,
    Kind.BATCHES: _BUFFERING,
    Kind.LATE: _LATE,
    Kind.CUT: _CUT,
    Kind.CUT_WHEN_IDLE: _IDLE,
    Kind.COMPRESSED: _COMPRESSING,
    Kind.NO_CHUNKS: _CHUNKS,
    Kind.NO_CHUNKS_BEHIND: _CHUNKS,
}


def cures(kind: Kind, named: str | None) -> tuple[str, ...]:
    """The settings of this proxy; those of all that are known if it is not known."""
    known = CURES[kind]
    if named is not None and named in known:
        return known[named]
    return tuple(line for lines in known.values() for line in lines)


def seconds(value: float) -> str:
    """A duration, for people."""
    return f"{value:.1f} s" if abs(value) >= 1 else f"{value * 1000:.0f} ms"


def without_chunks(exchange: Exchange) -> tuple[str, str]:
    """What an answer without chunks does to its readers, and what shows that."""
    what = (
        "answers without chunks, and ends by closing the connection. A client that "
        "reads by size waits until it has that many bytes: Requests' iter_lines() "
        "wants 512, urllib's read(n) n, so that short output comes all at the end. "
        "And a connection that breaks looks like the end of the output"
    )
    if exchange.framing is Framing.LENGTH:
        what = (
            "says beforehand how long the answer is (Content-Length): so it had all "
            "of it before it sent the first byte"
        )
    return what, f"HTTP/{exchange.version}, {exchange.framing.value}"
