"""Runs in pages, newest first."""

import json
import re
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import urlencode

from attrs import evolve, frozen

from shellstream.model.events import Outcome, State
from shellstream.model.run_record import RunQuery, RunRecord, to_document
from shellstream.runs.authorized_runs import AuthorizedRuns
from shellstream.web.server.request import Request

from .base import JSON, respond_document, to_root
from .query import Query

T = TypeVar("T", str, bytes)

#: How many runs a page holds by default, and at most.
PAGE, MAX_PAGE = 50, 1000

#: How many runs are looked up and written in one turn of the reactor. The parameters of
#: a run may be 64 KiB.
BATCH = 25

#: The size of a page after which it has no more runs, whatever the client asks for, in
#: bytes.
MAX_PAGE_SIZE = 1 << 20

#: How many runs are looked at for one page, where it has only those with a text.
MAX_SEARCHED = 1000

#: The highest exit code (wait(2)).
MAX_CODE = 255

#: The fields that choose runs.
FIELDS = ("state", "outcome", "code", "command", "text", "limit", "after")

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


@frozen
class Choice:
    """
    Which runs a page has.

    @ivar text: only runs whose command, parameters or owner have this text, in any
        case. A parameter is its value, or C{NAME=VALUE}.
    """

    query: RunQuery
    text: str = ""

    @classmethod
    def of(cls, query: Query) -> "Choice":
        """What the fields of a query choose; the query remembers what is wrong."""
        after = query.text("after")
        if after is not None and not _ID.fullmatch(after):
            query.refuse("after", "must be the id of a run")
        wanted = RunQuery(
            query.number("limit", 1, MAX_PAGE) or PAGE,
            after,
            query.one_of("state", State),
            query.text("command"),
            outcome=query.one_of("outcome", Outcome),
            code=query.number("code", 0, MAX_CODE),
        )
        return cls(wanted, query.text("text") or "")

    @classmethod
    def of_page(cls, query: Query) -> "Choice":
        """What the fields of our page choose. What is wrong with them is ignored."""
        after, show = query.text("after") or "", query.text("show")
        wanted = RunQuery(
            PAGE,
            after if _ID.fullmatch(after) else None,
            next((each for each in State if each.value == show), None),
            query.text("command") or None,
            outcome=next((each for each in Outcome if each.value == show), None),
        )
        return cls(wanted, query.text("text") or "")

    def fields(self, after: str) -> str:
        """The query for the next page."""
        query = self.query
        fields: dict[str, object] = {
            "state": query.state and query.state.value,
            "outcome": query.outcome and query.outcome.value,
            "code": query.code,
            "command": query.command,
            "text": self.text or None,
            "limit": query.limit,
            "after": after,
        }
        return urlencode({k: v for k, v in fields.items() if v is not None})

    def _matches(self, record: RunRecord) -> bool:
        texts = [record.command, record.principal, *record.params.values()]
        wanted = self.text.casefold()
        if "=" in wanted:
            texts += [f"{name}={value}" for name, value in record.params.items()]
        return any(wanted in each.casefold() for each in texts)

    async def read(
        self, runs: AuthorizedRuns, write: Callable[[RunRecord], T]
    ) -> tuple[list[T], str | None]:
        """
        The runs of a page, and the id of the last one that was looked at if more
        follow.

        A page may have fewer runs than were asked for: it ends at L{MAX_PAGE_SIZE}, or
        when L{MAX_SEARCHED} runs were looked at.

        @param write: makes of a run what is in the page.
        """
        page: list[T] = []
        written, searched, last = 0, 0, self.query.after
        while True:
            some = BATCH if self.text else min(BATCH, self.query.limit - len(page))
            # One more tells whether another follows.
            batch = await runs.page(evolve(self.query, limit=some + 1, after=last))
            for record in batch[:some]:
                full = len(page) == self.query.limit or searched == MAX_SEARCHED
                if full or written > MAX_PAGE_SIZE:
                    return page, last
                last = record.id
                if self.text:
                    searched += 1
                    if not self._matches(record):
                        continue
                page.append(write(record))
                written += len(page[-1])
            if len(batch) <= some:
                return page, None
            if len(page) == self.query.limit:
                return page, last


async def respond_list(request: Request) -> None:
    """Respond with a page of runs."""
    query = Query.of(request, *FIELDS)
    choice = Choice.of(query)
    query.validate()
    root, following = to_root(request), None

    def write(record: RunRecord) -> str:
        return json.dumps(to_document(record, root), indent=2)

    page, last = await choice.read(request.context.runs, write)
    if last is not None:
        following = f"{root}runs?{choice.fields(last)}"
        request.set_headers({"Link": f'<{following}>; rel="next"'})
    respond_document(request, JSON, _document(page, following))


def _document(page: Sequence[str], following: str | None) -> bytes:
    """A page that reads well in a terminal."""
    # Within a string of JSON a line end is escaped: these are between members.
    runs = ",\n".join(page).replace("\n", "\n    ")
    listed = f"[\n    {runs}\n  ]" if page else "[]"
    document = f'{{\n  "runs": {listed},\n  "next": {json.dumps(following)}\n}}\n'
    return document.encode()
