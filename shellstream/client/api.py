"""Runs on a server, for programs."""

import json
import os
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from typing import Any, Literal, cast
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from shellstream.client.transport.documents import ServerApi, check_status
from shellstream.client.transport.wire import Response, Wire

from .errors import ContractViolation, ServerError, Usage
from .events import CommandInfo, RunInfo
from .feed import StdinFeeder, Tty
from .follow import Following, View
from .retry import RetryPolicy
from .urls import server_of

#: The most runs that the server tells of at once.
MAX_PAGE = 1000

#: Parameters: names and values, as a command line has them.
Params = Mapping[str, str] | Iterable[tuple[str, str]]


class Client:
    """
    The runs of one server.

    On asyncio a server's URL is all that it takes; in a Twisted program give it a
    L{TreqWire}. It holds nothing open, so it
    need not be closed; what L{run} and L{follow} return does.

    Every call may raise a L{ClientError},
    whose text is one line for a person.
    """

    def __init__(
        self,
        server: str,
        wire: Wire | None = None,
        *,
        token: str | None = None,
        retry_for: float = 60.0,
        on_retry: Callable[[ServerError, float], object] = lambda error, delay: None,
    ) -> None:
        """
        @param server: its URL: C{http://laptop:8000}.
        @param token: what it asks for, if anything.
        @param retry_for: seconds for which a cut stream is tried to be taken up.
        @param on_retry: called with each error, and the seconds until the next try.
        """
        if wire is None:
            from shellstream.client.transport.asyncio_wire import AsyncioWire

            wire = AsyncioWire()
        self.server = server.rstrip("/")
        self._wire = wire
        self._retry_for = retry_for
        self._on_retry = on_retry
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._server = ServerApi(self.server, wire, self._headers)

    # Watching

    def run(
        self,
        command: str | None = None,
        params: Params = (),
        *,
        timed: bool = False,
    ) -> Following:
        """
        Start a run, and follow it; the first event is a good time to look at C{run}.

        It is this client's run: when it has been away for the command's C{linger}
        seconds, the server ends it.

        @param command: its name; the default one if not given.
        """
        headers = {
            "idempotency-key": new_key(),
            "content-type": "application/x-www-form-urlencoded",
            "accept": View(timed=timed).accept,
        }
        path = "/stream" if command is None else f"/stream/{quote(command, safe='')}"
        body = urlencode(list(_pairs(params))).encode()

        async def begin() -> Response:
            return await self._server.ask("POST", path, headers, body)

        return self._following(View(lossless=True, timed=timed), begin=begin)

    def follow(self, run: str, view: View = View()) -> Following:  # noqa: B008
        """
        Follow a run that is there, by default from its first byte on. It waits for
        nobody: who is too slow is told of a L{Gap}.
        """
        return self._following(view, run=run)

    def attach(self, run: str, offset: int = 0) -> Following:
        """Follow a run as its starter does: it waits for us, and no byte is missed."""
        return self._following(View(offset, lossless=True), run=run)

    async def get(
        self, url: str, params: Params = (), *, timed: bool = False
    ) -> "Following | Response":
        """
        Follow what any server answers to a GET.

        @return: what is told of a run, if it is one that this server began for us;
            else the answer, to be read as it comes.
        """
        parts = urlsplit(url)
        query = "&".join(filter(None, [parts.query, urlencode(list(_pairs(params)))]))
        url = urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))
        accept = View(timed=timed).accept
        headers = {**self._headers, "accept": "*/*"}
        if server_of(url) == self.server:
            headers["accept"] = f"{accept}, */*;q=0.5"
        answer = await self._wire.request("GET", url, headers)
        await check_status(url, answer)
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        if media_type != accept or "shellstream-run" not in answer.headers:
            return answer

        async def begin() -> Response:
            return answer

        return self._following(View(lossless=True, timed=timed), begin=begin)

    # Ordering

    async def start(
        self,
        command: str | None = None,
        params: Params = (),
        *,
        key: str | None = None,
        stdin: bool = False,
        tty: Tty | None = None,
        on_disconnect: Literal["keep", "cancel"] | None = None,
    ) -> RunInfo:
        """
        Start a run that nobody need watch.

        @param command: its name; the default one if not given.
        @param key: an C{Idempotency-Key}: with the same one, from whomever, no
            second run is started. Without it there is one for this call.
        @param stdin: whether it is to have input: see L{feed}. The server refuses
            it for commands that are not meant to have any, as it does C{tty}.
        @param tty: the terminal that it is to have, for its input, too.
        @param on_disconnect: what becomes of it when its last viewer has been away
            for its C{linger}, where the command's configuration does not say.
        @raise Usage: if a parameter is given twice.
        """
        wanted: dict[str, str] = {}
        for name, value in _pairs(params):
            if name in wanted:
                raise Usage(f"{name}: is given more than once")
            wanted[name] = value
        document: dict[str, Any] = {"params": wanted}
        if command is not None:
            document["command"] = command
        if stdin:
            document["stdin"] = True
        if tty is not None:
            document["tty"] = tty._asdict()
        if on_disconnect is not None:
            document["on_disconnect"] = on_disconnect
        headers = {"idempotency-key": key or new_key()}

        async def begin() -> Any:
            return await self._server.document("POST", "/runs", document, headers)

        return cast("RunInfo", await self._tries().persist(begin))

    async def cancel(self, run: str) -> RunInfo:
        """Have a run ended: TERM, and KILL after the command's grace time."""
        return cast("RunInfo", await self._server.call("POST", f"{_path(run)}/cancel"))

    async def signal(self, run: str, signal: str) -> RunInfo:
        """Send a signal, such as C{INT}, to all processes of a run."""
        document = {"signal": signal}
        found = await self._server.call("POST", f"{_path(run)}/signal", document)
        return cast("RunInfo", found)

    async def stdin(
        self, run: str, data: bytes, *, offset: int, eof: bool = False
    ) -> int:
        """
        Send one piece of a run's input, of 1 MiB at most, and wait until the command
        has taken it; L{feed} does that for any number of them.

        @param offset: where in the input it begins: what was taken before is left
            out, so that a piece may be sent again.
        @param eof: whether it is the last.
        @return: how much of the input is taken by then, in bytes.
        @raise Refused: with C{status} 409, if it is not taken: C{stdin} of L{show}
            tells where to go on, and whether at all.
        """
        query = urlencode({"offset": offset, "eof": str(eof).lower()})
        path = f"{_path(run)}/stdin?{query}"
        headers = {"content-type": "application/octet-stream"}
        answer = await self._server.ask("POST", path, headers, data)
        answer.close()
        taken = answer.headers.get("shellstream-stdin-offset", "")
        if not (taken.isascii() and taken.isdecimal()):
            why = "it does not say how much is taken; is this a shellstream?"
            raise ContractViolation(self.server + path, why)
        return int(taken)

    async def feed(
        self, run: str, source: AsyncIterable[bytes], *, offset: int = 0
    ) -> int:
        """
        Be a run's input: all that C{source} gives, and that it has ended. The next
        is asked for when the command has taken the last.

        Where a connection breaks it goes on at the next byte. When the run takes no
        more, this ends, and that is no error: C{head -1} does so.

        @param offset: how much of the input was sent before.
        @return: how much of the input the command is known to have taken.
        """
        feeding = StdinFeeder(
            run,
            offset,
            send=self.stdin,
            show=self.show,
            seconds=self._wire.seconds,
            tries=self._tries(),
        )
        await feeding.feed(source)
        return feeding.offset

    async def resize(self, run: str, rows: int, columns: int) -> None:
        """Give a run's terminal another size, each 1 to 4096."""
        document = {"rows": rows, "columns": columns}
        body = json.dumps(document).encode()
        headers = {"content-type": "application/json"}

        async def resize() -> None:
            path = f"{_path(run)}/resize"
            (await self._server.ask("POST", path, headers, body)).close()

        await self._tries().persist(resize)

    # Looking

    async def show(self, run: str) -> RunInfo:
        """A run as it stands."""
        return cast("RunInfo", await self._server.call("GET", _path(run)))

    async def list(
        self,
        *,
        state: str | None = None,
        command: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[RunInfo]:
        """The runs that are kept, newest first; pages are turned as need be."""
        size = MAX_PAGE if limit is None else min(limit, MAX_PAGE)
        given = {"limit": str(size), "state": state, "command": command, "after": None}
        left = limit
        while left is None or left > 0:
            query = urlencode({k: v for k, v in given.items() if v is not None})
            page = await self._server.call("GET", f"/runs?{query}")
            for run in page["runs"][:left]:
                yield run
            left = None if left is None else left - len(page["runs"])
            if not page["next"]:
                return
            given["after"] = page["runs"][-1]["id"]

    async def commands(self) -> Sequence[CommandInfo]:
        """What may be run here."""
        document = await self._server.call("GET", "/commands")
        return cast("Sequence[CommandInfo]", document["commands"])

    async def command(self, name: str | None = None) -> CommandInfo | None:
        """A command; without a name the default one, L{None} if there is none."""
        path = "/commands" if name is None else f"/commands/{quote(name, safe='')}"

        async def ask() -> Any:
            return await self._server.document("GET", path)

        document = await self._tries().persist(ask)
        if name is not None:
            return cast("CommandInfo", document)
        for each in document["commands"]:
            if each["name"] == document["default"]:
                return cast("CommandInfo", each)
        return None

    # How

    def _following(
        self,
        view: View,
        *,
        run: str | None = None,
        begin: Callable[[], Awaitable[Response]] | None = None,
    ) -> Following:
        return Following(
            view,
            run=run,
            begin=begin,
            resume=self._output,
            size=self._size,
            tries=self._tries(),
            heard=self._server.heard,
        )

    def _tries(self) -> RetryPolicy:
        return RetryPolicy(self._wire, self._retry_for, self._on_retry)

    async def _output(self, run: str, view: View) -> Response:
        """Ask for a part of a run's output."""
        given = {
            "tail": view.tail,
            "offset": view.offset if view.tail is None else None,
            "stream": view.only,
            "follow": None if view.follow else "false",
            "lossless": "true" if view.lossless else None,
        }
        query = urlencode({k: v for k, v in given.items() if v is not None})
        path = f"{_path(run)}/output?{query}"
        return await self._server.ask("GET", path, {"accept": view.accept})

    async def _size(self, run: str) -> int:
        return (await self.show(run))["size"]


def new_key() -> str:
    """An C{Idempotency-Key} that nobody else has."""
    return os.urandom(16).hex()


def _path(run: str) -> str:
    return f"/runs/{quote(run, safe='')}"


def _pairs(params: Params) -> Iterable[tuple[str, str]]:
    return params.items() if isinstance(params, Mapping) else params
