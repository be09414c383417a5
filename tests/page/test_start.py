"""The page at C{/} in Chromium: start a run, and see what becomes of it."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.support.browsers import BrowserTestCase, Chromium
from tests.support.cutting_proxy import SwitchedProxy, listen
from tests.support.programs import Daemon, Gate, needs, start_daemon

COMMANDS = """
[commands.greet]
shell = 'echo "$greeting, $name"; exit ${code:-0}'
description = "Says hello"
params.greeting = { type = "string", choices = ["Hello", "Bye"], default = "Hello" }
params.name = { type = "string", pattern = "[a-z]+" }
params.code = { type = "integer", min = 0, max = 255, default = 0 }
params.loud = { type = "boolean", default = true }

[commands.wipe]
shell = "echo wiped"
confirm = "All is gone then. Go on?"

[commands.nap]
shell = "exec sleep 600"

[commands.hear]
argv = ["sort"]
stdin = true
"""

#: What a browser does when another tab comes to the front, or goes.
HIDE = """
hidden => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


class StartTestCase(BrowserTestCase):
    """A daemon, and somebody in front of its page."""

    skip = needs("chromium")

    async def begin(self, more: str = "", **options: Any) -> None:
        self.daemon: Daemon = await start_daemon(self, more + COMMANDS)
        self.browser: Chromium = await self.open_browser()
        self.page: Page = await self.browser.tab(**options)
        await self.browser.do(self.page.goto, self.daemon.url)

    async def post(self, command: str, **params: object) -> str:
        """Start a run as a program does; returns its id."""
        request = (await self.browser.context()).request
        url, body = f"{self.daemon.url}/runs", {"command": command, "params": params}
        answer = await self.browser.do(request.post, url, data=body)
        document = await self.browser.do(answer.json)
        return str(document["id"])


class FormTests(StartTestCase):
    """A person starts a run by a form."""

    async def test_terminal(self) -> None:
        """A command that may have a terminal, and takes no input, is run on one."""
        await self.begin('[commands.look]\nargv = ["tty"]\ntty = true\n')
        page = self.page

        def steps() -> None:
            page.get_by_text("look", exact=True).first.click()
            page.get_by_role("button", name="Run look").click()
            screen = page.get_by_role("region", name="Screen")
            expect(screen).to_contain_text("/dev/pts/")

        await self.browser.do(steps)

    async def test_refused(self) -> None:
        """
        A refusal stands next to its field, which has the focus; values are kept. Then
        the run's page follows, and the run is kept without viewers.
        """
        await self.begin()
        page = self.page

        def steps() -> Any:
            page.get_by_text("Says hello").click()
            page.get_by_label("loud").uncheck()
            page.get_by_label("name").fill("World")
            page.get_by_label("code").fill("300")
            page.get_by_role("button", name="Run greet").click()
            name = page.get_by_label("name")
            expect(name).to_have_attribute("aria-invalid", "true")
            expect(name).to_be_focused()
            expect(name).to_have_value("World")
            expect(name).to_have_accessible_description(
                "Has to match [a-z]+ must match [a-z]+ from end to end"
            )
            expect(page.locator("#greet-code-error")).to_have_text(
                "must be at most 255"
            )
            expect(page.locator("#greet-greeting-error")).to_have_text("")
            expect(page.get_by_role("alert").first).to_contain_text("not started")
            name.fill("world")
            page.get_by_label("code").fill("3")
            page.get_by_role("button", name="Run greet").click()
            page.wait_for_url("**/runs/*")
            return page.request.get(page.url).json()

        run = await self.browser.do(steps)
        wanted = {"greeting": "Hello", "name": "world", "code": "3", "loud": "false"}
        self.assertEqual(run["params"], wanted)
        self.assertEqual(run["on_disconnect"], "keep")

    async def test_question(self) -> None:
        """A command with a question starts only after its answer, by keyboard alone."""
        await self.begin()
        page = self.page

        def steps() -> None:
            page.locator("#command-wipe summary").focus()
            page.keyboard.press("Enter")
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            dialog = page.get_by_role("dialog", name="All is gone then. Go on?")
            expect(dialog).to_be_visible()
            page.keyboard.press("Escape")
            expect(dialog).to_have_count(0)
            expect(page.get_by_role("button", name="Run wipe")).to_be_focused()
            expect(page.locator("#rows li")).to_have_count(0)
            page.keyboard.press("Enter")
            # A key that is pressed twice starts nothing.
            expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
            page.keyboard.press("Shift+Tab")
            page.keyboard.press("Enter")
            page.wait_for_url("**/runs/*")

        await self.browser.do(steps)

    async def test_input(self) -> None:
        """A command that may have input has some, unless the person says no."""
        await self.begin()
        page = self.page

        def steps(wanted: bool) -> Any:
            page.goto(self.daemon.url)
            page.locator("#command-hear summary").click()
            page.get_by_label("Send input while it runs").set_checked(wanted)
            page.get_by_role("button", name="Run hear").click()
            page.wait_for_url("**/runs/*")
            return page.request.get(page.url).json()["stdin"]

        self.assertIsNotNone(await self.browser.do(steps, True))
        self.assertIsNone(await self.browser.do(steps, False))

    async def test_cancel_without_scripts(self) -> None:
        """Without scripts a run that goes on can be cancelled on its page."""
        await self.begin(java_script_enabled=False)
        page = self.page

        def steps() -> None:
            page.locator("#command-nap summary").click()
            page.get_by_role("button", name="Run nap").click()
            # Its output never ends, and so the page is never loaded.
            page.wait_for_url("**/runs/*", wait_until="commit")
            page.get_by_role("button", name="Cancel").click(no_wait_after=True)
            page.request.get(f"{page.url}/output")  # until it has ended
            page.goto(self.daemon.url)
            expect(page.locator("#rows li")).to_contain_text("Cancelled")

        await self.browser.do(steps)

    async def test_without_scripts(self) -> None:
        """Without scripts a form works too, refusals and questions included."""
        await self.begin(java_script_enabled=False)
        page = self.page

        def steps() -> None:
            page.get_by_text("Says hello").click()
            page.get_by_label("name").fill("World")
            page.get_by_label("loud").uncheck()
            page.get_by_role("button", name="Run greet").click()
            error = page.locator("#greet-name-error")
            expect(error).to_have_text("must match [a-z]+ from end to end")
            expect(page.get_by_label("name")).to_have_value("World")
            expect(page.get_by_label("loud")).not_to_be_checked()
            page.get_by_label("name").fill("world")
            page.get_by_role("button", name="Run greet").click()
            page.wait_for_url("**/runs/*")
            expect(page.get_by_role("heading", name="greet")).to_be_visible()
            page.goto(self.daemon.url)
            page.locator("#command-wipe summary").click()
            page.get_by_label("All is gone then. Go on?").check()
            page.get_by_role("button", name="Run wipe").click()
            page.wait_for_url("**/runs/*")
            page.goto(self.daemon.url)
            page.get_by_label("State", exact=True).select_option("Succeeded")
            page.get_by_role("button", name="Filter").click()
            page.wait_for_url("**show=success")
            expect(page.locator("#rows li")).to_have_count(2)

        await self.browser.do(steps)


