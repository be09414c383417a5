"""C{run}, C{attach}, C{output}: show output as it comes."""

import os
from argparse import Namespace
from collections.abc import Callable, Collection, Coroutine
from contextlib import closing
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from shellstream.client.api import Client
from shellstream.client.cli.exit_codes import describe_end, exit_code
from shellstream.client.cli.messages import Messages
from shellstream.client.cli.render import NdjsonRenderer, PlainRenderer
from shellstream.client.cli.settings import load_settings, make_wire
from shellstream.client.cli.signals import SignalHandler, until_done
from shellstream.client.cli.stdin import StdinReader, is_redirected
from shellstream.client.cli.stdout import OutputWriter
from shellstream.client.cli.target import Target, suggest
from shellstream.client.errors import (
    CannotConnect,
    ClientError,
    Refused,
    ServerError,
    Usage,
)
from shellstream.client.events import CommandInfo, Gap, Output, RunInfo
from shellstream.client.follow import Following, View
from shellstream.client.transport.documents import is_ours
from shellstream.client.transport.wire import Response
from shellstream.client.urls import server_of, stream_of_root
from shellstream.programs import typed

from .secret_params import ask_missing, ask_secret, can_ask, read_params
from .waiting import Waiting

if TYPE_CHECKING:
    from shellstream.client.cli.local_terminal import LocalTerminal


#: The descriptors that output goes to.
_FDS = {"stdout": 1, "stderr": 2}


async def run(reactor: Any, args: Namespace) -> int:
    """C{run}: a command of the server, or a URL."""
    target = Target(args.words)
    _check_options(args, target)
    terminal = None
    if args.tty:
        from shellstream.client.cli.local_terminal import LocalTerminal

        terminal = LocalTerminal()
    with _Session(reactor, args, target.url) as session:
        return await session.watched(_run(session, args, target, terminal))


async def _run(
    session: "_Session",
    args: Namespace,
    target: Target,
    terminal: "LocalTerminal | None",
) -> int:
    client, timed = session.client, _needs_times(args)
    params = read_params(target.params, args.param_file)
    if target.url is not None:
        found = await client.get(target.url, target.params, timed=timed)
        stream = stream_of_root(target.url)
        if stream and not isinstance(found, Following) and is_ours(found):
            # The root is an index for programs. A person who types it means the server.
            found.close()
            found = await client.get(stream, target.params, timed=timed)
        if not isinstance(found, Following):
            return await session.copy(found)
        return await session.follow(found)
    try:
        redirected, asks = args.stdin and is_redirected(), can_ask()
        command = None
        if redirected or asks:
            command = await client.command(target.name)
        stdin = terminal is None and redirected and session.sends_input(command)
        if asks:
            if args.stdin and terminal is None and not args.quiet and os.isatty(0):
                session.tell_typist(command)
            params = ask_missing(params, command, ask_secret)
        if not (stdin or terminal or args.detach_on_int):
            following = client.run(target.name, params, timed=timed)
            return await session.follow(following, target.name)
        # POST /stream starts and follows in one request, but takes neither input nor
        # a terminal, and ends with its viewers: all else takes two requests.
        session.signals.starts_for_good = args.detach_on_int
        started = await client.start(
            target.name,
            params,
            stdin=stdin,
            tty=None if terminal is None else terminal.describe(os.environ),
            on_disconnect="keep" if args.detach_on_int else "cancel",
        )
    except (CannotConnect, Refused) as error:
        suggest(error, target.name)
        raise
    if args.detach_on_int and started["on_disconnect"] != "keep":
        session.messages.info(
            "this command is ended when its viewers leave: Ctrl-C too"
        )
    view = View(lossless=True, timed=timed)
    following = client.follow(started["id"], view)
    if terminal is not None:
        return await session.use_terminal(terminal, started, following)
    if stdin:
        return await session.feed(started, following)
    return await session.follow(following, started["command"])


