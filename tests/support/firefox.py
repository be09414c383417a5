"""Debian's Firefox, driven by Marionette, which it has built in."""

import json
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.support.programs import run

#: Seconds that the page may take for what a step waits for.
PATIENCE = 20

#: A new profile asks nobody anything, and calls nobody.
PREFERENCES = {
    "marionette.port": 0,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.disabledForTesting": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "intl.accept_languages": "en-GB",
}


class Refused(Exception):
    """Firefox could not do what a step asked for."""


class Marionette(Protocol):
    """
    The protocol: each message is its length in digits, a colon, and JSON; the answer
    to one is C{[1, ID, ERROR, RESULT]}.
    """

    def __init__(self) -> None:
        self._data = b""
        self._asked = 0
        self._waiting: dict[int, Deferred[Any]] = {}
        self.ready: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        while b":" in self._data:
            digits, _, rest = self._data.partition(b":")
            size = int(digits)
            if len(rest) < size:
                return
            message, self._data = json.loads(rest[:size]), rest[size:]
            if isinstance(message, dict):  # the greeting
                self.ready.callback(None)
                continue
            _, number, error, result = message
            if error is None:
                self._waiting.pop(number).callback(result)
            else:
                text = f"{error['error']}: {error['message']}"
                self._waiting.pop(number).errback(Refused(text))

    def ask(self, command: str, **arguments: object) -> "Deferred[Any]":
        """Send a command of WebDriver; fires with its result."""
        self._asked += 1
        message = json.dumps([0, self._asked, f"WebDriver:{command}", arguments])
        assert self.transport is not None
        self.transport.write(b"%d:%b" % (len(message), message.encode()))
        answer = self._waiting[self._asked] = Deferred()
        return answer


class Firefox:
    """A browser with one tab."""

    def __init__(self, marionette: Marionette) -> None:
        self._marionette = marionette

    @classmethod
    async def start(cls, test: TestCase) -> "Firefox":
        """Start a browser with a new profile; it ends with the test."""
        profile = Path(test.mktemp()).absolute()
        profile.mkdir(parents=True)
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});"
            for name, value in PREFERENCES.items()
        ]
        (profile / "user.js").write_text("\n".join(lines))
        options = ("--headless", "--no-remote", "--marionette", "--profile")
        home = {"HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"}
        run(test, "firefox-esr", *options, str(profile), env=home, end_with="TERM")
        port = profile / "MarionetteActivePort"
        while not (port.exists() and port.read_text()):
            await deferLater(reactor, 0.1)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", int(port.read_text()))
        marionette: Marionette = await connectProtocol(endpoint, Marionette())
        await marionette.ready
        # The tab is closed before the browser is told to end, or it would ask.
        test.addCleanup(marionette.transport.loseConnection)
        await marionette.ask("NewSession", capabilities={})
        await marionette.ask("SetWindowRect", width=1280, height=900)
        return cls(marionette)

    async def open(self, url: str) -> None:
        """Go to an address, and wait until its page is loaded."""
        await self._marionette.ask("Navigate", url=url)

    async def script(self, body: str, *arguments: object) -> Any:
        """The result of a script, whose arguments are C{arguments}."""
        answer = await self._marionette.ask(
            "ExecuteScript", script=body, args=list(arguments)
        )
        return answer["value"]

    async def until(self, body: str, *arguments: object) -> Any:
        """The result of a script once it is true."""
        for _ in range(PATIENCE * 10):
            found = await self.script(body, *arguments)
            if found:
                return found
            await deferLater(reactor, 0.1)
        raise AssertionError(f"never true: {body} {arguments}")

    async def element(self, css: str) -> str:
        """The reference of an element, once it is there."""
        await self.until("return document.querySelector(arguments[0]) !== null", css)
        answer = await self._marionette.ask(
            "FindElement", using="css selector", value=css
        )
        (reference,) = answer["value"].values()
        return str(reference)

    async def click(self, css: str) -> None:
        """Click on an element as a person does."""
        await self._marionette.ask("ElementClick", id=await self.element(css))

    async def type(self, css: str, text: str) -> None:
        """Type into a field, in place of what is in it."""
        reference = await self.element(css)
        await self._marionette.ask("ElementClear", id=reference)
        await self._marionette.ask("ElementSendKeys", id=reference, text=text)

    async def shows(self, css: str, text: str) -> None:
        """Wait until an element has a text in it."""
        body = """
            const found = document.querySelector(arguments[0]);
            return found !== null && found.innerText.includes(arguments[1]);
        """
        await self.until(body, css, text)
