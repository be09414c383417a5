"""The client of a server, for programs."""

import json
import os
import re
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from shellstream.client.transport.documents import ServerApi, check_status, run_path
from shellstream.client.transport.wire import Response, Wire

from .directory import RunDirectory
from .errors import CommandFailed, ContractViolation, ServerError, Usage
from .events import Result, RunInfo
from .feed import StdinFeeder, Tty
from .follow import MOST_COLLECTED, Following, View
from .urls import http_url, server_of

#: Names and values of parameters. All values are text, as on a command line.
Params = Mapping[str, str] | Iterable[tuple[str, str]]


class Client(RunDirectory):
    """
    Starts runs of one server, and follows them.

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
        headers: Mapping[str, str] = {},
        retry_for: float = 60.0,
        on_retry: Callable[[ServerError, float], object] = lambda error, delay: None,
    ) -> None:
        """
        @param server: its URL: C{http://laptop:8000}.
        @param token: the server's token, if it asks for one.
        @param headers: headers to send with each request, such as C{traceparent}, by
            their names in lower case.
        @param retry_for: seconds for which to try to resume a cut stream.
        @param on_retry: called with each error, and the seconds until the next try.
        @raise Usage: if C{server} is not a URL.
        """
        if wire is None:
            from shellstream.client.transport.asyncio_wire import AsyncioWire

            wire = AsyncioWire()
        server = http_url(server)
        self._headers = dict(headers)
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        url = (server_of(server) or server).rstrip("/")
        api = ServerApi(url, wire, self._headers)
        super().__init__(api, wire, retry_for, on_retry)

    # Following runs

    async def output(
        self,
        command: str | None = None,
        params: Params = (),
        *,
        most: int = MOST_COLLECTED,
        check: bool = False,
    ) -> Result:
        """
        Run a command to its end; return its output and its end in one.

        @param command: its name; by default the server's default command.
        @param most: the most bytes of output to hold. C{truncated} of the result tells
            whether there was more.
        @param check: raise an error unless the command exits with 0.
        @raise CommandFailed: if it does not, and C{check} is set.
        """
        result = await self.run(command, params).collect(most, whole=False)
        if check and result.exit_code != 0:
            raise CommandFailed(result)
        return result

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
        self,
        run: str,
        source: AsyncIterable[bytes],
        *,
        offset: int = 0,
        eof: bool = True,
    ) -> int:
        """
        Send a run all of C{source} as its input, and then the end of input. The next
        chunk is read when the command has taken the last.

        A broken connection is replaced by another one that starts at the next byte.
        When the run takes no more input, this returns; that is no error, as with
        C{head -1}.

        @param offset: bytes of input that were sent before.
        @param eof: L{False} if more input is sent later.
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
        await feeder.feed(source, eof=eof)
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


def new_key() -> str:
    """A random C{Idempotency-Key}, unique in practice."""
    return os.urandom(16).hex()


def _pairs(params: Params) -> Iterable[tuple[str, str]]:
    return params.items() if isinstance(params, Mapping) else params
