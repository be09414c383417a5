"""aiohttp's server."""

from tests.benchmarks.peers.base import Kind, Peer


class Aiohttp(Peer):
    """As its documentation has it."""

    name = "aiohttp"
    kind = Kind.HTTP
    packages = ("aiohttp",)

    def launch(self) -> None:
        self.run_python("aiohttp_server.py")
