"""A server as C{doctor} finds it."""

from collections.abc import Callable
from urllib.parse import parse_qsl

from shellstream.client.doctor.exchange import Exchange
from shellstream.client.doctor.probe_client import ProbeClient
from tests.support.ticking import ticking

#: What stands between: the moments of sending, for the moments of coming.
Way = Callable[[list[float]], list[float]]


def live(sent: list[float]) -> list[float]:
    return sent


class FakeAsker(ProbeClient):
    """Asks nobody: a doctor's answers as they would come, by the way of each URL."""

    def __init__(self, **ways: Way) -> None:
        super().__init__()
        self.ways = ways
        self.asked: list[tuple[str, dict[str, str], bool]] = []
        #: Instead of an answer, for the first that is asked for.
        self.first: Exchange | None = None

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


class ForeignAsker(ProbeClient):
    """One stream, as it comes with compression offered and without."""

    def __init__(self, offered: Exchange, bare: Exchange | None = None) -> None:
        super().__init__()
        self._answers = {True: offered, False: bare}
        self.asked: list[bool] = []

    async def ask(
        self, url: str, timeout: float, *, query: str = "", gzip: bool = False
    ) -> Exchange:
        self.asked.append(gzip)
        found = self._answers[gzip]
        assert found is not None, "asked a second time for nothing"
        return found
