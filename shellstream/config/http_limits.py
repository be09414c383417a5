"""What clients may use: the table C{[http]} of the configuration."""

from attrs import evolve, frozen

from shellstream.model.checks import count, seconds, size
from shellstream.model.tables import Table, setting

#: File descriptors that one run may need, and that the daemon keeps for itself. Some
#: of the latter are spare.
RUN_FILES, OWN_FILES = 5, 100


@frozen(kw_only=True)
class HttpLimits:
    """What all clients together may use, and each of them. Times are in seconds."""

    connections: int = setting(
        "Open connections at once; fewer where `ulimit -n` does not allow it.",
        count,
        24_000,
    )
    connections_per_address: int | None = setting(
        "Connections of one address, or one /64 of IPv6. Without it, three quarters "
        "of `connections`, so that one client cannot keep all others out.",
        count,
        None,
    )
    viewers: int = setting(
        "Answers that follow a run or the events, at once.", count, 20_000
    )
    header_size: int = setting(
        "The largest request line and headers, together.", size, 16 << 10
    )
    headers: int = setting("The most headers of a request.", count, 100)
    # From the first byte, however many reads it takes: a client that sends a byte from
    # time to time (Slowloris) gets no more time for that.
    header_timeout: float = setting(
        "Time until all headers of a request have arrived.", seconds, 30.0
    )
    body_size: int = setting(
        "The largest body of a request, except input for a run.", size, 64 << 10
    )
    body_timeout: float = setting(
        "Time until a body has arrived, and a second more for each `body_rate` bytes.",
        seconds,
        30.0,
    )
    body_rate: int = setting(
        "Bytes of a body that give it one more second.", count, 1000
    )
    input_size: int = setting("The most input for a run in one request.", size, 1 << 20)
    # A command may be slow to read, and a client slow to send. Without this limit, many
    # bodies would fill the daemon's memory.
    inputs_size: int = setting(
        "The most memory for the bodies of all requests. Input counts until its run "
        "has read it, and may take three quarters.",
        size,
        64 << 20,
    )
    idle_timeout: float = setting(
        "Time that a connection may wait for its next request.", seconds, 60.0
    )
    stall_timeout: float = setting(
        "Time that a client may take to read the rest of an answer that is complete.",
        seconds,
        3600.0,
    )

    @property
    def per_address(self) -> int:
        """How many connections one address may have."""
        return self.connections_per_address or self.default_per_address

    @property
    def default_per_address(self) -> int:
        """How many connections one address may have without a setting for it."""
        return max(1, self.connections * 3 // 4)

    @property
    def inputs_per_address(self) -> int:
        """How much of C{inputs_size} one address may have; the rest is for others."""
        return max(self.input_size, self.body_size, self.inputs_size * 3 // 4)

    @property
    def inputs_of_all(self) -> int:
        """How much unread input all runs may have; the rest is for other bodies."""
        return max(self.input_size, self.inputs_size * 3 // 4)

    @property
    def heads_size(self) -> int:
        """The most memory for requests whose headers are not complete."""
        return max(self.header_size, 32 << 20)

    def capped_to(self, files: int, runs: int) -> "HttpLimits":
        """
        These limits, with no more connections than there are file descriptors for.

        @param files: the most descriptors of this process.
        @param runs: the most runs at once. They get what they need, but no more than
            half: if there are too few descriptors, runs and clients share them.
        """
        # With the default limit of 1024 files, 1000 runs would leave no connection.
        room = max(files - OWN_FILES - RUN_FILES * runs, files // 2)
        if room >= self.connections:
            return self
        less, each = evolve(self, connections=room), self.connections_per_address
        if each is not None and each > less.default_per_address:
            return evolve(less, connections_per_address=less.default_per_address)
        return less


#: Enough for ten thousand viewers from one address, where descriptors allow it.
DEFAULT_HTTP_LIMITS = HttpLimits()


def check_http(table: Table, limits: HttpLimits) -> None:
    """Report a share that is larger than the whole."""
    most, each = limits.connections, limits.connections_per_address
    if each is not None and each > most:
        allowed = f"at most connections, which is {most}"
        table.report("connections_per_address", str(each), allowed)
    for key, least in (
        ("input_size", limits.input_size),
        ("body_size", limits.body_size),
    ):
        if limits.inputs_size < least:
            allowed = f"at least {key}, which is {least}"
            table.report("inputs_size", str(limits.inputs_size), allowed)
            break
