"""The page of one run."""

from twisted.web.template import Tag, tags

from shellstream.model.run_record import RunRecord

from .frame import Frame, badge, look_of, moment, render

#: The kinds of state, each with an icon of its own.
KINDS = ("queued", "running", "succeeded", "failed", "stopped")


def run_page(frame: Frame, record: RunRecord) -> bytes:
    """
    The page of one run. Its script shows the output, and lets the reader steer the run;
    without it the page shows the run as it stands, and the output as it comes.
    """
    output = f"{frame.root}runs/{record.id}/output"
    look = look_of(record)
    facts: list[tuple[str, Tag | str]] = list(record.params.items())
    facts += [("Owner", record.principal), ("Created", moment(record.created))]
    if record.started is not None:
        facts.append(("Started", moment(record.started)))
    if record.ended is not None:
        facts.append(("Ended", moment(record.ended)))
    if record.failure:
        facts.append(("Why", record.failure))
    listed = [tags.div(tags.dt(name), tags.dd(value)) for name, value in facts]
    icons = {f"data-icon-{kind}": frame.url(f"icon-{kind}.svg") for kind in KINDS}
    return render(
        frame,
        f"{record.command}: {look.words} · shellstream",
        tags.div(tags.h1(record.command), badge(record), class_="top"),
        tags.dl(*listed, class_="facts"),
        tags.noscript(
            *([] if record.state.ended else [_cancel(frame, record)]),
            tags.p(tags.a("The output alone", href=output)),
            tags.iframe(src=output, title="Output", class_="output"),
        ),
        script="run.js",
        styles=("console.css", "run.css"),
        icon=f"icon-{look.kind}.svg",
        class_="run",
        **{"data-run": record.id, **icons},
    )


def _cancel(frame: Frame, record: RunRecord) -> Tag:
    button = tags.button("Cancel", type="submit", class_="quiet")
    return frame.form(f"{frame.root}runs/{record.id}/cancel", button)
