"""aiohttp's server."""

from tests.benchmarks.peers.base import Kind, Peer


class Aiohttp(Peer):
    """aiohttp as in its documentation."""

    name = "aiohttp"
    kind = Kind.HTTP
    packages = ("aiohttp",)

    def launch(self) -> None:
        self.run_python("aiohttp_server.py")
