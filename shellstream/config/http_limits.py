"""What clients may take of the daemon: the table C{[http]} of the configuration."""

from attrs import evolve, frozen

from shellstream.model import tables
from shellstream.model.tables import Table

#: Descriptors that a run may need, and those that the daemon itself does, spare ones
#: among them.
RUN_FILES, OWN_FILES = 5, 100


@frozen(kw_only=True)
class HttpLimits:
    """
    What all clients may take, and one of them. All times are in seconds.

    @ivar connections: how many may be open at once.
    @ivar connections_per_address: how many of these to one address, or one /64 of
        IPv6; L{None}: three quarters, so that nobody alone can keep others out.
    @ivar viewers: how many answers may follow something at once.
    @ivar header_size: of a request's line and headers together, in bytes.
    @ivar headers: how many a request may have.
    @ivar header_timeout: from the first byte of a request, or the beginning of its
        connection, until its headers are there, however many reads that takes.
    @ivar body_size: of any body but input for a run, in bytes: parameters.
    @ivar body_timeout: until a body is there; a second more for each C{body_rate}
        bytes that have come.
    @ivar input_size: of one piece of a run's input, in bytes.
    @ivar inputs_size: of all input that no run has taken yet: it is held until then.
    @ivar idle_timeout: how long a connection may wait for its next request.
    @ivar stall_timeout: how long a client may take to fetch what is left of an
        answer that is over.
    """

    connections: int = 24_000
    connections_per_address: int | None = None
    viewers: int = 20_000
    header_size: int = 16 << 10
    headers: int = 100
    header_timeout: float = 30.0
    body_size: int = 64 << 10
    body_timeout: float = 30.0
    body_rate: int = 1000
    input_size: int = 1 << 20
    inputs_size: int = 64 << 20
    idle_timeout: float = 60.0
    stall_timeout: float = 3600.0

    @property
    def per_address(self) -> int:
        """How many connections one address may have."""
        return self.connections_per_address or self.shared

    @property
    def shared(self) -> int:
        """How many connections one address may have, where nobody says so."""
        return max(1, self.connections * 3 // 4)

    @property
    def inputs_per_address(self) -> int:
        """How much input of one address may be held: the rest is for others."""
        return max(self.input_size, self.inputs_size * 3 // 4)

    def capped_to(self, files: int, runs: int) -> "HttpLimits":
        """
        These, with no more connections than there are descriptors for.

        @param files: how many this process may have.
        @param runs: how many may go on at once. They get what they may need, but
            not more than half: a limit that is too low is shared.
        """
        room = max(files - OWN_FILES - RUN_FILES * runs, files // 2)
        if room >= self.connections:
            return self
        less, each = evolve(self, connections=room), self.connections_per_address
        if each is not None and each > less.shared:
            return evolve(less, connections_per_address=less.shared)
        return less


#: Enough for ten thousand viewers from one address, where descriptors allow it.
DEFAULT_HTTP_LIMITS = HttpLimits()


def read(table: Table, default: HttpLimits = DEFAULT_HTTP_LIMITS) -> HttpLimits:
    """Read the table; what is wrong with it is noted there."""
    bounds = HttpLimits(
        connections=table.read("connections", tables.count, default.connections),
        connections_per_address=table.read(
            "connections_per_address", tables.count, default.connections_per_address
        ),
        viewers=table.read("viewers", tables.count, default.viewers),
        header_size=table.read("header_size", tables.size, default.header_size),
        headers=table.read("headers", tables.count, default.headers),
        header_timeout=table.read(
            "header_timeout", tables.seconds, default.header_timeout
        ),
        body_size=table.read("body_size", tables.size, default.body_size),
        body_timeout=table.read("body_timeout", tables.seconds, default.body_timeout),
        body_rate=table.read("body_rate", tables.count, default.body_rate),
        input_size=table.read("input_size", tables.size, default.input_size),
        inputs_size=table.read("inputs_size", tables.size, default.inputs_size),
        idle_timeout=table.read("idle_timeout", tables.seconds, default.idle_timeout),
        stall_timeout=table.read(
            "stall_timeout", tables.seconds, default.stall_timeout
        ),
    )
    most, each = bounds.connections, bounds.connections_per_address
    if each is not None and each > most:
        allowed = f"at most connections, which is {most}"
        table.report("connections_per_address", str(each), allowed)
    if bounds.inputs_size < bounds.input_size:
        allowed = f"at least input_size, which is {bounds.input_size}"
        table.report("inputs_size", str(bounds.inputs_size), allowed)
    table.report_unknown()
    return bounds
