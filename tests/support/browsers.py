"""Debian's Chromium, driven by Playwright, for tests of the page."""

import os
import shutil
from collections.abc import Callable
from typing import Any, TypeVar

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    sync_playwright,
)
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase

T = TypeVar("T")

reactor: Any = the_reactor

#: Seconds that the page may take for what a step waits for. A machine may be busy.
PATIENCE = 20

QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium, without a window."""
    return playwright.chromium.launch(
        executable_path=shutil.which("chromium"),
        args=QUIET,
        chromium_sandbox=os.geteuid() != 0,  # as root it would refuse to start
    )


class Chromium:
    """
    A browser. Its thread waits for pages while the reactor goes on.

    @ivar trouble: what the browser complained of: scripts that failed, and what the
        policy of a page forbade.
    """

    _playwright: Playwright
    _browser: Browser

    def __init__(self, test: TestCase) -> None:
        self.trouble: list[str] = []
        # Playwright's objects belong to one thread.
        self._pool = ThreadPool(1, 1, "browser")
        self._pool.start()
        test.addCleanup(self._end)

    def do(self, step: Callable[..., T], *args: Any, **named: Any) -> "Deferred[T]":
        """Take a step in the browser's thread. Fires with what it returns."""
        return deferToThreadPool(reactor, self._pool, step, *args, **named)

    async def start(self) -> None:
        """Start the browser."""
        await self.do(self._start)

    def _start(self) -> None:
        self._playwright = sync_playwright().start()
        self._browser = launch(self._playwright)

    async def _end(self) -> None:
        await self.do(self._stop)
        self._pool.stop()

    def _stop(self) -> None:
        if hasattr(self, "_browser"):
            self._browser.close()
        if hasattr(self, "_playwright"):
            self._playwright.stop()

    async def context(self, **options: Any) -> BrowserContext:
        """A person at a browser, with cookies of their own."""
        known = {"locale": "en-GB", "timezone_id": "Europe/Berlin", **options}
        return await self.do(self._browser.new_context, **known)

    async def tab(self, context: BrowserContext | None = None, **options: Any) -> Page:
        """An empty tab of a person, or of somebody new."""
        if context is None:
            context = await self.context(**options)
        return await self.do(self._open, context)

    def _open(self, context: BrowserContext) -> Page:
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("console", self._console)
        return page

    def _console(self, message: ConsoleMessage) -> None:
        # A refusal is an answer: the browser notes each that is no success.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.trouble.append(message.text)


class BrowserTestCase(TestCase):
    """A test with a browser, which must not complain of anything."""

    timeout = 120

    async def open_browser(self) -> Chromium:
        """Start a browser; it ends with the test."""
        browser = Chromium(self)
        await browser.start()
        self.addCleanup(lambda: self.assertEqual(browser.trouble, []))
        return browser
