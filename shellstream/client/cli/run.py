"""C{run}, C{attach}, C{output}: output, as it comes."""

import asyncio
import os
from argparse import Namespace
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from shellstream.client.api import Client
from shellstream.client.errors import ClientError, Usage
from shellstream.client.events import Gap, Output, RunInfo
from shellstream.client.follow import Following, View
from shellstream.client.transport.wire import Answer
from shellstream.client.urls import server_of

from .exit_codes import exit_code, words
from .messages import Messages
from .render import Ndjson, Plain
from .settings import settings, wire_to
from .signals import SignalHandler
from .stdin import StdinReader, is_given
from .stdout import OutputWriter
from .target import Target, meant

if TYPE_CHECKING:
    from .local_terminal import Terminal

_T = TypeVar("_T")


async def run(given: Namespace) -> int:
    """C{run}: a command of the server, or a URL."""
    target = Target(given.words)
    timed = _timed(given)
    _check(given, target)
    terminal = None
    if given.tty:
        from .local_terminal import Terminal

        terminal = Terminal()
    session = _Session(given, target.url)
    client = session.client
    if target.url is not None:
        found = await client.get(target.url, target.params, timed=timed)
        if not isinstance(found, Following):
            return await session.copy(found)
        return await session.follow(found)
    try:
        stdin = terminal is None and await session.sends_input(target.name)
        if not (stdin or terminal or given.detach_on_int):
            following = client.run(target.name, target.params, timed=timed)
            return await session.follow(following, target.name)
        # What is to have input is begun before it is followed; so is that whose
        # viewers may leave.
        begun = await client.start(
            target.name,
            target.params,
            stdin=stdin,
            tty=None if terminal is None else terminal.like(os.environ),
            on_disconnect="keep" if given.detach_on_int else "cancel",
        )
    except ClientError as error:
        if target.name and getattr(error, "status", None) == 404:
            error.args = (f"{error}{meant(target.name)}",)
        raise
    if given.detach_on_int and begun["on_disconnect"] != "keep":
        session.notes.say("this command is ended when its viewers leave: Ctrl-C too")
    view = View(lossless=True, timed=timed)
    following = client.follow(begun["id"], view)
    if terminal is not None:
        return await session.sit(terminal, begun, following)
    if stdin:
        return await session.feed(begun, following)
    return await session.follow(following, begun["command"])


def _check(given: Namespace, target: Target) -> None:
    """@raise Usage: if options and words do not go together."""
    if target.url is not None and given.detach_on_int:
        raise Usage("--detach-on-int: a run that a URL begins ends with its viewer")
    if not given.tty:
        return
    if target.url is not None:
        raise Usage("--tty: a run that a URL begins has no input; name the command")
    if given.detach_on_int:
        raise Usage("--detach-on-int: with --tty Ctrl-C goes to the command")
    if given.timestamps or given.prefix or given.format != "plain":
        raise Usage("--tty shows what the command does to its screen, and no more")


async def attach(given: Namespace) -> int:
    """C{attach}: a run to its end."""
    view = _view(given)
    session = _Session(given)
    return await session.follow(session.client.follow(given.run, view))


async def output(given: Namespace) -> int:
    """C{output}: what there is."""
    view = _view(given)._replace(follow=False)
    session = _Session(given)
    return await session.follow(session.client.follow(given.run, view), ends=False)


def _view(given: Namespace) -> View:
    if given.offset is not None and given.tail is not None:
        raise Usage("--from and --tail exclude each other")
    return View(given.offset or 0, given.tail, timed=_timed(given))


def _timed(given: Namespace) -> bool:
    ndjson: bool = given.format == "ndjson"
    if ndjson and (given.timestamps or given.prefix):
        raise Usage("--format ndjson tells times and streams; drop the other options")
    return ndjson or bool(given.timestamps)


