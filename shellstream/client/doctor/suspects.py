"""Who may hold a stream back: servers and proxies, by name, and how to set them."""

from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen

from .exchange import Exchange
from .findings import Finding, Kind, Layer

#: Proxies and servers, by a word that they put into C{Server} or C{Via}.
_NAMES = {
    "nginx": "nginx",
    "openresty": "nginx",
    "haproxy": "HAProxy",
    "envoy": "Envoy",
    "caddy": "Caddy",
    "apache": "Apache",
    "varnish": "Varnish",
    "squid": "Squid",
    "cloudflare": "Cloudflare",
    "lighttpd": "lighttpd",
    "gunicorn": "gunicorn",
}

#: Servers that are meant for development, by how their C{Server} begins. All of them
#: answer in HTTP/1.0, which has no chunks.
_DEVELOPMENT_SERVERS = {
    "WSGIServer": "wsgiref, Python's own server, on which Bottle runs by default",
    "Werkzeug": "Werkzeug's development server, on which Flask runs by default",
    "SimpleHTTP": "Python's http.server",
    "BaseHTTP": "Python's http.server",
}

# Each setting is named as in the proxy's own documentation.
_BUFFERING = {
    # ngx_http_proxy_module, ngx_http_gzip_module. proxy_buffering is on by default;
    # X-Accel-Buffering: no switches it off unless proxy_ignore_headers forbids that.
    "nginx": (
        "# nginx, in the location of the stream:",
        "proxy_buffering off;",
        "proxy_http_version 1.1;",
        "gzip off;",
        "# Remove this line: proxy_ignore_headers X-Accel-Buffering;",
    ),
    # mod_proxy: off by default; Apache then sends when its buffer is full.
    "Apache": ("# Apache:", "ProxyPass / http://127.0.0.1:8000/ flushpackets=on"),
    # vcl-backend-response: on by default; if off, Varnish fetches the whole body first.
    "Varnish": ("# Varnish, in vcl_backend_response:", "set beresp.do_stream = true;"),
    # reverse_proxy's flush_interval and buffer_responses, which later versions call
    # response_buffers. Both are off by default.
    "Caddy": (
        "# Caddy, in reverse_proxy:",
        "flush_interval -1",
        "# Remove these lines: buffer_responses, response_buffers",
    ),
    # By default lighttpd collects the whole response of a proxied server or of CGI.
    "lighttpd": ("# lighttpd:", "server.stream-response-body = 2"),
}
_CHUNKS = {
    # nginx's default is 1.0 before nginx 1.30.
    "nginx": ("# nginx:", "proxy_http_version 1.1;"),
    "Apache": ("# Apache. Remove this line: SetEnv force-proxy-request-1.0 1",),
    "lighttpd": _BUFFERING["lighttpd"],
}

CURES: Mapping[Kind, Mapping[str, tuple[str, ...]]] = {
    Kind.AT_THE_END: _BUFFERING,
    Kind.BATCHES: _BUFFERING,
    Kind.LATE: {
        # By default HAProxy has the kernel wait for more data to fill a segment
        # (MSG_MORE), for up to 200 ms (tcp(7), TCP_CORK). Measured: 206 ms a tick.
        "HAProxy": (
            "# HAProxy, in the frontend and backend, or in defaults:",
            "option http-no-delay",
        ),
    },
    Kind.CUT: {
        # Envoy's route timeout is 15 s for the whole response unless it is set.
        "Envoy": ("# Envoy, in the route:", "timeout: 0s"),
        "HAProxy": ("# HAProxy:", "timeout server 1d", "timeout client 1d"),
        # A worker of gunicorn's default class that is busy for 30 s is killed.
        "gunicorn": ("# gunicorn:", "gunicorn --timeout 0"),
    },
    Kind.CUT_WHEN_IDLE: {
        # Both are 60 s by default.
        "nginx": ("# nginx:", "proxy_read_timeout 1d;", "send_timeout 1d;"),
        # No default, but Debian's haproxy.cfg sets both to 50 s.
        "HAProxy": ("# HAProxy:", "timeout server 1d", "timeout client 1d"),
        # stream_idle_timeout is 5 minutes by default.
        "Envoy": (
            "# Envoy, in the connection manager and in the route:",
            "stream_idle_timeout: 0s",
            "idle_timeout: 0s",
        ),
    },
    Kind.COMPRESSED: {
        # nginx does not heed Cache-Control: no-transform, which forbids it
        # (RFC 9111, 5.2.2.6).
        "nginx": ("# nginx:", "gzip off;"),
        "HAProxy": (
            "# HAProxy, for this backend. Remove this line: compression algo gzip",
        ),
        "Caddy": ("# Caddy, for this path. Remove this line: encode gzip",),
        "Apache": ("# Apache:", "SetEnv no-gzip 1"),
    },
    Kind.NO_CHUNKS: _CHUNKS,
    Kind.NO_CHUNKS_BEHIND: _CHUNKS,
    Kind.TRAILERS: {
        # Debian 12 has Varnish 7.1, which fails at them; a pipe passes on bytes as
        # they are.
        "Varnish": (
            "# Varnish, in vcl_recv, for the paths of streams:",
            "return (pipe);",
        ),
        "lighttpd": _BUFFERING["lighttpd"],
    },
}

