"""The page of one run."""

from twisted.web.template import Tag, tags

from shellstream.model.run_record import RunRecord

from .frame import Frame, badge, look_of, moment, render


def run_page(frame: Frame, record: RunRecord) -> bytes:
    """The page of one run; without scripts it shows the run as it stands."""
    output = f"{frame.root}runs/{record.id}/output"
    look = look_of(record)
    facts: list[tuple[str, Tag | str]] = [("State", badge(record))]
    facts += [(name, value) for name, value in record.params.items()]
    facts += [("Owner", record.principal), ("Created", moment(record.created))]
    if record.started is not None:
        facts.append(("Started", moment(record.started)))
    if record.ended is not None:
        facts.append(("Ended", moment(record.ended)))
    if record.failure:
        facts.append(("Why", record.failure))
    listed = [tags.div(tags.dt(name), tags.dd(value)) for name, value in facts]
    return render(
        frame,
        f"{record.command}: {look.words} · shellstream",
        tags.h1(record.command),
        tags.dl(*listed, class_="facts"),
        tags.noscript(
            tags.p(tags.a("The output alone", href=output)),
            tags.iframe(src=output, title="Output", class_="output"),
        ),
        script="run.js",
        icon=f"icon-{look.kind}.svg",
        class_="run",
        **{"data-run": record.id, "data-state": record.state.value},
    )
