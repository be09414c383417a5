"""What all pages have around them: head, header, and the parts that they share."""

from collections.abc import Sequence

from attrs import frozen
from twisted.web.template import Flattenable, Tag, flattenString, tags

from shellstream.model.events import Reason, State, rfc3339, utc
from shellstream.model.run_record import RunRecord, signal_name

from .assets import asset, with_imports

#: The field in which a form of our page sends the CSRF token. No parameter of a command
#: can have this name.
CSRF_FIELD = "csrf-token"

#: Only files of this daemon are used. No script can turn text into HTML, whatever the
#: text is: a command's output is not to be trusted (CSP level 3; Trusted Types).
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


@frozen
class Frame:
    """
    What all parts of a page need to know: its place, and its reader.

    @ivar root: the relative reference from the page to the root.
    @ivar name: the name of the caller; empty if nobody had to log in.
    @ivar csrf_token: what the forms of a login session send along.
    """

    root: str
    name: str = ""
    csrf_token: str | None = None

    def url(self, file: str) -> str:
        """The address of an asset."""
        return f"{self.root}assets/{asset(file).name}"

    def form(self, action: str, *content: Tag | str, **attributes: str) -> Tag:
        """A form that changes something."""
        hidden: list[Tag] = []
        if self.csrf_token is not None:
            hidden = [tags.input(type="hidden", name=CSRF_FIELD, value=self.csrf_token)]
        return tags.form(*hidden, *content, method="post", action=action, **attributes)


def render(
    frame: Frame,
    title: str,
    *content: Flattenable,
    script: str = "",
    styles: Sequence[str] = ("console.css",),
    icon: str = "icon.svg",
    **attributes: str,
) -> bytes:
    """
    A whole page.

    @param script: the file of its module.
    @param styles: the files of its style sheets.
    @param attributes: of the element C{main}.
    """
    page = tags.html(
        tags.head(
            tags.meta(charset="utf-8"),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            tags.meta(name="color-scheme", content="light dark"),
            tags.meta(name="csrf-token", content=frame.csrf_token or ""),
            tags.title(title),
            tags.link(rel="icon", type="image/svg+xml", href=frame.url(icon)),
            *(tags.link(rel="stylesheet", href=frame.url(each)) for each in styles),
            *_scripts(frame, script),
        ),
        tags.body(
            tags.a("Skip to the content", href="#main", class_="skip"),
            _header(frame),
            Tag("main")(*content, id="main", tabindex="-1", **attributes),
        ),
        lang="en",
        **{"data-root": frame.root or "./"},
    )
    return b"<!DOCTYPE html>\n" + to_html(page)


def to_html(element: Flattenable) -> bytes:
    """An element as HTML."""
    found: list[bytes] = []
    flattenString(None, element).addCallback(found.append)
    return found[0]


def _scripts(frame: Frame, script: str) -> Sequence[Tag]:
    if not script:
        return []
    first, *others = with_imports(script)
    return [
        *(tags.link(rel="modulepreload", href=frame.url(each)) for each in others),
        tags.script(type="module", src=frame.url(first)),
    ]


def _header(frame: Frame) -> Tag:
    shown: list[Tag] = []
    if frame.name:
        shown = [tags.span(frame.name, class_="who")]
    if frame.csrf_token is not None:
        button = tags.button("Log out", type="submit", class_="quiet")
        shown.append(frame.form(f"{frame.root}logout", button, id="logout"))
    top = frame.root or "./"
    return tags.header(
        tags.a("shellstream", href=top, class_="brand"),
        tags.nav(
            tags.a("Commands", href=f"{top}#commands"),
            tags.a("Runs", href=f"{top}#runs"),
        ),
        *shown,
    )


@frozen
class Look:
    """
    How the state of a run is shown.

    @ivar kind: C{queued}, C{running}, C{succeeded}, C{failed} or C{stopped}; a class of
        the style sheet, the name of an icon, and in C{states.js}, too.
    @ivar words: what it says.
    """

    kind: str
    words: str


#: What the daemon did to a run, in words.
_REASONS = {
    Reason.TIMEOUT: Look("failed", "Timed out"),
    Reason.IDLE_TIMEOUT: Look("failed", "Timed out without output"),
    Reason.CANCELLED: Look("stopped", "Cancelled"),
    Reason.DISCONNECTED: Look("stopped", "Cancelled, as nobody watched"),
    Reason.OUTPUT_LIMIT: Look("failed", "Wrote too much"),
    Reason.SHUTDOWN: Look("stopped", "Stopped with the daemon"),
    Reason.ERROR: Look("failed", "Failed in the daemon"),
}

_STATES = {
    State.QUEUED: Look("queued", "Queued"),
    State.RUNNING: Look("running", "Running"),
    State.FAILED: Look("failed", "Did not start"),
    State.CANCELLED: Look("stopped", "Cancelled"),
    State.LOST: Look("failed", "Lost, its end is unknown"),
}


def look_of(record: RunRecord) -> Look:
    """How the state of a run is shown; C{states.js} says the same."""
    if record.reason is not None:
        return _REASONS[record.reason]
    if record.state is State.EXITED:
        if record.code == 0:
            return Look("succeeded", "Succeeded")
        return Look("failed", f"Failed with exit code {record.code}")
    if record.state is State.SIGNALED:
        name = "a signal" if record.signal is None else signal_name(record.signal)
        return Look("failed", f"Killed by {name}")
    return _STATES[record.state]


def badge(record: RunRecord) -> Tag:
    """The state of a run: icon, colour and words."""
    look = look_of(record)
    words = tags.span(look.words, class_="words")
    return tags.span(icon(), words, class_=f"badge {look.kind}")


def icon() -> Tag:
    """The place of an icon, which the style sheet draws."""
    return tags.span(class_="icon", **{"aria-hidden": "true"})


def moment(time: int) -> Tag:
    """
    A time, which C{times.js} shows in the reader's zone.

    @param time: in microseconds since 1970 (UTC).
    """
    shown = utc(time).strftime("%Y-%m-%d %H:%M:%S UTC")
    return tags.time(shown, datetime=rfc3339(time))


def duration(seconds: float) -> str:
    """A duration as C{times.js} shows it: 0.3 s, 12 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"
