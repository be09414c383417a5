"""Real proxies for tests, with the files of C{deploy/proxies}."""

import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import trustme
from attrs import define, field, frozen
from twisted.trial.unittest import TestCase

from tests.support.programs import ROOT, Program, run

FILES = ROOT / "deploy" / "proxies"

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

#: What Debian's apache2.conf sets, with the modules that our file asks for.
APACHE = """
ServerName localhost
DefaultRuntimeDir "{folder}"
PidFile "{folder}/apache.pid"
ErrorLog /dev/stderr
LogLevel notice
Timeout 300
Listen 127.0.0.1:{port}
{modules}
AddOutputFilterByType DEFLATE text/html text/plain application/x-ndjson
Include "{folder}/site.conf"
"""
_APACHE_MODULES = (
    *("mpm_event", "authn_core", "authn_file", "authz_core", "authz_user"),
    *("auth_basic", "alias", "deflate", "env", "filter", "headers", "reqtimeout"),
    *("socache_shmcb", "ssl", "proxy", "proxy_http"),
)

#: The name of the host in our files.
NAME = "shellstream.example.org"


def free_port() -> int:
    """Return a TCP port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def changed(text: str, changes: Mapping[str, str]) -> str:
    """A proxy's file with changes; it must contain each old text exactly once."""
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        text = text.replace(old, new)
    return text


def uncommented(text: str, *lines: str) -> str:
    """A proxy's file without the C{#} before lines that begin so."""
    for line in lines:
        pattern = rf"(?m)^(\s*)# ({re.escape(line)})"
        text, count = re.subn(pattern, r"\1\2", text)
        assert count == 1, f"{line!r} occurs {count} times"
    return text


@define(eq=False)
class Place:
    """
    Where a proxy runs for a test.

    @ivar certificate: for L{NAME} and C{localhost}.
    @ivar http: a port in place of 80; C{https} in place of 443.
    @ivar upstream: the daemon's address.
    """

    folder: Path
    certificate: trustme.LeafCert
    upstream: str
    http: int = field(factory=free_port)
    https: int = field(factory=free_port)

    def __attrs_post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        chain = self.certificate.cert_chain_pems
        (self.folder / "chain.pem").write_bytes(
            b"".join(each.bytes() for each in chain)
        )
        key = self.certificate.private_key_pem.bytes()
        (self.folder / "key.pem").write_bytes(key)
        both = self.certificate.private_key_and_cert_chain_pem.bytes()
        (self.folder / "both.pem").write_bytes(both)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https}"


def _nginx(place: Place, text: str) -> tuple[str, ...]:
    site = changed(
        text,
        {
            "listen 80;": f"listen 127.0.0.1:{place.http};",
            "listen 443 ssl;": f"listen 127.0.0.1:{place.https} ssl;",
            "/etc/ssl/shellstream.pem": f"{place.folder}/chain.pem",
            "/etc/ssl/shellstream.key": f"{place.folder}/key.pem",
            "http://127.0.0.1:8000": f"http://{place.upstream}",
        },
    )
    (place.folder / "site.conf").write_text(site)
    (place.folder / "nginx.conf").write_text(NGINX)
    main = f"{place.folder}/nginx.conf"
    return ("nginx", "-p", f"{place.folder}/", "-c", main, "-e", "stderr")


def _haproxy(place: Place, text: str) -> tuple[str, ...]:
    config = changed(
        text,
        {
            "bind :80\n": f"bind 127.0.0.1:{place.http}\n",
            "bind :443 ": f"bind 127.0.0.1:{place.https} ",
            "/etc/haproxy/shellstream.pem": f"{place.folder}/both.pem",
            "server local 127.0.0.1:8000": f"server local {place.upstream}",
        },
    )
    path = place.folder / "haproxy.cfg"
    path.write_text(config)
    # Only in master-worker mode it says when it is listening.
    return ("haproxy", "-W", "-f", str(path))


def _caddy(place: Place, text: str) -> tuple[str, ...]:
    files = f"{place.folder}/chain.pem {place.folder}/key.pem"
    names = f"{NAME}:{place.https}, localhost:{place.https}"
    config = changed(
        text,
        {
            f"\n{NAME} {{": f"\n{names} {{\n\ttls {files}",
            "reverse_proxy 127.0.0.1:8000": f"reverse_proxy {place.upstream}",
        },
    )
    # Its administration would listen on a fixed port, its site on all addresses.
    begin = (
        "{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n}\n"
    )
    path = place.folder / "Caddyfile"
    path.write_text(begin + config)
    return ("caddy", "run", "--config", str(path), "--adapter", "caddyfile")


