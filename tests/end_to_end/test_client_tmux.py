"""C{--tty} on a real screen."""

from pathlib import Path

from tests.end_to_end.tmux import PROMPT, TmuxTestCase
from tests.support.programs import needs

CONFIG = """
tty = true
[commands.sh]
argv = ["sh"]
env = { PS1 = "there> ", ENV = "" }
[commands.password]
argv = ["bash", "-c", 'read -s -p "Password: " p; echo; echo ${#p} letters; exit 7']
[commands.vi]
argv = ["vi", "-u", "NONE", "-i", "NONE", "{path}"]
params.path = { type = "string" }
"""


class ScreenTests(TmuxTestCase):
    """The screen there is the screen here."""

    async def begin(self) -> str:
        """A daemon, a terminal, and a file to edit."""
        await self.serve(CONFIG)
        await self.open()
        path = self.folder / "text"
        path.write_text("first\nsecond\n")
        return str(path)

    async def fills(self, rows: int) -> None:
        """The editor fills the screen but for its last line."""
        await self.until(
            f"{rows - 3} lines of ~ below the text",
            lambda lines: (
                lines[:2] == ["first", "second"]
                and lines[2 : rows - 1] == ["~"] * (rows - 3)
                and len(lines) == rows
            ),
        )

    async def test_editor(self) -> None:
        """An editor fills the screen and its new size, saves, and leaves no trace."""
        path = await self.begin()
        await self.line(f"s --tty vi 'path={path}'")
        await self.fills(24)
        await self.resize(40, 100)
        await self.fills(40)
        await self.resize(10, 60)
        await self.fills(10)
        await self.type("G", "o")
        await self.tmux("send-keys", "-l", "third")
        await self.type("Escape")
        await self.shows("third")
        await self.line(":wq")
        await self.shows(PROMPT.strip())
        self.assertNotIn("~", self.screen)
        await self.line("echo code $?")
        await self.shows("code 0")
        self.assertEqual(Path(path).read_text(), "first\nsecond\nthird\n")

    async def test_password(self) -> None:
        """A password is not echoed, and later typing is."""
        await self.begin()
        await self.line("s --tty password")
        await self.shows("Password:")
        await self.line("secret")
        await self.shows("6 letters")
        await self.shows(PROMPT.strip())
        await self.line("echo code $?")
        await self.shows(f"{PROMPT}echo code $?")
        await self.shows("code 7")
        self.assertNotIn("secret", "\n".join(self.screen))

    async def test_resize(self) -> None:
        """The command's terminal has the size of this one, and each new one."""
        await self.begin()
        await self.line("s --tty sh")
        await self.shows("there>")
        await self.line("stty size")
        await self.shows("24 80")
        await self.resize(30, 100)
        # The size and the keys go by requests of their own.
        await self.line("until stty size | grep '30 100'; do :; done")
        await self.shows("30 100")
        await self.type("C-d")
        await self.shows(PROMPT.strip())

    async def test_killed(self) -> None:
        """When the daemon is killed under an editor, the local terminal still works."""
        path = await self.begin()
        before, after = Path(f"{path}.before"), Path(f"{path}.after")
        await self.line(f"stty -a > '{before}'")
        await self.line(f"s --retry-for 0.1 --tty vi 'path={path}'")
        await self.fills(24)
        switched = ("alternate_on", "keypad_cursor_flag", "keypad_flag")
        self.assertEqual(await self.state(*switched), ["1", "1", "1"])
        self.daemon.program.signal("KILL")
        await self.until(
            "why it ended",
            lambda lines: "not resumed" in " ".join(lines),
        )
        await self.shows(PROMPT.strip())
        self.assertEqual(await self.state(*switched), ["0", "0", "0"])
        self.assertNotIn("~", self.screen)
        await self.line(f"echo code $?; stty -a > '{after}'; echo o\"\"ver")
        await self.shows("code 75")
        await self.shows("over")
        self.assertEqual(after.read_text(), before.read_text())

    async def test_left(self) -> None:
        """The same when a user leaves a stuck run."""
        path = await self.begin()
        await self.line(f"s --tty vi 'path={path}'")
        await self.fills(24)
        await self.type("Enter", "~", ".")
        await self.shows(PROMPT.strip())
        self.assertEqual(await self.state("alternate_on", "cursor_flag"), ["0", "1"])
        await self.line("echo code $?")
        await self.shows("code 129")

    test_editor.skip = test_killed.skip = test_left.skip = needs("vi", "tmux")
    test_password.skip = needs("bash", "tmux")
