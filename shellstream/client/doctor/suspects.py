"""Who may hold a stream back: servers and proxies, by name, and how to set them."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from .exchange import Exchange
from .findings import Finding, Kind, Layer

#: Proxies, by a word that they put into C{Server} or C{Via}.
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
        "# and no proxy_ignore_headers X-Accel-Buffering",
    ),
    # mod_proxy: off by default; Apache then sends when its buffer is full.
    "Apache": ("# Apache:", "ProxyPass / http://127.0.0.1:8000/ flushpackets=on"),
    # vcl-backend-response: on by default; if off, Varnish fetches the whole body first.
    "Varnish": ("# Varnish, in vcl_backend_response:", "set beresp.do_stream = true;"),
}
_CHUNKS = {
    # nginx's default is 1.0 before nginx 1.30.
    "nginx": ("# nginx:", "proxy_http_version 1.1;"),
    "Apache": ("# Apache: no", "SetEnv force-proxy-request-1.0 1"),
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
        "HAProxy": ("# HAProxy: for this backend no", "compression algo"),
        "Caddy": ("# Caddy: for this path no", "encode"),
        "Apache": ("# Apache:", "SetEnv no-gzip 1"),
    },
    Kind.NO_CHUNKS: _CHUNKS,
    Kind.NO_CHUNKS_BEHIND: _CHUNKS,
}


def cures(kind: Kind, proxy: str | None) -> tuple[str, ...]:
    """The settings of this proxy; those of all proxies if there are none of it."""
    known = CURES[kind]
    if proxy is not None and proxy in known:
        return known[proxy]
    return tuple(line for lines in known.values() for line in lines)


def proxy_named(exchange: Exchange) -> str | None:
    """The proxy that a response names in its headers; L{None} if it names none."""
    headers = f"{exchange.header('server')} {exchange.header('via')}"
    return next((name for word, name in _PROXIES.items() if word in headers), None)


@frozen
class Suspect:
    """
    Whoever answers at an address.

    @ivar name: as findings call it.
    @ivar proxy: which proxy it is, if it says so.
    @ivar for_development: whether it is a server that is meant for development.
    """

    layer: Layer
    url: str
    name: str
    proxy: str | None
    for_development: bool

    def finding(self, kind: Kind, does: str, **more: Any) -> Finding:
        """
        A finding about it.

        @param does: what it does, after its name.
        @param more: other attributes of the finding; C{cure} is what is known of its
            settings if not given.
        """
        if "cure" not in more:
            more["cure"] = cures(kind, self.proxy)
        what = f"{self.name} {does}"
        return Finding(kind=kind, layer=self.layer, where=self.url, what=what, **more)


def suspect_at(url: str, exchange: Exchange, layer: Layer) -> Suspect:
    """
    Who answers at a URL.

    @param layer: whether only a proxy can be to blame, or the server itself.
    """
    server = exchange.headers.get("server", "")
    development = [
        name for word, name in _DEVELOPMENT_SERVERS.items() if server.startswith(word)
    ]
    proxy = proxy_named(exchange)
    if development:
        name = f"the server at {url} ({development[0]})"
    elif proxy is not None:
        name = f"{proxy} at {url}"
    elif layer is Layer.SERVER:
        name = f"the server at {url}"
    else:
        name = f"a proxy on the way to {url}"
    return Suspect(layer, url, name, proxy, bool(development))
