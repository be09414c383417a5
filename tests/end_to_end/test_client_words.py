"""The words of the command line that people know from other programs."""

import json
import sys
from pathlib import Path

from tests.end_to_end.command_line import ClientTestCase
from tests.end_to_end.tmux import TmuxTestCase
from tests.support.programs import needs, run

CONFIG = """
[commands.echo]
argv = ["cat"]
stdin = true
[commands.fail]
argv = ["sh", "-c", "echo out; exit 3"]
[commands.one]
argv = ["sleep", "1000"]
max_running = 1
when_busy = "queue"
[commands.pick]
argv = ["echo", "{what}"]
params.what = { type = "string", choices = ["all", "docs"], description = "which" }
[commands.odd]
argv = ["echo", "{what}"]
params.what = { type = "string", choices = ["x y", "$(exit)"] }
"""


class WordTests(ClientTestCase):
    """A run is started, fed, watched, named in short, and forgotten."""

    async def test_life(self) -> None:
        """Each word does to a run what docker's and systemctl's do."""
        await self.serve(CONFIG)
        run_id = (await self.done("start", "-i", "echo")).out.decode().strip()
        watching = self.client("events", "--json", "--command", "echo")
        await self.done("send", run_id[:18], "hello", "there")
        self.assertIn(run_id.encode(), (await self.done("show", "@last")).out)
        # Not @last: on a slow machine the next run may be the last one by then.
        waiting = self.client("wait", "@echo", "--json")
        await self.done("fail", code=3)
        self.assertEqual((await self.done("logs", "-f", "@fail", code=3)).out, b"out\n")
        # By now the two that were started before are connected, in all likelihood;
        # where not, the events of another run come.
        await self.done("send", "@echo", "--eof", "bye")
        self.assertEqual(await waiting.ended(), 0, waiting.err)
        self.assertEqual(json.loads(waiting.out)["id"], run_id)
        logs = await self.done("logs", run_id[-12:])
        self.assertEqual(logs.out, b"hello there\nbye\n")
        while b'"ended"' not in watching.out:
            await self.done("echo")
        watching.signal("INT")
        self.assertEqual(await watching.ended(), 130)
        await self.done("wait", "@fail", "@echo", code=3)
        failed = await self.done("ps", "--failed", "--since", "1h", "-q")
        self.assertEqual(len(failed.out.split()), 1)
        await self.done("rm", *(each["id"] for each in await self.runs()))
        self.assertEqual(await self.runs(), [])
        said = await self.said("send", "@fail", "x", code=65)
        self.assertIn("no run of 'fail' is kept", said)


class WaitingTests(TmuxTestCase):
    """On a terminal one line says what the client waits for."""

    async def test_queued(self) -> None:
        """A place in the queue is shown until the run has its turn, and is erased."""
        await self.serve(CONFIG)
        await self.open()
        first = (await self.done("start", "one")).out.decode().strip()
        await self.line("s one")
        await self.shows("queued, position 1")
        await self.done("stop", first)
        await self.until(
            "the line is erased",
            lambda lines: not any("queued" in each for each in lines),
        )
        await self.type("C-c")


_BASH = r"""
eval "$({client} completion bash)"
compopt() { :; }
offer() {
    COMP_LINE=$1 COMP_POINT=${#1}
    _shellstream shellstream "$2"
    echo "$1: ${COMPREPLY[*]}"
}
"""

#: Types into a zsh of its own, and ends when the words are complete.
_ZSH = r"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1='> '; autoload -U compinit; compinit -u -D"
zpty -w z 'eval "$(shellstream completion zsh)"; echo rea""dy'
zpty -r z seen '*ready*'
zpty -n -w z $'shellstream pick wh\tdo\t'
zpty -r z seen '*shellstream pick what=do*cs*'
"""


class CompletionTests(ClientTestCase):
    """Tab knows the commands, the parameters and the runs of the server."""

    async def begin(self) -> Path:
        """A daemon, and a folder in which the client has its usual name."""
        await self.serve(CONFIG)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        program = folder / "shellstream"
        program.write_text(
            f'#!/bin/sh\nexec {sys.executable} -m shellstream.client "$@"\n'
        )
        program.chmod(0o755)
        return folder

    async def answer(self, folder: Path, *argv: str) -> str:
        env = {"SHELLSTREAM_URL": self.daemon.url}
        env |= {"PATH": f"{folder}:/usr/bin:/bin", "TERM": "dumb"}
        shell = run(self, *argv, env=env)
        self.assertEqual(await shell.ended(), 0, shell.err)
        return shell.out.decode()

    async def test_bash(self) -> None:
        """
        bash ends words at = and @; what is offered replaces the last part alone, and is
        never more than a word.
        """
        folder = await self.begin()
        script = _BASH.replace("{client}", "shellstream")
        script += "offer 'shellstream pick what=' ''\noffer 'shellstream pick w' w\n"
        script += "offer 'shellstream wait @p' p\n"
        script += "offer 'shellstream odd what=' ''\n"
        script += "offer 'shellstream odd \"what=x y' 'x y'\n"
        script += "offer 'shellstream odd what=x\\ y' 'x\\ y'\n"
        found = await self.answer(folder, "/bin/bash", "-c", script)
        expected = [
            "pick what=: all docs",
            "pick w: what=",
            "wait @p: pick",
            r"odd what=: x\ y \$\(exit\)",
            'odd "what=x y: x y',
            r"odd what=x\ y: x\ y",
        ]
        self.assertEqual(
            [each.removeprefix("shellstream ") for each in found.splitlines()], expected
        )

    async def test_fish(self) -> None:
        """fish shows what each word means."""
        folder = await self.begin()
        script = "shellstream completion fish | source; complete -C 'shellstream pick '"
        found = await self.answer(folder, "/usr/bin/fish", "--no-config", "-c", script)
        self.assertEqual(found, "what=\twhich\n")

    test_fish.skip = needs("fish")

    async def test_zsh(self) -> None:
        """zsh completes the name of a parameter, and then its value, by keys."""
        folder = await self.begin()
        await self.answer(folder, "/usr/bin/zsh", "-f", "-c", _ZSH)

    test_zsh.skip = needs("zsh")
