"""The main ways through the page in Firefox."""

from twisted.trial.unittest import TestCase

from tests.support.firefox import Firefox
from tests.support.programs import Gate, needs, start_daemon

COMMANDS = """
[commands.greet]
shell = '''
echo ::group::Install; echo inside; echo ::endgroup::
printf "Password: "; read word; seq 1 5000; echo "Hello, $name"; exit ${code:-0}'''
stdin = true
params.name = { type = "string", pattern = "[a-z]+" }
params.code = { type = "integer", min = 0, max = 255, default = 0 }
"""


class FirefoxTests(TestCase):
    """Somebody starts runs, and sees them live."""

    timeout = 120
    skip = needs("firefox-esr")

    async def test_start(self) -> None:
        """
        A refusal stands next to its field; then the run's page shows its output, which
        can be folded, answered, searched and linked to.
        """
        daemon = await start_daemon(self, COMMANDS)
        firefox = await Firefox.start(self)
        await firefox.open(daemon.url)
        await firefox.click("#command-greet summary")
        await firefox.type("#greet-name", "World")
        await firefox.click("#command-greet button")
        await firefox.shows("#greet-name-error", "must match")
        await firefox.type("#greet-name", "world")
        await firefox.type("#greet-code", "3")
        await firefox.click("#command-greet button")
        await firefox.until("return location.pathname.startsWith('/runs/')")
        await firefox.shows(".log", "Password:")
        await firefox.click(".fold")
        await firefox.until("return document.querySelector('.line[hidden]') !== null")
        await firefox.type(".stdin input[type=password]", "hunter2")
        await firefox.click(".stdin button:not([type])")
        sent = "document.querySelector('.line.sent')?.textContent"
        await firefox.until(f"return {sent} === 'Sent: •••'")
        await firefox.shows("main", "Hello, world")
        await firefox.shows("main .badge", "Failed with exit code 3")
        linked = "document.querySelector('.linked')?.dataset.number"
        await firefox.script("location.hash = '#L4000'")
        await firefox.until(f"return {linked} === '4000'")
        await firefox.type(".find input", "1234")
        await firefox.click(".find [aria-label='Next match']")
        await firefox.shows(".find output", "1 of 1")
        # Before it are three lines, and the first number ends the line that asks.
        await firefox.until(f"return {linked} === '1237'")
        await firefox.click(".actions button:nth-of-type(3)")
        await firefox.shows(".more:popover-open", "Exit code")

    async def test_live(self) -> None:
        """Output is shown line by line, and the list says when it is over."""
        gate = Gate(self)
        daemon = await start_daemon(self, gate.config)
        firefox = await Firefox.start(self)
        await firefox.open(daemon.url)
        await firefox.click("#command-gated summary")
        await firefox.click("#command-gated button")
        await firefox.until("return location.pathname.startsWith('/runs/')")
        for k in range(1, gate.LINES + 1):
            await firefox.shows("main", f"line {k}")
            gate.let_through()
        await firefox.shows("main", "over")
        await firefox.shows("main .badge", "Succeeded")
        await firefox.click(".brand")
        await firefox.shows("#rows li", "Succeeded")
