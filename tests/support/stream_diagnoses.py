"""What C{doctor} sees of any other stream."""

from shellstream.client.doctor.exchange import Exchange, Piece
from shellstream.client.doctor.stream_diagnosis import StreamProbe
from tests.support.ticking import answer

LIVE = (Piece(0.1, b"one\n"), Piece(1.1, b"two\n"), Piece(2.1, b"three\n"))


AT_ONCE = (Piece(2.2, b"one\ntwo\nthree\n"),)


GOOD = {
    "content-type": "text/plain",
    "transfer-encoding": "chunked",
    "x-content-type-options": "nosniff",
    "x-accel-buffering": "no",
}


def seen(
    *pieces: Piece, url: str = "http://h/s", bare: Exchange | None = None, **given
) -> StreamProbe:
    """A stream that was asked for once, unless C{bare} is how it came without gzip."""
    exchange = answer(*pieces, **{"headers": GOOD, **given})
    return StreamProbe(url, exchange, bare or exchange)
