"""Login, logout and sessions that end, in Chromium."""

from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from tests.support.browsers import BrowserTestCase, Chromium
from tests.support.programs import (
    Daemon,
    Gate,
    needs,
    run,
    script,
    start_daemon,
)

COMMANDS = """
[commands.wipe]
shell = "echo wiped"

[commands.hear]
argv = ["sort"]
stdin = true
"""


class LoginTests(BrowserTestCase):
    """A daemon that asks for a token, and people in front of its page."""

    skip = needs("chromium")

    async def begin(self, more: str = "") -> None:
        # A daemon that runs learns of new ones only after a while.
        self.token = await self.tokens("make", "alice")
        self.second = await self.tokens("make", "second")
        options = ("--interface", "0.0.0.0")
        self.daemon: Daemon = await start_daemon(self, more + COMMANDS, *options)
        self.url = f"http://127.0.0.1:{self.daemon.port}"
        self.browser: Chromium = await self.open_browser()
        self.context: BrowserContext = await self.browser.context()
        self.page: Page = await self.browser.tab(self.context)

    async def tokens(self, *words: str) -> str:
        """Use the token tool; returns what it prints."""
        argv = (script("twistd"), "shellstream", "tokens", *words)
        program = run(self, *argv)
        self.assertEqual(await program.ended(), 0, program.err)
        return program.out.decode().split()[-1] if program.out else ""

    def login(self, page: Page) -> None:
        """Type the token into the login page, which has the focus in its field."""
        expect(page.get_by_label("Token")).to_be_focused()
        page.keyboard.type(self.token)
        page.keyboard.press("Enter")

    async def test_place(self) -> None:
        """A login returns to the place that was asked for."""
        await self.begin()
        page = self.page

        def steps() -> None:
            page.goto(f"{self.url}/?text=some#commands")
            page.keyboard.type("wrong")
            page.keyboard.press("Enter")
            field = page.get_by_label("Token")
            expect(field).to_have_attribute("aria-invalid", "true")
            expect(field).to_have_accessible_description(
                "this token is unknown, revoked or expired"
            )
            self.login(page)
            page.wait_for_url("**/?text=some#commands")
            expect(page.get_by_text("alice")).to_be_visible()
            page.get_by_text("wipe", exact=True).first.click()
            page.get_by_role("button", name="Run wipe").click()
            page.wait_for_url("**/runs/*")

        await self.browser.do(steps)

    async def test_telephone(self) -> None:
        """On a telephone the header is one line; input and output are on the screen."""
        await self.begin()
        size: Any = {"width": 390, "height": 844}

        def steps() -> int:
            self.page.set_viewport_size(size)
            self.page.goto(self.url)
            self.login(self.page)
            header = self.page.get_by_role("banner").bounding_box()
            self.page.get_by_text("hear", exact=True).first.click()
            self.page.get_by_role("button", name="Run hear").click()
            send = self.page.get_by_role("button", name="Send")
            expect(send).to_be_in_viewport(ratio=1)
            # Lying on its side it shows some output, too.
            self.page.set_viewport_size({"width": 844, "height": 390})
            expect(send).to_be_in_viewport(ratio=1)
            output = self.page.get_by_role("region", name="Output")
            expect(output).to_be_in_viewport(ratio=1)
            self.assertGreater(output.evaluate("e => e.clientHeight"), 180)
            assert header is not None
            return int(header["height"])

        self.assertLess(await self.browser.do(steps), 60)

    async def test_link(self) -> None:
        """A link on a page of another site opens without a second login."""
        await self.begin()
        page = self.page

        def steps() -> None:
            page.goto(self.url)
            self.login(page)
            expect(page.get_by_text("alice")).to_be_visible()
            other = self.url.replace("127.0.0.1", "localhost")
            page.route(
                "**/other",
                lambda route: route.fulfill(
                    content_type="text/html",
                    body=f'<a href="{self.url}/?text=x">there</a>',
                ),
            )
            page.goto(f"{other}/other")
            page.get_by_text("there").click()
            expect(page.get_by_text("alice")).to_be_visible()
            self.assertTrue(page.url.endswith("/?text=x"))

        await self.browser.do(steps)

    async def test_logout(self) -> None:
        """A logout leaves nothing on the screen, in no tab."""
        await self.begin()
        page = self.page
        other = await self.browser.tab(self.context)

        def steps() -> None:
            page.goto(self.url)
            self.login(page)
            expect(page.get_by_text("alice")).to_be_visible()
            other.goto(self.url)
            expect(other.get_by_text("wipe", exact=True).first).to_be_visible()
            page.get_by_role("button", name="Log out").click()
            for each in (page, other):
                expect(each.get_by_label("Token")).to_be_visible()
                expect(each.get_by_text("wipe", exact=True)).to_have_count(0)
            page.go_back()
            expect(page.get_by_text("wipe", exact=True)).to_have_count(0)

        await self.browser.do(steps)

    async def test_ended(self) -> None:
        """
        When a session ends the page asks for a token, keeps what is on the screen,
        and goes on; other tabs go on with it.
        """
        gate = Gate(self)
        await self.begin(gate.config)
        page = self.page
        other = await self.browser.tab(self.context)

        def first() -> None:
            page.goto(self.url)
            self.login(page)
            expect(page.get_by_text("alice")).to_be_visible()
            other.goto(self.url)
            page.locator("#command-wipe summary").click()

        def then() -> None:
            for each in (page, other):
                dialog = each.get_by_role("dialog", name="Log in again")
                expect(dialog).to_be_visible()
            expect(
                page.get_by_role("button", name="Run wipe", include_hidden=True)
            ).to_be_visible()
            page.bring_to_front()
            page.keyboard.type("wrong")
            page.keyboard.press("Enter")
            alert = page.get_by_role("dialog").get_by_role("alert")
            expect(alert).to_contain_text("unknown")
            page.get_by_label("Token").fill(self.token)
            page.keyboard.press("Enter")
            for each in (page, other):
                expect(each.get_by_role("dialog")).to_have_count(0)
            # With the CSRF token of the new session:
            other.locator("#command-wipe summary").click()
            other.get_by_role("button", name="Run wipe").click()
            other.wait_for_url("**/runs/*")
            expect(page.locator("#rows li")).to_have_count(1)

        await self.browser.do(first)
        await self.tokens("revoke", "alice")
        self.token = self.second
        await self.browser.do(then)

    async def test_watching(self) -> None:
        """
        When a session ends the output of a run stays on the screen, and after a login
        it goes on where it was.
        """
        gate = Gate(self)
        await self.begin(gate.config)
        page = self.page
        lines = page.get_by_role("region", name="Output").locator(".line")

        def first() -> None:
            page.goto(self.url)
            self.login(page)
            page.locator("#command-gated summary").click()
            page.get_by_role("button", name="Run gated").click()
            expect(lines).to_have_text(["line 1"])

        def asked() -> None:
            expect(page.get_by_role("dialog", name="Log in again")).to_be_visible()

        def then() -> None:
            expect(lines).to_have_text(["line 1"])
            page.get_by_label("Token").fill(self.second)
            page.keyboard.press("Enter")
            expect(lines).to_have_text(["line 1", "line 2", "line 3", "over"])

        await self.browser.do(first)
        await self.tokens("revoke", "alice")
        await self.browser.do(asked)
        for _ in range(gate.LINES):
            gate.let_through()
        await self.browser.do(then)

    async def test_no_window(self) -> None:
        """A refusal of a script never opens the browser's own window for a password."""
        await self.begin()
        page = self.page

        def steps() -> list[str]:
            page.goto(f"{self.url}/login")
            ask: Any = """async url => {
              const answer = await fetch(url, {headers: {"Shellstream-CSRF": ""}});
              return answer.headers.get("www-authenticate");
            }"""
            return [page.evaluate(ask, f"{self.url}/{path}") for path in ("runs", "")]

        challenges = await self.browser.do(steps)
        self.assertEqual(challenges, ['Bearer realm="shellstream"'] * 2)
