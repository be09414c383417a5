"""A real nginx for a test: a port, and a main configuration."""

import socket

#: What Debian's nginx.conf sets for responses; paths are relative to the folder.
NGINX = """
daemon off;
pid nginx.pid;
events { worker_connections 768; }
http {
    sendfile on;
    tcp_nopush on;
    gzip on;
    default_type application/octet-stream;
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}
"""


def free_port() -> int:
    """Return a TCP port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
