"""nginx in front of fcgiwrap."""

import os

from tests.benchmarks.peers.base import Kind, Peer
from tests.benchmarks.peers.scripts import CGI, write_scripts

CONFIG = """\
{user}
worker_processes auto;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/tmp;
    fastcgi_temp_path {folder}/tmp;
    proxy_temp_path {folder}/tmp;
    scgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            fastcgi_pass unix:{folder}/fcgi;
            fastcgi_buffering off;
            fastcgi_param NO_BUFFERING 1;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param SCRIPT_FILENAME {folder}/scripts$uri;
        }}
    }}
}}
"""


class Nginx(Peer):
    """Nginx does not buffer; fcgiwrap starts a process for each stream beforehand."""

    name = "nginx+fcgiwrap"
    kind = Kind.HTTP
    programs = ("nginx", "fcgiwrap")

    def launch(self) -> None:
        write_scripts(self.folder / "scripts", self.workloads, CGI)
        config = self.folder / "nginx.conf"
        user = "" if os.geteuid() else "user root;"
        config.write_text(CONFIG.format(user=user, folder=self.folder, port=self.port))
        socket = self.folder / "fcgi"
        self.run("fcgiwrap", "-c", str(self.streams), "-s", f"unix:{socket}")
        self.wait_for(socket.exists)
        self.run("nginx", "-p", str(self.folder), "-c", str(config))