class RunsBesideTests(StartTestCase):
    """The list of runs is live."""

    async def test_live(self) -> None:
        """A run of somebody else appears, runs and ends, with no reload."""
        gate = Gate(self)
        await self.begin(gate.config)
        rows = self.page.locator("#rows li")
        await self.browser.do(expect(rows).to_have_count, 0)
        run = await self.post("gated")
        await self.browser.do(expect(rows).to_have_count, 1)
        await self.browser.do(expect(rows).to_contain_text, "Running")
        for _ in range(gate.LINES):
            gate.let_through()
        await self.browser.do(expect(rows).to_contain_text, "Succeeded")
        link = rows.get_by_role("link")
        await self.browser.do(expect(link).to_have_attribute, "href", f"./runs/{run}")

    async def test_missed(self) -> None:
        """What happened while the tab was hidden, or before it listened, is shown."""
        await self.begin()
        await self.browser.do(self.page.evaluate, HIDE, True)
        for _ in range(3):
            await self.post("greet", name="world")
        rows = self.page.locator("#rows li")
        self.assertEqual(await self.browser.do(rows.count), 0)
        await self.browser.do(self.page.evaluate, HIDE, False)
        await self.browser.do(expect(rows).to_have_count, 3)

    async def test_choice(self) -> None:
        """The list shows what the person chooses, and what comes later as well."""
        await self.begin()
        for name, code in (("ann", 0), ("bob", 1)):
            await self.post("greet", name=name, code=code)
        await self.post("wipe")
        page, rows = self.page, self.page.locator("#rows li")

        def steps() -> None:
            expect(rows).to_have_count(3)
            page.get_by_label("Command", exact=True).select_option("greet")
            expect(rows).to_have_count(2)
            page.get_by_label("State", exact=True).select_option("Did not succeed")
            expect(rows).to_have_count(1)
            expect(rows).to_contain_text("Failed with exit code 1")
            page.get_by_label("State", exact=True).select_option("All states")
            page.get_by_role("searchbox").fill("ANN")
            expect(rows).to_have_count(1)
            expect(rows).to_contain_text("name=ann")
            page.reload()
            expect(rows).to_have_count(1)

        await self.browser.do(steps)
        await self.post("greet", name="joann")
        await self.post("greet", name="bert")
        await self.browser.do(expect(rows).to_have_count, 2)

    async def test_older(self) -> None:
        """A person comes to the oldest run that is kept, page by page."""
        await self.begin()
        count = 103
        for _ in range(count):
            await self.post("wipe")
        page, rows = self.page, self.page.locator("#rows li")

        def steps() -> list[str]:
            page.goto(self.daemon.url)
            older = page.get_by_role("link", name="Older runs")
            for shown in (50, 100, 103):
                expect(rows).to_have_count(shown)
                if shown < count:
                    older.click()
            expect(older).to_be_hidden()
            return [str(row.get_attribute("id")) for row in rows.all()]

        ids = await self.browser.do(steps)
        self.assertEqual(ids, sorted(set(ids), reverse=True))

    async def test_broken(self) -> None:
        """A broken connection is shown, and what it missed comes when it is back."""
        await self.begin()
        proxy = await listen(self, SwitchedProxy(self.daemon.port))
        page, rows = self.page, self.page.locator("#rows li")
        await self.browser.do(page.goto, proxy.url)
        await self.post("wipe")
        await self.browser.do(expect(rows).to_have_count, 1)
        proxy.cut()
        status = page.locator("#connection")
        await self.browser.do(expect(status).to_contain_text, "broken")
        await self.post("wipe")
        proxy.mend()
        await self.browser.do(expect(rows).to_have_count, 2)
        await self.browser.do(expect(status).to_have_text, "")
