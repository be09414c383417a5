"""Probe clients without a network."""

from urllib.parse import parse_qsl

from shellstream.client.doctor.exchange import Exchange
from shellstream.client.doctor.probe_client import ProbeClient
from tests.support.doctor_exchanges import Way, ticking


class FakeProbeClient(ProbeClient):
    """Answers as C{/doctor} does, in the way of each host."""

    def __init__(self, first: Exchange | None = None, **ways: Way) -> None:
        """@param first: the answer to everything, if it is not to be ticks."""
        super().__init__(None)
        self.ways = ways
        self.asked: list[tuple[str, dict[str, str], bool]] = []
        self.first = first

    async def ask(
        self, url: str, timeout: float, *, query: str = "", gzip: bool = False
    ) -> Exchange:
        fields = dict(parse_qsl(query))
        self.asked.append((url, fields, gzip))
        if self.first is not None:
            return self.first
        interval, idle = float(fields["interval"]), float(fields.get("idle", 0))
        assert timeout >= idle + interval * (int(fields["count"]) - 1)
        sent = [2000 + interval * n for n in range(int(fields["count"]))]
        sent[-1] += idle
        return ticking(sent, self.ways[url.split("/")[2]](sent))


class BusyProbeClient(FakeProbeClient):
    """Refuses so many times, and then answers."""

    def __init__(self, busy: Exchange, times: int, **ways: Way) -> None:
        super().__init__(None, **ways)
        self.busy = busy
        self.times = times
        self.paused: list[float] = []

    async def ask(
        self, url: str, timeout: float, *, query: str = "", gzip: bool = False
    ) -> Exchange:
        if self.times:
            self.times -= 1
            return self.busy
        return await super().ask(url, timeout, query=query, gzip=gzip)

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)


class StreamProbeClient(ProbeClient):
    """
    Answers with one stream, as it comes with gzip offered and without.

    @ivar ways: the streams of other addresses, which nobody compresses; once there are
        any, the first one is not compressed either.
    """

    def __init__(self, offered: Exchange, bare: Exchange | None = None) -> None:
        super().__init__(None)
        self._offered, self._bare = offered, bare
        self.ways: dict[str, Exchange] = {}
        self.asked: list[bool] = []

    async def ask(
        self, url: str, timeout: float, *, query: str = "", gzip: bool = False
    ) -> Exchange:
        self.asked.append(gzip)
        if self.ways:
            return self.ways.get(url, self._offered)
        found = self._offered if gzip else self._bare
        assert found is not None, "asked a second time for nothing"
        return found
