"""Tests for L{shellstream.config.notification}, and of which events it tells."""

import contextlib
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.loader import parse
from shellstream.config.notification import Notification
from shellstream.config.notification_trigger import triggers
from shellstream.model.checks import NotAllowed
from shellstream.model.events import OnDisconnect, Reason, State
from shellstream.model.run_record import RunRecord
from tests.support.configurations import COMMAND, mistakes

MINUTE = 60_000_000

RUN = RunRecord(
    id="1",
    command="x",
    params={},
    created=0,
    started=0,
    ended=10 * MINUTE,
    on_disconnect=OnDisconnect.KEEP,
    state=State.EXITED,
    code=0,
)


def notification(text: str = "", to: str = "url = 'https://example.org/'") -> Any:
    """The notification C{a} that a file declares."""
    return parse(f"{COMMAND}[notify.a]\n{to}\n{text}").notify["a"]


def wrong(text: str, to: str = "url = 'https://example.org/'") -> list[tuple[str, str]]:
    """The mistakes of it: key, and what was found."""
    found = mistakes(f"{COMMAND}[notify.a]\n{to}\n{text}")
    return [(key, what) for key, what, _ in found]


class EventTests(SynchronousTestCase):
    """It tells of the events that its operator asked for."""

    def tells(self, on: str, **how: Any) -> bool:
        found: Notification = notification(f"on = {[on]}" if on else "")
        return found.wants("ended", evolve(RUN, **how))

    def test_default(self) -> None:
        """By default it tells of each end that is not a success."""
        for state in State:
            if state.ended and state is not State.EXITED:
                self.assertTrue(self.tells("", state=state, code=None), state)
        self.assertTrue(self.tells("", code=1))
        self.assertFalse(self.tells(""))
        self.assertFalse(notification().wants("started", RUN))

    def test_words(self) -> None:
        """A state, a reason or an outcome stands for the runs that have it."""
        self.assertTrue(self.tells("success"))
        self.assertFalse(self.tells("success", code=1))
        self.assertTrue(self.tells("ended"))
        self.assertTrue(self.tells("lost", state=State.LOST, code=None))
        self.assertFalse(self.tells("lost"))
        self.assertTrue(self.tells("timeout", reason=Reason.TIMEOUT, code=1))
        for how in ({"reason": Reason.CANCELLED}, {"state": State.CANCELLED}):
            self.assertTrue(self.tells("cancelled", **how))

    def test_codes(self) -> None:
        """Exit codes are told apart, alone and in ranges."""
        for code, told in ((2, False), (3, True), (10, True), (12, True), (13, False)):
            self.assertEqual(self.tells("exit:3,10-12", code=code), told, code)
        self.assertFalse(self.tells("exit:3", state=State.FAILED, code=None))

    def test_longer(self) -> None:
        """A run that took longer is told of, with a word only if that fits as well."""
        self.assertTrue(self.tells("longer than 9 min"))
        self.assertFalse(self.tells("longer than 10 min"))
        self.assertTrue(self.tells("success longer than 90s"))
        self.assertFalse(self.tells("failure longer than 9 min"))
        self.assertFalse(self.tells("longer than 1 s", started=None))

    def test_not(self) -> None:
        """What is left out is not told of, whatever else fits."""
        found = notification(
            "on = ['started', 'failure', 'not cancelled', 'not exit:2']"
        )
        for reason, code, told in (
            (None, 1, True),
            (Reason.TIMEOUT, 1, True),
            (Reason.CANCELLED, 1, False),
            (None, 2, False),
        ):
            run = evolve(RUN, reason=reason, code=code)
            self.assertEqual(found.wants("ended", run), told, run)
        queued = evolve(RUN, state=State.CANCELLED, code=None)
        self.assertFalse(found.wants("ended", queued))
        self.assertTrue(found.wants("started", RUN))
        short = notification("on = ['failure', 'not longer than 9 min']")
        self.assertFalse(short.wants("ended", evolve(RUN, code=1)))
        for on in ("'not cancelled'", "'failure', 'not started'", "'failure', 'not '"):
            self.assertEqual(wrong(f"on = [{on}]")[0][0], "notify.a.on", on)

    def test_started(self) -> None:
        """The start of a run is told of only where that is wanted."""
        found = notification("on = ['started']")
        self.assertTrue(found.wants("started", RUN))
        self.assertFalse(found.wants("ended", RUN))

    def test_commands(self) -> None:
        """Only runs of its commands are told of."""
        text = "[commands.y]\nargv = ['a']\n[notify.a]\nargv = ['a']\ncommands = ['x']"
        found = parse(f"{COMMAND}{text}").notify["a"]
        failed = evolve(RUN, code=1)
        self.assertTrue(found.wants("ended", failed))
        self.assertFalse(found.wants("ended", evolve(failed, command="y")))

    def test_wrong(self) -> None:
        """Other words are refused."""
        for on in ("", "exit:", "exit:x", "started longer than 1 s", "longer than 1 y"):
            self.assertEqual(wrong(f"on = {[on]}")[0][0], "notify.a.on", on)

    @given(st.text())
    def test_any(self, text: str) -> None:
        """Any text is taken or refused."""
        with contextlib.suppress(NotAllowed):
            self.assertEqual(len(triggers([text])), 1)


