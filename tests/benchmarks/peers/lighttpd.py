"""lighttpd's CGI."""

from tests.benchmarks.peers.base import Kind, Peer
from tests.benchmarks.peers.scripts import CGI, write_scripts

CONFIG = """\
server.modules = ("mod_cgi")
server.document-root = "{scripts}"
server.bind = "127.0.0.1"
server.port = {port}
server.listen-backlog = 4096
server.max-fds = 8192
server.max-connections = 4096
server.errorlog = "{folder}/errors"
server.stream-response-body = 2
cgi.assign = ("" => "")
"""


class Lighttpd(Peer):
    """lighttpd with streamed responses and a bounded buffer."""

    name = "lighttpd CGI"
    kind = Kind.HTTP
    programs = ("lighttpd",)

    def launch(self) -> None:
        scripts = write_scripts(self.folder / "scripts", self.workloads, CGI)
        config = self.folder / "lighttpd.conf"
        config.write_text(
            CONFIG.format(scripts=scripts, port=self.port, folder=self.folder)
        )
        self.run("lighttpd", "-D", "-f", str(config))