class _Session:
    """One run on its way to stdout and stderr."""

    def __init__(self, given: Namespace, url: str | None = None) -> None:
        server = None if url is None else server_of(url) or url
        where = settings(given, os.environ, server)
        self.notes = Messages(quiet=given.quiet, verbose=given.verbose)
        self._given = given
        self._out = OutputWriter(1, "standard output")
        self._err = OutputWriter(2, "standard error")
        self.client = Client(
            where.url,
            wire_to(where),
            token=where.token,
            retry_for=given.retry_for,
            noted=self.notes.cut,
        )
        self._steering = SignalHandler(self.client, self.notes)
        self._out.watch(lambda: self._steering.leave(141))

    async def copy(self, answer: Answer) -> int:
        """What any server answers, byte for byte."""
        if (
            self._given.timestamps
            or self._given.prefix
            or self._given.format != "plain"
        ):
            raise Usage("this is the output of no run: it can be shown as it is, only")
        while data := await answer.read():
            await self._out.write(data)
        return 0

    async def sends_input(self, name: str | None) -> bool:
        """
        Whether our standard input is for this command: somebody gave us some, and
        the server says that the command takes it. No other is asked about.
        """
        if not (self._given.stdin and is_given()):
            return False
        command = await self.client.command(name)
        takes = command is not None and command.get("stdin", False)
        if not takes:
            self.notes.tell("standard input is left alone: the command takes none")
        return takes

    async def feed(self, begun: RunInfo, following: Following) -> int:
        """A run's output, while our standard input goes into it."""
        with closing(StdinReader(0, "standard input")) as source:
            shown = self.follow(following, begun["command"])
            return await beside(shown, self._fed(begun["id"], source))

    async def _fed(self, run_id: str, source: StdinReader) -> None:
        self._steering.feeding = True
        await self.client.feed(run_id, source)
        self._steering.feeding = False

    async def sit(
        self, terminal: "Terminal", begun: RunInfo, following: Following
    ) -> int:
        """A run, and somebody at its terminal."""
        from .tty_session import TtySession

        sitting = TtySession(terminal, begun, self.client, self.notes, self._steering)
        with sitting:
            shown = self._shown(following, begun["command"], seen=sitting.screen.feed)
            gaps = await beside(shown, sitting.type(), sitting.resize())
        return await self._ended(following, gaps=gaps)

    async def follow(
        self, following: Following, command: str | None = None, *, ends: bool = True
    ) -> int:
        """A run's output, up to its end or up to now."""
        gaps = await self._shown(following, command, ends=ends)
        return await self._ended(following, gaps=gaps, ends=ends)

    async def _shown(
        self,
        following: Following,
        command: str | None,
        *,
        ends: bool = True,
        seen: Callable[[bytes], object] | None = None,
    ) -> bool:
        """
        Show it; returns whether some of it is missing.

        @param seen: is told of each piece before it is shown.
        """
        given, gaps = self._given, False
        printer: Plain | Ndjson | None = None
        async with following:
            if ends:
                self._steering.steer(following, detach=given.detach_on_int)
            async for event in following:
                if printer is None:
                    assert following.run is not None
                    self.notes.tell(f"this is run {following.run}")
                    if given.prefix and command is None:
                        command = (await self.client.show(following.run))["command"]
                    printer = self._printer(command or "")
                gaps = gaps or isinstance(event, Gap)
                if seen is not None and isinstance(event, Output):
                    seen(event.data)
                await printer.show(event)
        return gaps

    async def _ended(
        self, following: Following, *, gaps: bool, ends: bool = True
    ) -> int:
        """Say how it ended, and exit so."""
        end = following.end
        if end is None or not ends:
            return 72 if gaps else 0
        said = words(end)
        if end.state == "failed":
            assert following.run is not None
            said = f"{said}: {(await self.client.show(following.run))['failure']}"
        if said is not None:
            self.notes.say(said)
        self.notes.tell(f"the run ended: {end.state}, {end.offset} bytes in all")
        return exit_code(end, gaps=gaps)

    def _printer(self, command: str) -> Plain | Ndjson:
        given = self._given
        if given.format == "ndjson":
            return Ndjson(self._out)
        prefix = command if given.prefix else ""
        return Plain(self._out, self._err, timestamps=given.timestamps, prefix=prefix)


async def beside(shown: Coroutine[Any, Any, _T], *others: Awaitable[object]) -> _T:
    """What C{shown} comes to; then nothing else matters. If another fails, that."""
    task = asyncio.ensure_future(shown)
    tasks = {task, *map(asyncio.ensure_future, others)}
    try:
        waiting = tasks
        while not task.done():
            done, waiting = await asyncio.wait(waiting, return_when=FIRST_COMPLETED)
            for each in done:
                each.result()
        return task.result()
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