def _check_options(args: Namespace, target: Target) -> None:
    """@raise Usage: if options and words contradict each other."""
    if target.url is not None and args.param_file:
        raise Usage("--param-file: a URL would show its parameter; name the command")
    if "-" in (word.partition("=")[2] for word in args.param_file):
        args.stdin = False  # it holds the parameter
    if target.url is not None and args.detach_on_int:
        raise Usage("--detach-on-int: a run that a URL begins ends with its viewer")
    if not args.tty:
        return
    if target.url is not None:
        raise Usage("--tty: a run that a URL begins has no input; name the command")
    if args.detach_on_int:
        raise Usage("--detach-on-int: with --tty Ctrl-C goes to the command")
    if args.timestamps or args.prefix or args.format != "plain":
        raise Usage("--tty shows the command's screen as it is; drop other formats")


async def attach(reactor: Any, args: Namespace) -> int:
    """C{attach}: follow a run to its end."""
    view = _view(args)
    with _Session(reactor, args) as session:
        return await session.watched(session.show_run(args.run, view))


async def output(reactor: Any, args: Namespace) -> int:
    """C{output}: what a run has written until now, or until its end."""
    view = _view(args)._replace(follow=args.follow)
    with _Session(reactor, args) as session:
        return await session.watched(session.show_run(args.run, view))


def _view(args: Namespace) -> View:
    if args.offset is not None and args.tail is not None:
        raise Usage("--from and --tail exclude each other")
    return View(args.offset or 0, args.tail, timed=_needs_times(args))


def _needs_times(args: Namespace) -> bool:
    ndjson: bool = args.format == "ndjson"
    if ndjson and (args.timestamps or args.prefix):
        raise Usage("--format ndjson tells times and streams; drop the other options")
    return ndjson or bool(args.timestamps)


def _leave_on(args: Namespace) -> Collection[int]:
    """The signals that leave a run as it is, instead of interrupting or ending it."""
    if args.subcommand != "run":
        # Another client may have started it, and others may watch it.
        return () if getattr(args, "signal_on_int", False) else (SIGINT, SIGTERM)
    return (SIGINT,) if args.detach_on_int else ()


