"""The page at C{/}: every command with its form, and the runs beside them."""

from collections.abc import Mapping, Sequence

from attrs import frozen
from twisted.web.template import Comment, Tag, tags

from shellstream.model.run_record import RunRecord

from .frame import Frame, Look, duration, icon, look_of, moment, render, to_html

#: The most characters of a run's parameters that a list shows.
MAX_PARAMS = 200

#: The owner of runs that is not shown: where nobody had to log in.
ANONYMOUS = "anonymous"

#: The choices of the filter by state, and what they say.
SHOWN = {
    "": "All states",
    "running": "Running",
    "queued": "Queued",
    "success": "Succeeded",
    "failure": "Did not succeed",
}


@frozen
class RunList:
    """
    The runs beside the commands.

    @ivar rows: each as L{run_row} makes it.
    @ivar fields: what they were chosen by: C{text}, C{command} and C{show}.
    @ivar older: the query of the page for the runs before these, if there are any.
    @ivar position: the id of the last event before they were read.
    """

    rows: Sequence[bytes]
    fields: Mapping[str, str]
    older: str | None
    position: str


@frozen
class CommandList:
    """
    The commands that the caller may run.

    @ivar names: of those that are listed.
    @ivar entries: what the list has of these: see L{forms.entry} and L{forms.link}.
    @ivar found: the text by which they were found; L{None} for a short list, which
        nobody has to search.
    @ivar more: how many others there are.
    """

    names: Sequence[str]
    entries: Sequence[bytes]
    found: str | None = None
    more: int = 0


def start_page(frame: Frame, commands: CommandList, runs: RunList | None) -> bytes:
    """
    The page at C{/}.

    @param runs: L{None} if the caller may see no runs.
    """
    listed: list[Tag] = [
        tags.h1("Commands and runs", class_="hidden"),
        tags.section(
            tags.h2("Commands", id="commands-title"),
            *_search(frame, commands),
            Comment("commands"),
            *_remarks(commands),
            id="commands",
            **{"aria-labelledby": "commands-title"},
        ),
    ]
    if runs is not None:
        listed.append(_runs(frame, commands.names, runs))
    page = render(frame, "shellstream", *listed, script="start.js", class_="start")
    # Texts are escaped, so that none looks like one of these.
    page = page.replace(b"<!--commands-->", b"".join(commands.entries), 1)
    rows = b"".join(runs.rows) if runs else b""
    return page.replace(b"<!--rows-->", rows, 1)


def _search(frame: Frame, commands: CommandList) -> Sequence[Tag]:
    if commands.found is None:
        return []
    field = tags.input(
        type="search",
        name="find",
        value=commands.found,
        placeholder="Search",
        **{"aria-label": "Search in commands"},
    )
    action = frame.root or "./"
    return [tags.form(field, method="get", action=action, id="find", role="search")]


def _remarks(commands: CommandList) -> Sequence[Tag]:
    if commands.more:
        text = f"{commands.more} more commands; search for them."
    elif commands.entries:
        return []
    elif commands.found:
        text = "No command has this text."
    else:
        text = "There is no command that you may run."
    return [tags.p(text, class_="soft")]


def _runs(frame: Frame, names: Sequence[str], runs: RunList) -> Tag:
    text = tags.input(
        type="search",
        name="text",
        value=runs.fields.get("text", ""),
        placeholder="Search",
        **{"aria-label": "Search in commands, parameters and owners"},
    )
    some = {"": "All commands", **{name: name for name in names}}
    filters = tags.form(
        text,
        _select("command", "Command", some, runs.fields.get("command", "")),
        _select("show", "State", SHOWN, runs.fields.get("show", "")),
        tags.noscript(tags.button("Filter", type="submit", class_="quiet")),
        method="get",
        action=frame.root or "./",
        id="filters",
        role="search",
    )
    older = tags.a("Older runs", href=runs.older or "", id="older")
    older(class_="button quiet")
    return tags.section(
        tags.h2("Runs", id="runs-title"),
        tags.p(id="connection", role="status", class_="soft"),
        filters,
        tags.ol(Comment("rows"), id="rows"),
        tags.p("No runs.", id="nothing", class_="soft", **_hidden(bool(runs.rows))),
        older if runs.older else older(hidden=""),
        Tag("template")(_row("", "", Look("", ""), row_id=""), id="row"),
        id="runs",
        **{"aria-labelledby": "runs-title", "data-events": runs.position},
    )


def _hidden(hidden: bool) -> Mapping[str, str]:
    return {"hidden": ""} if hidden else {}


def _select(name: str, label: str, options: Mapping[str, str], chosen: str) -> Tag:
    # The runs may be of a command that is there no more.
    options = {chosen: chosen, **options} if chosen not in options else options
    listed = [tags.option(text, value=value) for value, text in options.items()]
    for value, option in zip(options, listed, strict=True):
        if value == chosen:
            option(selected="")
    return tags.select(*listed, name=name, **{"aria-label": label})


def run_row(root: str, record: RunRecord) -> bytes:
    """
    One run in the list; C{runs.js} fills a row in the same way.

    @param root: the relative reference from the page to the root.
    """
    params = "  ".join(f"{name}={value}" for name, value in record.params.items())
    took = ""
    if record.started is not None and record.ended is not None:
        took = duration((record.ended - record.started) / 1_000_000)
    row = _row(
        f"{root}runs/{record.id}",
        record.command,
        look_of(record),
        row_id=f"run-{record.id}",
        params=params[:MAX_PARAMS],
        owner="" if record.principal == ANONYMOUS else record.principal,
        created=moment(record.created),
        took=took,
    )
    started = "" if record.started is None else str(record.started // 1000)
    return to_html(row(**{"data-started": started}))


def _row(
    target: str,
    command: str,
    look: Look,
    *,
    row_id: str,
    params: str = "",
    owner: str = "",
    created: Tag | None = None,
    took: str = "",
) -> Tag:
    badge = tags.span(
        icon(), tags.span(look.words, class_="words"), class_=f"badge {look.kind}"
    )
    return tags.li(
        tags.a(
            badge,
            tags.span(
                tags.span(command, class_="name"),
                tags.span(params, class_="params"),
                class_="what",
            ),
            tags.span(owner, class_="owner"),
            tags.span(created or tags.time(), class_="age"),
            tags.span(took, class_="took"),
            href=target,
        ),
        id=row_id,
    )
