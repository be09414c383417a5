"""Tests for L{shellstream.notifications.message} and of the output as plain text."""

import json
from typing import Any
from urllib.parse import parse_qs, unquote

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.notification import FACTS, Notification
from shellstream.model.events import OnDisconnect, Reason, State
from shellstream.model.run_record import RunRecord, to_document
from shellstream.notifications.message import Message, in_words
from shellstream.notifications.plain_text import last_lines, masked

SECOND = 1_000_000

RUN = RunRecord(
    id="01a2",
    command="backup",
    params={"host": "pi"},
    created=0,
    started=0,
    ended=125 * SECOND,
    on_disconnect=OnDisconnect.KEEP,
    state=State.EXITED,
    code=3,
    principal="ci",
)


def message(output: str | None = None, event: str = "ended", **run: Any) -> Message:
    """A message about a run."""
    return Message(
        delivery="01a2.ended.a",
        notify="a",
        event=event,
        run=to_document(evolve(RUN, **run)),
        link="https://example.org/runs/01a2",
        output=output,
    )


def to(**values: Any) -> Notification:
    """A notification."""
    return Notification(name="a", url="https://example.org/", **values)


JSON = {"content-type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

texts = st.text(st.characters(exclude_categories=["Cs"]))


class MessageTests(SynchronousTestCase):
    """What is told of a run."""

    def test_summary(self) -> None:
        """One line says how a run went."""
        for how, words in (
            ({}, "backup failed: exit code 3 after 2 min 5 s"),
            ({"code": 0}, "backup succeeded after 2 min 5 s"),
            (
                {"state": State.SIGNALED, "signal": 15, "reason": Reason.TIMEOUT},
                "backup was ended by signal TERM after 2 min 5 s (timeout)",
            ),
            (
                {"state": State.FAILED, "started": None, "failure": "no program"},
                "backup was not started: no program",
            ),
            ({"state": State.LOST}, "backup was lost after 2 min 5 s"),
            (
                {"state": State.CANCELLED, "started": None},
                "backup was cancelled",
            ),
        ):
            self.assertEqual(message(**how).values()["summary"], words)
        begun = message(event="started", state=State.RUNNING, ended=None)
        self.assertEqual(begun.values()["summary"], "backup started")

    def test_exit_codes(self) -> None:
        """The exit code is the one that a shell would tell; 255 if there is none."""
        for how, code in (
            ({}, "3"),
            ({"state": State.SIGNALED, "signal": 9, "code": None}, "137"),
            ({"state": State.SIGNALED, "signal": 40, "code": None}, "168"),
            ({"state": State.LOST, "code": None}, "255"),
        ):
            self.assertEqual(message(**how).values()["exit_code"], code)

    def test_placeholders(self) -> None:
        """Each placeholder that the reference explains has a value."""
        self.assertEqual(message().values().keys(), {*FACTS, "params.host"})

    def test_durations(self) -> None:
        """A duration is as exact as people need it."""
        for seconds, words in (
            (0.02, "20 ms"),
            (2.5, "2.5 s"),
            (59.9, "1 min"),
            (3600, "1 h"),
            (12_000, "3 h 20 min"),
            (93_600, "1 d 2 h"),
        ):
            self.assertEqual(in_words(seconds), words)

    def test_json(self) -> None:
        """Without a template the text is the run, and all else, in JSON."""
        text, kind = message("out").text_for(to())
        document = json.loads(text)
        self.assertEqual(kind, "application/json")
        self.assertEqual(document["run"]["command"], "backup")
        self.assertEqual((document["output"], document["seconds"]), ("out", 125.0))

    @given(texts)
    def test_quoted(self, output: str) -> None:
        """Whatever the output is, a template of JSON or of a form stays one."""
        text, kind = message(output).text_for(
            to(body='{"a": "{output}", "b": "{{run}}"}', headers=JSON)
        )
        self.assertEqual(json.loads(text), {"a": output, "b": "{run}"})
        self.assertEqual(kind, "application/json")
        text, _ = message(output).text_for(to(body="a={output}&b=1", headers=FORM))
        self.assertEqual(parse_qs(text).get("a", [""]), [output])

    @given(texts)
    def test_one_line(self, value: str) -> None:
        """No value begins another header, or leaves its place in an address."""
        told = message(params={"host": value})
        way = to(headers={"Title": "{params.host}"})
        self.assertTrue(told.headers_for(way)["Title"].isprintable())
        url = told.url_for(evolve(way, url="https://example.org/{params.host}/x"))
        path = url.removeprefix("https://example.org/").removesuffix("/x")
        self.assertNotRegex(path, "[/?#]")
        self.assertEqual(unquote(path), value)


class PlainTextTests(SynchronousTestCase):
    """Output as a terminal would show it."""

    def test_escapes(self) -> None:
        """Escape sequences are removed, whole."""
        for data, text in (
            (b"\x1b[1;31mred\x1b[0m", "red"),
            (b"\x1b]0;title\x07text", "text"),
            (b"\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"\x1b(Btext\x1b=", "text"),
            (b"a\x00b\x07\tc", "ab\tc"),
            (b"\xff\xc3", "\ufffd\ufffd"),
        ):
            self.assertEqual(last_lines(data, 5), text)

    def test_lines(self) -> None:
        """The last lines are shown, each as it was written last."""
        self.assertEqual(last_lines(b"1\n2\n3\n", 2), "2\n3")
        self.assertEqual(last_lines(b"1\r\n2\r\n", 5), "1\n2")
        self.assertEqual(last_lines(b"10%\r20%\rdone\n", 5), "done")

    @given(st.binary(), st.integers(1, 5))
    def test_any(self, data: bytes, lines: int) -> None:
        """Whatever the output is, so many printable lines are left of it at most."""
        text = last_lines(data, lines)
        self.assertLessEqual(text.count("\n"), lines - 1)
        self.assertNotRegex(text, r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

    def test_masked(self) -> None:
        """Secrets are masked, a longer one before a part of it."""
        self.assertEqual(masked("ab abc", ["ab", "", "abc"], "***"), "*** ***")
