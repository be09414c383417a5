"""Tests for the parts that pages share, in Python and in scripts."""

import json
import os
from itertools import product
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from shellstream.model.events import OnDisconnect, Reason, State
from shellstream.model.run_record import RunRecord, to_document
from shellstream.web.console.frame import (
    POLICY,
    Frame,
    duration,
    look_of,
    moment,
    render,
    to_html,
)
from tests.support.pages import Page
from tests.support.programs import needs

TIME = 1_764_590_400_000_000


def records() -> list[RunRecord]:
    """A run in each state and for each reason that there may be."""
    ends = ((None, None), (0, None), (3, None), (None, 15))
    every = product(State, (None, *Reason), ends)
    return [
        RunRecord(
            id="x",
            command="c",
            params={},
            created=TIME,
            on_disconnect=OnDisconnect.KEEP,
            state=state,
            reason=reason,
            code=code,
            signal=signal,
        )
        for state, reason, (code, signal) in every
        if state is not State.EXITED or code is not None
    ]


class FrameTests(SynchronousTestCase):
    """What all pages have around them."""

    def test_landmarks(self) -> None:
        """A page has one main part, to which a first link leads, and a language."""
        page = Page(render(Frame("../"), "a title").decode())
        self.assertEqual(len(page.all("main")), 1)
        self.assertEqual(page.all("a")[0]["href"], "#main")
        self.assertEqual(page.all("html")[0]["lang"], "en")
        self.assertIn(("title", "a title"), page.text)

    def test_policy(self) -> None:
        """
        Only scripts and styles of this daemon are used, no script makes HTML of text,
        no site may frame the page, and forms go nowhere else.
        """
        policy = dict(each.split(" ", 1) for each in POLICY.split("; "))
        self.assertEqual(policy.pop("default-src"), "'none'")
        self.assertEqual(policy.pop("require-trusted-types-for"), "'script'")
        for name in ("trusted-types", "base-uri", "frame-ancestors"):
            self.assertEqual(policy.pop(name), "'none'")
        self.assertEqual({*policy.values()}, {"'self'"})

    def test_session(self) -> None:
        """With a session the page has a logout, and its forms the CSRF token."""
        page = Page(render(Frame("", "alice", "the-token"), "x").decode())
        (form,) = page.all("form")
        self.assertEqual((form["method"], form["action"]), ("post", "logout"))
        (field,) = page.all("input")
        self.assertEqual(field["value"], "the-token")
        self.assertIn(("span", "alice"), page.text)
        self.assertEqual(Page(render(Frame(""), "x").decode()).all("form"), [])

    def test_moment(self) -> None:
        """A time can be read by people and by scripts."""
        page = Page(to_html(moment(TIME)).decode())
        self.assertEqual(page.text, [("time", "2025-12-01 12:00:00 UTC")])
        self.assertEqual(
            page.found, [("time", {"datetime": "2025-12-01T12:00:00.000000Z"})]
        )

    def test_words(self) -> None:
        """A state says what is most important about it."""
        looks = {look_of(each) for each in records()}
        self.assertEqual(
            {each.kind for each in looks},
            {"queued", "running", "succeeded", "failed", "stopped"},
        )
        words = {each.words for each in looks}
        for each in ("Failed with exit code 3", "Killed by TERM", "Timed out"):
            self.assertIn(each, words)


class ListScriptTests(TestCase):
    """The scripts of the list, under C{node --test}."""

    timeout = 60
    skip = needs("node")

    async def test_list(self) -> None:
        """They choose runs as the daemon does, and say what pages say."""
        looks = []
        for each in records():
            look = look_of(each)
            looks.append((to_document(each), (look.kind, look.words)))
        times = [0.0, 0.3, 9.96, 42.4, 59.4, 60.0, 3661.0, 86399.6, 1e6]
        env = {
            **os.environ,
            "LOOKS": json.dumps(looks),
            "DURATIONS": json.dumps([(each, duration(each)) for each in times]),
        }
        script = str(Path(__file__).with_name("list.test.mjs"))
        out, err, code = await getProcessOutputAndValue(
            "node", ["--test", script], env, reactor=reactor
        )
        self.assertEqual(code, 0, (out + err).decode())
        self.assertIn(b"# fail 0\n", out)
        self.assertNotIn(b"# pass 0\n", out)