class MistakeTests(SynchronousTestCase):
    """What cannot work is found when the file is read."""

    def test_where(self) -> None:
        """It has either an address or a program."""
        self.assertEqual(wrong("", ""), [("notify.a.url", "neither url nor argv")])
        self.assertEqual(wrong("argv = ['a']"), [("notify.a.url", "both url and argv")])

    def test_addresses(self) -> None:
        """An address has a host, no password, and placeholders behind the host only."""
        for url in ("ftp://a/", "https://", "https://u:p@a/", "https://{run}/", "a b"):
            found = wrong("", f"url = '{url}'")
            self.assertEqual(found[0][0], "notify.a.url", url)

    def test_not_shown(self) -> None:
        """A message about an address or a header does not show it: it may be secret."""
        for text, to in (
            ("", "url = 'ftp://hunter2/'"),
            ("headers = {Host = 'hunter2'}", "url = 'http://a/'"),
            ('headers = {A = ["hunter2"]}', "url = 'http://a/'"),
        ):
            found = mistakes(f"{COMMAND}[notify.a]\n{to}\n{text}")
            self.assertEqual(len(found), 1, text)
            self.assertNotIn("hunter2", str(found))

    def test_placeholders(self) -> None:
        """An unknown placeholder is refused, and a similar one is suggested."""
        (found,) = wrong("body = '{comand} {{comand}}'")
        self.assertIn("{comand} (did you mean 'command'?)", found[1])

    def test_parameters(self) -> None:
        """A template may name the parameters of its commands that are not secret."""
        params = (
            "[commands.y]\nshell = 'a'\nparams.p = {type = 'string'}\n"
            "params.s = {type = 'string', secret = true}\n"
            "[notify.a]\nurl = 'http://a/'\n"
        )
        for name, right in (("p", True), ("s", False), ("q", False)):
            found = mistakes(f"{COMMAND}{params}body = '{{params.{name}}}'")
            self.assertEqual(not found, right, name)

    def test_options(self) -> None:
        """What a client chose is no argument, and nothing is source of a script."""
        for argv in (["a", "{owner}"], ["a", "{output}"], ["sh", "-c", "{command}"]):
            found = wrong("lines = 1", f"argv = {argv}")
            self.assertEqual([key for key, _ in found], ["notify.a.argv"], argv)

    def test_output(self) -> None:
        """A template with output says how many lines."""
        self.assertEqual(wrong("body = '{output}'"), [("notify.a.lines", "nothing")])

    def test_json(self) -> None:
        """A body that says that it is JSON is JSON."""
        headers = "headers = {content-type = 'application/json'}\n"
        self.assertEqual(wrong(f'{headers}body = \'{{"a": "{{run}}"}}\''), [])
        self.assertEqual(wrong(f"{headers}body = '{{\"a\": {{exit_code}}}}'"), [])
        found = wrong(f"{headers}body = '{{\"a\": {{run}}}}'")
        self.assertEqual(found, [("notify.a.body", "no JSON")])

    def test_no_command(self) -> None:
        """Patterns that no command fits are a mistake."""
        (found,) = wrong("commands = ['X']")
        self.assertEqual(found[0], "notify.a.commands")

    def test_confined(self) -> None:
        """A program is confined by keys of its own, or by those of all commands."""
        text = f"nice = 5\n{COMMAND}[notify.a]\nargv = ['a']\numask = '077'"
        confine = parse(text).notify["a"].as_command().confine
        self.assertEqual((confine.nice, confine.umask), (5, 0o77))
        self.assertEqual(wrong("nice = 5"), [("notify.a.nice", "this key")])

    def test_target(self) -> None:
        """The target that everybody may know has no path."""
        url = "url = 'https://hooks.example.org:8/T1/secret?token=x'"
        self.assertEqual(notification("", url).target, "https://hooks.example.org:8")
        self.assertEqual(notification("", "argv = ['mail', 'x']").target, "mail")