def _apache(place: Place, text: str) -> tuple[str, ...]:
    site = changed(
        text,
        {
            "<VirtualHost *:80>": f"<VirtualHost *:{place.http}>",
            "<VirtualHost *:443>": f"<VirtualHost *:{place.https}>",
            "/etc/ssl/shellstream.pem": f"{place.folder}/chain.pem",
            "/etc/ssl/shellstream.key": f"{place.folder}/key.pem",
            "http://127.0.0.1:8000/ f": f"http://{place.upstream}/ f",
        },
    )
    (place.folder / "site.conf").write_text(site)
    load = "LoadModule {0}_module /usr/lib/apache2/modules/mod_{0}.so"
    modules = "\n".join(map(load.format, _APACHE_MODULES))
    main = APACHE.format(folder=place.folder, port=place.https, modules=modules)
    (place.folder / "apache.conf").write_text(main)
    return ("apache2", "-f", f"{place.folder}/apache.conf", "-D", "FOREGROUND")


def _lighttpd(place: Place, text: str) -> tuple[str, ...]:
    site = changed(
        text,
        {
            '$SERVER["socket"] == ":443"': f'$SERVER["socket"] == ":{place.https}"',
            "/etc/ssl/shellstream.pem": f"{place.folder}/chain.pem",
            "/etc/ssl/shellstream.key": f"{place.folder}/key.pem",
            '"port" => 8000': f'"port" => {place.upstream.rpartition(":")[2]}',
        },
    )
    main = (
        f'server.bind = "127.0.0.1"\nserver.port = {place.http}\n'
        f'server.document-root = "{place.folder}"\nserver.modules = ()\n'
    )
    path = place.folder / "lighttpd.conf"
    path.write_text(main + site)
    return ("lighttpd", "-D", "-f", str(path))


@frozen(eq=False)
class Proxy:
    """
    A proxy, and our file for it.

    @ivar command: writes its files, ours among them, and returns its command line.
    @ivar ready: what it says when it listens.
    @ivar silence: the settings that let a silent stream go on, and what they are in a
        test that has no time; empty if the proxy needs none.
    @ivar prefix: the changes for a prefix C{/shell/}.
    """

    name: str
    file: str
    command: Callable[[Place, str], tuple[str, ...]]
    ready: bytes
    silence: Mapping[str, str] = {}
    users: tuple[str, ...] = ()
    prefix: Mapping[str, str] = {}

    @property
    def text(self) -> str:
        """Our file."""
        return (FILES / self.file).read_text()

    @property
    def program(self) -> str:
        return self.name

    async def start(self, test: TestCase, place: Place, text: str = "") -> Program:
        """Start it, with our file or another text."""
        argv = self.command(place, text or self.text)
        env = {"HOME": str(place.folder)}
        if self.name == "nginx":
            # Its workers may read what this user may, and no more.
            user = "" if os.getuid() else " user root;"
            argv = (*argv, "-g", f"error_log stderr notice;{user}")
        program = run(test, *argv, env=env, end_with="TERM")
        await program.seen(self.ready)
        return program


PROXIES = (
    Proxy(
        "nginx",
        "nginx.conf",
        _nginx,
        b"start worker process ",
        {"proxy_read_timeout 1d;": "proxy_read_timeout 1s;"},
        ("auth_basic shellstream;", "auth_basic_user_file"),
        {
            "location / {": "location /shell/ {",
            "proxy_pass http://127.0.0.1:8000;": "proxy_pass http://127.0.0.1:8000/;",
        },
    ),
    Proxy(
        "haproxy",
        "haproxy.cfg",
        _haproxy,
        b"Loading success",
        {"timeout server 1d": "timeout server 1s"},
        ("userlist", "    user alice", "http-request auth", "http-request set-header"),
        {"# http-request replace-path": "http-request replace-path"},
    ),
    Proxy(
        "caddy",
        "Caddyfile",
        _caddy,
        b"serving initial configuration",
        {},
        ("basicauth {", "\talice HASH", "}"),
        {"# uri strip_prefix": "uri strip_prefix"},
    ),
    Proxy(
        "apache2",
        "apache.conf",
        _apache,
        b"resuming normal operations",
        {"    Timeout 86400": "    Timeout 1"},
        (
            *('<Location "/">', "    AuthType", "    AuthName", "    AuthUserFile"),
            *("    Require", "</Location>"),
        ),
        {"ProxyPass / ": "ProxyPass /shell/ "},
    ),
    Proxy(
        "lighttpd",
        "lighttpd.conf",
        _lighttpd,
        b"server started",
        {},
        (
            *("auth.backend =", "auth.backend.htpasswd", "auth.require"),
            '                         "require"',
        ),
        {"# proxy.header =": "proxy.header ="},
    ),
)