class _Session:
    """One run on its way to stdout and stderr. Use it as a context manager."""

    def __init__(self, reactor: Any, args: Namespace, url: str | None = None) -> None:
        server = None if url is None else server_of(url) or url
        settings = load_settings(args, os.environ, server)
        self._reactor = reactor
        self._args = args
        self.messages = Messages(quiet=args.quiet, verbose=args.verbose)
        self._stdout = OutputWriter(reactor, 1, "standard output")
        self._stderr = OutputWriter(reactor, 2, "standard error")
        self.client = Client(
            settings.url,
            make_wire(reactor, settings),
            token=settings.token,
            headers=settings.headers,
            retry_for=args.retry_for,
            on_retry=self._retrying,
        )
        self._waiting = Waiting(self.client)
        self.signals = SignalHandler(reactor, self.client, self.messages)
        self._stdout.watch_reader(lambda: self.signals.exit(141))

    def __enter__(self) -> "_Session":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self.messages.clear_status()
        if kind is not None and issubclass(kind, ClientError):
            self.messages.end_line()
        self._stdout.close()
        self._stderr.close()

    def _retrying(self, error: ServerError, delay: float) -> None:
        self._waiting.disconnected()
        self.messages.retrying(error, delay)

    async def watched(self, main: Coroutine[Any, Any, int]) -> int:
        """Carry this out, and tell on a terminal what it waits for."""
        return await self._waiting.watch(self._reactor, self.messages, main)

    async def show_run(self, text: str, view: View) -> int:
        """Show the output of a run that the user names."""
        from .run_ids import find_run  # late: most command lines name no run

        run = await find_run(self.client, text)
        following = self.client.follow(run, view)
        return await self.follow(following, to_end=view.follow)

    async def copy(self, response: Response) -> int:
        """Show the response of a server that is no shellstream, byte for byte."""
        args = self._args
        if args.timestamps or args.prefix or args.format != "plain":
            raise Usage("this is no shellstream run: it can only be shown as it is")
        while data := await response.read():
            await self._stdout.write(data)
        return 0

    def sends_input(self, command: CommandInfo | None) -> bool:
        """
        Whether our standard input, which is redirected, goes to this command: the
        server says that it reads input.
        """
        takes_input = command is not None and command.get("stdin", False)
        if not takes_input:
            self.messages.detail("standard input is not read: the command takes none")
        return takes_input

    def tell_typist(self, command: CommandInfo | None) -> None:
        """Tell a user at a terminal how a command gets input."""
        if command is None:
            return
        name, shellstream = command["name"], typed("shellstream")
        if command.get("tty"):
            how = f"{shellstream} --tty {name}, or --no-stdin to do without"
            self.messages.info(f"this command can use a terminal: {how}")
        elif command.get("stdin"):
            how = f"give it a file or a pipe, as in: {shellstream} {name} < FILE"
            self.messages.info(f"what you type does not go to this command; {how}")

    async def feed(self, started: RunInfo, following: Following) -> int:
        """Show a run's output, and send it our standard input."""
        with closing(StdinReader(self._reactor, 0, "standard input")) as source:
            showing = self.follow(following, started["command"])
            return await until_done(showing, self._send_input(started["id"], source))

    async def _send_input(self, run_id: str, source: StdinReader) -> None:
        self.signals.sending_input = True
        await self.client.feed(run_id, source)
        self.signals.sending_input = False

    async def use_terminal(
        self, terminal: "LocalTerminal", started: RunInfo, following: Following
    ) -> int:
        """Show a run's terminal on ours, and send it our keys."""
        from shellstream.client.cli.tty_session import TtySession

        session = TtySession(
            self._reactor, terminal, started, self.client, self.messages, self.signals
        )
        with session:
            showing = self._show(
                following, started["command"], on_data=session.modes.feed
            )
            gaps = await until_done(showing, session.send_keys(), session.send_sizes())
        return await self._report_end(following, gaps=gaps)

    async def follow(
        self, following: Following, command: str | None = None, *, to_end: bool = True
    ) -> int:
        """
        Show a run's output.

        @param command: its name, if that is known.
        @param to_end: to the run's end, or else up to now.
        """
        gaps = await self._show(following, command, to_end=to_end)
        return await self._report_end(following, gaps=gaps, to_end=to_end)

    async def _show(
        self,
        following: Following,
        command: str | None,
        *,
        to_end: bool = True,
        on_data: Callable[[bytes], object] = lambda data: None,
    ) -> bool:
        """
        Show it; returns whether some of it is missing.

        @param on_data: gets output before it is shown.
        """
        args, gaps = self._args, False
        renderer: PlainRenderer | NdjsonRenderer | None = None
        async with following:
            if to_end:
                self.signals.follow(following, leave_on=_leave_on(args))
            async for event in following:
                if self.signals.leaving:
                    await Deferred()  # until the program exits
                self._waiting.received(event, following.run)
                if isinstance(event, Output | Gap):
                    self.messages.clear_status()
                # The id of the run is known only from its first event on.
                if renderer is None:
                    assert following.run is not None
                    self.messages.detail(f"this is run {following.run}")
                    if args.prefix and command is None:
                        command = (await self.client.show(following.run))["command"]
                    renderer = self._renderer(command or "")
                gaps = gaps or isinstance(event, Gap)
                if isinstance(event, Output):
                    on_data(event.data)
                await renderer.show(event)
                if isinstance(event, Output) and args.format == "plain":
                    shown = os.isatty(2) and os.isatty(_FDS[event.stream])
                    self.messages.mid_line = shown and not event.data.endswith(b"\n")
        return gaps

    async def _report_end(
        self, following: Following, *, gaps: bool, to_end: bool = True
    ) -> int:
        """Tell how the run ended; returns the exit code."""
        end = following.end
        if end is None or not to_end:
            return 72 if gaps else 0
        text = describe_end(end)
        if end.state == "failed":
            assert following.run is not None
            text = f"{text}: {(await self.client.show(following.run))['failure']}"
        if text is not None:
            self.messages.info(text)
        self.messages.detail(f"the run ended: {end.state}, {end.offset} bytes in all")
        return exit_code(end, gaps=gaps)

    def _renderer(self, command: str) -> PlainRenderer | NdjsonRenderer:
        args = self._args
        if args.format == "ndjson":
            return NdjsonRenderer(self._stdout)
        prefix = command if args.prefix else ""
        return PlainRenderer(
            self._stdout, self._stderr, timestamps=args.timestamps, prefix=prefix
        )
