"""Times as people write and read them."""

import re

#: Seconds of each unit, by its names.
_UNITS = {
    1: ("s", "sec", "second", "seconds"),
    60: ("m", "min", "minute", "minutes"),
    3600: ("h", "hour", "hours"),
    86_400: ("d", "day", "days"),
    604_800: ("w", "week", "weeks"),
}
_SECONDS = {name: seconds for seconds, names in _UNITS.items() for name in names}

#: The longest age: 1,000 years.
_MOST = 1000 * 366 * 86_400


def since(text: str) -> str:
    """
    The time that an age (C{90s}, C{10 min}, C{1d}) or a date means, as servers write
    times, so that the texts compare as the times do. A date without a zone is local.

    @raise ValueError: if it is neither.
    """
    from datetime import UTC, datetime, timedelta  # late: few command lines have one

    age = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([a-z]+)", text.strip())
    if age is not None:
        seconds = float(age[1]) * _SECONDS.get(age[2], float("inf"))
        if seconds > _MOST:
            raise ValueError(text)
        found = datetime.now(UTC) - timedelta(seconds=seconds)
    else:
        found = datetime.fromisoformat(text)
        try:
            found = found.astimezone(UTC)
        except OverflowError:
            raise ValueError(text) from None
    return f"{found:%Y-%m-%dT%H:%M:%S.%f}Z".rjust(27, "0")


since.__name__ = "age (30min, 2h, 1d) or date"


def local(text: str | None, timespec: str = "seconds") -> str:
    """
    A time of a server, as the clocks here show it, with their offset from UTC: what
    L{since} reads, too. What is no time stays as it is.

    @param text: the time (RFC 3339).
    @param timespec: how exact, as C{datetime.isoformat} takes it.
    """
    from datetime import datetime

    try:
        return datetime.fromisoformat(text or "").astimezone().isoformat("T", timespec)
    except (ValueError, OverflowError):
        return text or ""


def ago(text: str | None, now: float) -> str:
    """
    How long ago a time of a server was, in words.

    @param text: the time (RFC 3339).
    @param now: seconds since 1970.
    """
    from datetime import datetime

    try:
        then = datetime.fromisoformat(text or "").timestamp()
    except (ValueError, OverflowError):
        return text or ""
    seconds = now - then
    # The clocks of two machines differ a little.
    return "just now" if seconds < 1 else f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """A time in its largest unit."""
    for size, name in ((86_400, "days"), (3600, "hours"), (60, "min")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name.removesuffix('s') if count == 1 else name}"
    return f"{int(seconds)} s"
