"""The client of a server, for programs."""

import json
import os
import re
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from types import MappingProxyType
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from shellstream.client.transport.documents import ServerApi, check_status, run_path
from shellstream.client.transport.wire import Response, Wire

from .errors import ContractViolation, ServerError, Usage
from .events import CommandInfo, CommandList, RunInfo, RunPage
from .feed import StdinFeeder, Tty
from .follow import Following, View
from .retry import RetryPolicy
from .urls import http_url, server_of

_T = TypeVar("_T")

#: The most runs on a page of the server's list.
MAX_PAGE = 1000

#: Names and values of parameters. All values are text, as on a command line.
Params = Mapping[str, str] | Iterable[tuple[str, str]]


class Client:
    """
    The runs of one server.

    On asyncio the URL is enough; a Twisted program passes a L{TreqWire}. A client keeps
    no connection open, so it has no C{close}; what L{run} and L{follow} return has one.

    Every call may raise a L{ClientError}, whose text is one line for a user.
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
        @param token: the server's token, if it asks for one.
        @param retry_for: seconds for which to try to resume a cut stream.
        @param on_retry: called with each error, and the seconds until the next try.
        @raise Usage: if C{server} is not a URL.
        """
        if wire is None:
            from shellstream.client.transport.asyncio_wire import AsyncioWire

            wire = AsyncioWire()
        server = http_url(server)
        self.server = (server_of(server) or server).rstrip("/")
        self._wire = wire
        self._retry_for = retry_for
        self._on_retry = on_retry
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._api = ServerApi(self.server, wire, self._headers)

    # Following runs

    def run(
        self,
        command: str | None = None,
        params: Params = (),
        *,
        timed: bool = False,
    ) -> Following:
        """
        Start a run, and follow it.

        The run belongs to this client: when the client has been away for the command's
        C{linger} seconds, the server ends it.

        @param command: its name; by default the server's default command.
        """
        headers = {
            # A request whose response was lost is repeated; the key keeps that from
            # starting a second run.
            "idempotency-key": new_key(),
            "content-type": "application/x-www-form-urlencoded",
            "accept": View(timed=timed).accept,
        }
        path = "/stream" if command is None else f"/stream/{quote(command, safe='')}"
        body = urlencode(list(_pairs(params))).encode()

        async def begin() -> Response:
            return await self._api.request("POST", path, headers, body)

        return self._following(View(lossless=True, timed=timed), begin=begin)

    def follow(self, run: str, view: View = View()) -> Following:  # noqa: B008
        """
        Follow an existing run, by default from its first byte. The run does not wait
        for this viewer: one that is too slow gets a L{Gap}.
        """
        return self._following(view, run=run)

    def attach(self, run: str, offset: int = 0) -> Following:
        """Follow a run losslessly: it waits for this viewer, as for its starter."""
        return self._following(View(offset, lossless=True), run=run)

    async def get(
        self, url: str, params: Params = (), *, timed: bool = False
    ) -> "Following | Response":
        """
        GET any URL.

        @return: the output of a run, if the response is one that this server began for
            us; else the response, to be read as it comes.
        """
        parts = urlsplit(http_url(url))
        query = "&".join(filter(None, [parts.query, urlencode(list(_pairs(params)))]))
        url = urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))
        accept = View(timed=timed).accept
        headers = {**self._headers, "accept": "*/*"}
        if server_of(url) == self.server:
            # The URL may be a shellstream's or any other server's.
            headers["accept"] = f"{accept}, */*;q=0.5"
        response = await self._wire.request("GET", url, headers)
        await check_status(url, response)
        media_type = response.headers.get("content-type", "").partition(";")[0]
        if media_type != accept or "shellstream-run" not in response.headers:
            return response

        async def begin() -> Response:
            return response

        return self._following(View(lossless=True, timed=timed), begin=begin)

    # Starting and changing runs

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
        Start a run without following it.

        @param command: its name; by default the server's default command.
        @param key: an C{Idempotency-Key}: requests with the same key start one run. By
            default each call has a new one.
        @param stdin: let the run have input; see L{feed}. The server refuses it, like
            C{tty}, for a command that is not configured for it.
        @param tty: let the run have this terminal, which gives it input too.
        @param on_disconnect: what happens to the run when its last viewer has been away
            for its C{linger}, unless the command's configuration decides it.
        @raise Usage: if a parameter is given twice.
        """
        values: dict[str, str] = {}
        for name, value in _pairs(params):
            if name in values:
                raise Usage(f"{name}: given more than once")
            values[name] = value
        document: dict[str, Any] = {"params": values}
        if command is not None:
            document["command"] = command
        if stdin:
            document["stdin"] = True
        if tty is not None:
            document["tty"] = tty._asdict()
        if on_disconnect is not None:
            document["on_disconnect"] = on_disconnect
        headers = {"idempotency-key": key or new_key()}
        return await self._persist("POST", "/runs", RunInfo, document, headers)

    async def cancel(self, run: str) -> RunInfo:
        """End a run: TERM, and KILL after the command's grace time."""
        return await self._api.call("POST", f"{run_path(run)}/cancel", RunInfo)

    async def signal(self, run: str, signal: str) -> RunInfo:
        """Send a signal, such as C{INT}, to all processes of a run."""
        document = {"signal": signal}
        path = f"{run_path(run)}/signal"
        return await self._api.call("POST", path, RunInfo, document)

    async def stdin(
        self, run: str, data: bytes, *, offset: int, eof: bool = False
    ) -> int:
        """
        Send a chunk of a run's input, at most 1 MiB, and wait until the command has
        taken it. L{feed} sends any amount.

        @param offset: where in the input the chunk begins. The server skips what it has
            already, so a chunk may be sent again.
        @param eof: whether it is the last one.
        @return: bytes of all input that the command has taken.
        @raise Refused: with C{status} 409, if the run does not take it; C{stdin} of
            L{show} tells which offset it expects, and whether it takes more.
        """
        query = urlencode({"offset": offset, "eof": str(eof).lower()})
        path = f"{run_path(run)}/stdin?{query}"
        headers = {"content-type": "application/octet-stream"}
        response = await self._api.request("POST", path, headers, data)
        response.close()
        taken = response.headers.get("shellstream-stdin-offset", "")
        if not re.fullmatch("[0-9]{1,18}", taken):
            why = "no Shellstream-Stdin-Offset; is this a shellstream server?"
            raise ContractViolation(self.server + path, why)
        return int(taken)

    async def feed(
        self, run: str, source: AsyncIterable[bytes], *, offset: int = 0
    ) -> int:
        """
        Send a run all of C{source} as its input, and then the end of input. The next
        chunk is read when the command has taken the last.

        A broken connection is replaced by another one that starts at the next byte.
        When the run takes no more input, this returns; that is no error, as with
        C{head -1}.

        @param offset: bytes of input that were sent before.
        @return: bytes of input that the command is known to have taken.
        """
        feeder = StdinFeeder(
            run,
            offset,
            send=self.stdin,
            show=self.show,
            seconds=self._wire.seconds,
            retry=self._retry_policy(),
        )
        await feeder.feed(source)
        return feeder.offset

    async def resize(self, run: str, rows: int, columns: int) -> None:
        """Change the size of a run's terminal; each is 1 to 4096."""
        document = {"rows": rows, "columns": columns}
        body = json.dumps(document).encode()
        headers = {"content-type": "application/json"}

        async def resize() -> None:
            path = f"{run_path(run)}/resize"
            (await self._api.request("POST", path, headers, body)).close()

        await self._retry_policy().persist(resize)

    # Asking

    async def show(self, run: str) -> RunInfo:
        """The current state of a run."""
        return await self._api.call("GET", run_path(run), RunInfo)

    async def list(
        self,
        *,
        state: str | None = None,
        command: str | None = None,
        limit: int | None = None,
        outcome: Literal["success", "failure"] | None = None,
        code: int | None = None,
    ) -> AsyncIterator[RunInfo]:
        """
        The runs that the server keeps, newest first; it asks for pages as needed.

        @param outcome: only ended runs: those that exited with 0, or all others.
        @param code: only runs that exited with this code.
        """
        size = MAX_PAGE if limit is None else min(limit, MAX_PAGE)
        given = {
            "limit": str(size),
            "state": state,
            "outcome": outcome,
            "code": None if code is None else str(code),
            "command": command,
            "after": None,
        }
        left = limit
        while left is None or left > 0:
            query = urlencode({k: v for k, v in given.items() if v is not None})
            page = await self._api.call("GET", f"/runs?{query}", RunPage)
            for run in page["runs"][:left]:
                # Or a server could go on for ever.
                if given["after"] is not None and run["id"] >= given["after"]:
                    why = "its runs are not in their order, newest first"
                    raise ContractViolation(f"{self.server}/runs?{query}", why)
                # An id, not a page number: runs may begin between two requests.
                given["after"] = run["id"]
                yield run
            left = None if left is None else left - len(page["runs"])
            if not (page["next"] and page["runs"]):
                return

    async def commands(self) -> Sequence[CommandInfo]:
        """The commands that this client may run."""
        return (await self._api.call("GET", "/commands", CommandList))["commands"]

    async def command(self, name: str | None = None) -> CommandInfo | None:
        """A command; without a name the default one, L{None} if there is none."""
        if name is not None:
            path = f"/commands/{quote(name, safe='')}"
            return await self._persist("GET", path, CommandInfo)
        document = await self._persist("GET", "/commands", CommandList)
        for each in document["commands"]:
            if each["name"] == document["default"]:
                return each
        return None

    # Inside

    def _following(
        self,
        view: View,
        *,
        run: str | None = None,
        begin: Callable[[], Awaitable[Response]] | None = None,
    ) -> Following:
        retry = self._retry_policy()
        return Following(view, api=self._api, retry=retry, run=run, begin=begin)

    async def _persist(
        self,
        method: str,
        path: str,
        kind: type[_T],
        document: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> _T:
        """Ask for a document, again and again while the server cannot be reached."""
        return await self._retry_policy().persist(
            lambda: self._api.request_json(method, path, kind, document, headers)
        )

    def _retry_policy(self) -> RetryPolicy:
        return RetryPolicy(self._wire, self._retry_for, self._on_retry)


def new_key() -> str:
    """A random C{Idempotency-Key}, unique in practice."""
    return os.urandom(16).hex()


def _pairs(params: Params) -> Iterable[tuple[str, str]]:
    return params.items() if isinstance(params, Mapping) else params
