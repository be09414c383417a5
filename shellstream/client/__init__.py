"""
Runs on a shellstream server, for programs: start, follow, cancel.

On asyncio::

    import asyncio
    from shellstream.client import Client, Output

    async def main():
        async with Client("http://laptop:8000").run("build", {"jobs": "2"}) as run:
            async for event in run:
                if isinstance(event, Output):
                    print(event.stream, event.data)
        print(run.end)

    asyncio.run(main())

With Twisted, C{Client("http://laptop:8000", TreqWire(reactor))}, and
C{Deferred.fromCoroutine(main())}; all else is the same.

The loop ends only when all of the output was seen, whatever happened to the
network; anything else raises a L{ClientError}.
Who takes long over an event makes the server wait, and so the command.

Both ask by treq. On asyncio it runs on the loop that runs, and Twisted's global
reactor is neither used nor installed. Names are imported when they are used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shellstream.client.transport.asyncio_wire import AsyncioWire
    from shellstream.client.transport.treq_wire import TreqWire, http_client
    from shellstream.client.transport.trust import Trust

    from .api import Client
    from .errors import ClientError, CutShort
    from .events import Begun, End, Event, Gap, Output, Ping
    from .feed import Tty
    from .follow import Following, View

_HOMES = {
    "Client": "api",
    "AsyncioWire": "transport.asyncio_wire",
    "ClientError": "errors",
    "CutShort": "errors",
    "Begun": "events",
    "End": "events",
    "Event": "events",
    "Gap": "events",
    "Output": "events",
    "Ping": "events",
    "Tty": "feed",
    "Following": "follow",
    "View": "follow",
    "TreqWire": "transport.treq_wire",
    "http_client": "transport.treq_wire",
    "Trust": "transport.trust",
}

__all__ = [
    "AsyncioWire",
    "Begun",
    "Client",
    "ClientError",
    "CutShort",
    "End",
    "Event",
    "Following",
    "Gap",
    "Output",
    "Ping",
    "TreqWire",
    "Trust",
    "Tty",
    "View",
    "http_client",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
