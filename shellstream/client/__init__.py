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

C{await Client("http://laptop:8000", token="shs_...").output("build")} waits for the end
and returns all output at once.

With Twisted, use C{Client("http://laptop:8000", TreqWire(reactor))} and
C{Deferred.fromCoroutine(main())}; all else is the same.

The loop ends only after all of the output, whatever happened to the network; anything
else raises a L{ClientError}. While a program works on an event the server waits for it,
and so does the command.

Both kinds of programs send their requests with treq. On asyncio it uses the running
loop; Twisted's global reactor is neither used nor installed.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Client as Client
    from .errors import ClientError as ClientError
    from .errors import CommandFailed as CommandFailed
    from .errors import CutShort as CutShort
    from .errors import TooMuchOutput as TooMuchOutput
    from .events import Begun as Begun
    from .events import End as End
    from .events import Event as Event
    from .events import Gap as Gap
    from .events import Output as Output
    from .events import Ping as Ping
    from .events import Result as Result
    from .events import RunEvent as RunEvent
    from .feed import Tty as Tty
    from .follow import Following as Following
    from .follow import View as View
    from .transport.asyncio_wire import AsyncioWire as AsyncioWire
    from .transport.treq_wire import TreqWire as TreqWire
    from .transport.treq_wire import http_client as http_client
    from .transport.trust import Trust as Trust

#: The public names of each module. They are imported when they are first used, so that
#: C{shellstream --version} loads neither HTTP nor TLS.
_EXPORTS = {
    "api": ("Client",),
    "errors": ("ClientError", "CommandFailed", "CutShort", "TooMuchOutput"),
    "events": ("Begun", "End", "Event", "Gap", "Output", "Ping", "Result", "RunEvent"),
    "feed": ("Tty",),
    "follow": ("Following", "View"),
    "transport.asyncio_wire": ("AsyncioWire",),
    "transport.treq_wire": ("TreqWire", "http_client"),
    "transport.trust": ("Trust",),
}
_MODULES = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
