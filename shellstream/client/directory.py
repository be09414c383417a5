"""Runs and commands as documents: asked for, and changed, by one request each."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlencode

from shellstream.client.transport.documents import ServerApi, run_path
from shellstream.client.transport.wire import Wire

from .errors import ContractViolation, ServerError
from .events import CommandInfo, CommandList, IndexInfo, RunEvent, RunInfo, RunPage
from .retry import RetryPolicy

_T = TypeVar("_T")

#: The most runs on a page of the server's list.
MAX_PAGE = 1000


class RunDirectory:
    """
    The runs and commands of one server: lists, looks up, controls and deletes them.

    @ivar server: its URL.
    """

    def __init__(
        self,
        api: ServerApi,
        wire: Wire,
        retry_for: float,
        on_retry: Callable[[ServerError, float], object],
    ) -> None:
        self.server = api.url
        self._api = api
        self._wire = wire
        self._retry_for = retry_for
        self._on_retry = on_retry

    async def cancel(self, run: str) -> RunInfo:
        """End a run: TERM, and KILL after the command's grace time."""
        return await self._api.call("POST", f"{run_path(run)}/cancel", RunInfo)

    async def signal(self, run: str, signal: str) -> RunInfo:
        """Send a signal, such as C{INT}, to all processes of a run."""
        document = {"signal": signal}
        path = f"{run_path(run)}/signal"
        return await self._api.call("POST", path, RunInfo, document)

    async def delete(self, run: str) -> None:
        """Forget an ended run and its output."""
        (await self._api.request("DELETE", run_path(run), {})).close()

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
        after: str | None = None,
    ) -> AsyncIterator[RunInfo]:
        """
        The runs that the server keeps, newest first; it asks for pages as needed.

        @param outcome: only ended runs: those that exited with 0, or all others.
        @param code: only runs that exited with this code.
        @param after: only runs that are older than the one of this id.
        """
        size = MAX_PAGE if limit is None else min(limit, MAX_PAGE)
        given = {
            "limit": str(size),
            "state": state,
            "outcome": outcome,
            "code": None if code is None else str(code),
            "command": command,
            "after": after,
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

    async def principal(self) -> str:
        """The name by which the server knows this client."""
        return (await self._api.call("GET", "/", IndexInfo))["principal"]

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

    def events(self) -> AsyncIterator[RunEvent]:
        """
        What happens to the runs of this server from now on, over as many connections as
        it takes. It has no end.
        """
        from .run_events import run_events  # late: few programs watch all runs

        return run_events(self._api, self._retry_policy())

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
