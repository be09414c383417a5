"""
The routes from a client to the daemon: direct, or through a real proxy.

The files of C{deploy/proxies} are used without TLS, which not all clients of these
tests would trust, before daemons that ask nobody for a token.
"""

from collections.abc import Awaitable, Callable

from attrs import frozen
from twisted.trial.unittest import TestCase

from tests.interop.real_clients import folder
from tests.support.programs import Daemon, run
from tests.support.proxies import FILES, NAME, NGINX, changed, free_port

BARE_SITE = "server { listen 80; location / { proxy_pass http://127.0.0.1:8000; } }"

#: Caddy's administration would listen on a fixed port, its site on all addresses.
CADDY = "{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}\n"


def nginx_files(test: TestCase, site: str, port: int, upstream: int) -> tuple[str, ...]:
    """Write the files of an nginx; returns the options that name them."""
    where = folder(test)
    changes = {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "127.0.0.1:8000": f"127.0.0.1:{upstream}",
    }
    (where / "site.conf").write_text(changed(site, changes))
    (where / "nginx.conf").write_text(NGINX)
    return "-p", f"{where}/", "-c", f"{where}/nginx.conf", "-e", "stderr"


async def nginx_with(test: TestCase, daemon: Daemon, site: str) -> str:
    """Start an nginx with this site before a daemon; returns its URL."""
    port = free_port()
    options = nginx_files(test, site, port, daemon.port)
    notices = "error_log stderr notice;"
    proxy = run(test, "nginx", *options, "-g", notices, end_with="TERM")
    await proxy.seen(b"start worker process ")
    return f"http://127.0.0.1:{port}"


async def nginx_bare(test: TestCase, daemon: Daemon) -> str:
    return await nginx_with(test, daemon, BARE_SITE)


async def nginx(test: TestCase, daemon: Daemon) -> str:
    return await nginx_with(test, daemon, nginx_site())


def nginx_site() -> str:
    """Our file, without TLS and the redirect to it."""
    site, _, _ = (
        (FILES / "nginx.conf").read_text().partition("\nserver {\n    listen 80;")
    )
    return changed(
        site,
        {
            "listen 443 ssl;": "listen 80;",
            "    ssl_certificate /etc/ssl/shellstream.pem;\n": "",
            "    ssl_certificate_key /etc/ssl/shellstream.key;\n": "",
        },
    )


async def haproxy_with(test: TestCase, daemon: Daemon, config: str) -> str:
    """Start a HAProxy with this configuration before a daemon; returns its URL."""
    port = free_port()
    changes = {
        "bind :80": f"bind 127.0.0.1:{port}",
        "local 127.0.0.1:8000": f"local 127.0.0.1:{daemon.port}",
    }
    path = folder(test) / "haproxy.cfg"
    path.write_text(changed(config, changes))
    # Only in master-worker mode it says when it is listening.
    proxy = run(test, "haproxy", "-W", "-f", str(path), end_with="TERM")
    await proxy.seen(b"Loading success")
    return f"http://127.0.0.1:{port}"


async def haproxy(test: TestCase, daemon: Daemon) -> str:
    return await haproxy_with(test, daemon, haproxy_config())


def haproxy_config() -> str:
    """Our file, without TLS and the redirect to it."""
    tls = "    bind :443 ssl crt /etc/haproxy/shellstream.pem alpn http/1.1\n"
    redirect = "    http-request redirect scheme https code 308 unless { ssl_fc }\n"
    return changed((FILES / "haproxy.cfg").read_text(), {tls: "", redirect: ""})


async def caddy(test: TestCase, daemon: Daemon) -> str:
    port = free_port()
    changes = {
        f"\n{NAME} {{": f"\n:{port} {{",
        "127.0.0.1:8000": f"127.0.0.1:{daemon.port}",
    }
    where = folder(test)
    path = where / "Caddyfile"
    path.write_text(CADDY + changed((FILES / "Caddyfile").read_text(), changes))
    options = ("--config", str(path), "--adapter", "caddyfile")
    proxy = run(test, "caddy", "run", *options, env={"HOME": str(where)})
    await proxy.seen(b"serving initial configuration")
    return f"http://127.0.0.1:{port}"


async def direct(test: TestCase, daemon: Daemon) -> str:
    return daemon.url


@frozen
class Route:
    """
    A route to the daemon.

    @ivar open: starts the programs on the route; returns the URL to ask.
    @ivar needs: the programs that it uses.
    """

    open: Callable[[TestCase, Daemon], Awaitable[str]]
    needs: tuple[str, ...] = ()


ROUTES = {
    "directly": Route(direct),
    "through_bare_nginx": Route(nginx_bare, ("nginx",)),
    "through_nginx": Route(nginx, ("nginx",)),
    "through_haproxy": Route(haproxy, ("haproxy",)),
    "through_caddy": Route(caddy, ("caddy",)),
}