#: What a server may be told that is not known by name.
_SERVER = {
    Kind.COMPRESSED: ("# the server: do not compress this response",),
    Kind.CUT: (
        "# the server, or the program behind it: look for a limit of time or of size",
    ),
    Kind.CUT_WHEN_IDLE: (
        "# the server: write a sign of life before its limit of silence is over, for",
        "# example a comment of an event stream (a line with a colon) every 15 s",
    ),
    Kind.NO_CHUNKS: ("# the server: let it answer in HTTP/1.1, chunked",),
}


def name_of(exchange: Exchange) -> str | None:
    """The program that a response names in its headers; L{None} if it names none."""
    headers = f"{exchange.header('server')} {exchange.header('via')}"
    return next((name for word, name in _NAMES.items() if word in headers), None)


@frozen
class Suspect:
    """
    Whoever answers at an address.

    @ivar name: as findings call it.
    @ivar program: which one it is, if it says so.
    @ivar for_development: whether it is a server that is meant for development.
    """

    layer: Layer
    url: str
    name: str
    program: str | None
    for_development: bool

    def finding(self, kind: Kind, does: str, **more: Any) -> Finding:
        """
        A finding about it.

        @param does: what it does, after its name.
        @param more: other attributes of the finding; C{cure} is what is known of its
            settings if not given.
        """
        if "cure" not in more:
            more["cure"] = self.cures(kind)
        what = f"{self.name} {does}"
        return Finding(kind=kind, layer=self.layer, where=self.url, what=what, **more)

    def cures(self, kind: Kind) -> tuple[str, ...]:
        """Its settings; those of all proxies, of one that does not say who it is."""
        known = CURES[kind]
        if self.program is not None and self.program in known:
            return known[self.program]
        proxies = tuple(line for lines in known.values() for line in lines)
        if self.layer is not Layer.SERVER:
            return proxies
        # HAProxy and balancers in a cloud do not say that they are there.
        cut = kind in (Kind.CUT, Kind.CUT_WHEN_IDLE)
        others = ("# or, if a proxy stands before it:", *proxies) if cut else ()
        return (*_SERVER.get(kind, ()), *others)

    def nameless(self) -> "Suspect":
        """Somebody on the way who does not say who it is."""
        name = f"a proxy on the way to {self.url}"
        return evolve(self, name=name, program=None)


def suspect_at(
    url: str, exchange: Exchange, layer: Layer, before: Exchange | None = None
) -> Suspect:
    """
    Who answers at a URL.

    @param layer: whether only a proxy can be to blame, or the server itself.
    @param before: a response at the address before this one. Who names itself there
        already is not what came between the two.
    """
    server = exchange.headers.get("server", "")
    development = [
        name for word, name in _DEVELOPMENT_SERVERS.items() if server.startswith(word)
    ]
    program = name_of(exchange)
    if before is not None and program == name_of(before):
        program = None
    if development and layer is Layer.SERVER:
        name = f"the server at {url} ({development[0]})"
    elif program is not None:
        name = f"{program} at {url}"
    elif layer is Layer.SERVER:
        name = f"the server at {url}"
    else:
        name = f"a proxy on the way to {url}"
    return Suspect(layer, url, name, program, bool(development))
