"""The page of a run, in Chromium: output as it comes, and what readers do with it."""

import json
import re
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from subprocess import run as run_shell
from typing import Any, TypeVar

from playwright.sync_api import Locator, Page, expect
from treq import post
from twisted.internet.defer import Deferred

from tests.support.browsers import PATIENCE, BrowserTestCase
from tests.support.cutting_proxy import SwitchedProxy, listen
from tests.support.programs import Daemon, Gate, needs, start_daemon

T = TypeVar("T")

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
FIND = """
async () => {
  const {violations} = await axe.run(document);
  return violations.flatMap(({id, nodes}) => nodes.map(node => `${id}: ${node.html}`));
}
"""

#: Everything that a terminal would obey, or a browser, if it were let.
HOSTILE = r"""
printf '<img src=x onerror="document.title=1"><script>document.title=2</script>\n'
printf '\033]8;;javascript:document.title=3\033\\click\033]8;;\033\\\n'
printf '\033]8;;https://example.org/"onmouseover="document.title=4\033\\link\033]8;;\033\\\n'
printf 'pass\342\200\256drow\n\377\376\000bytes\n\033[8mhidden\033[0m\n'
printf '\033]0;'; head -c 2000000 /dev/zero | tr '\0' t; echo
head -c 3000000 /dev/zero | tr '\0' y; echo
printf '\033Pq\033[?1049h\033[2J\033[5000;5000Hafter all\n'
"""

#: The 16 colours, with and without a background.
COLOURS = r"""
for k in 0 1 2 3 4 5 6 7; do
  printf "\033[3${k}mfront \033[9${k}mbright\033[0m "
  printf "\033[4${k}mback\033[0m \033[10${k}mback\033[0m\n"
done
printf '\033[38;5;17mnavy \033[38;2;255;255;200mpale\033[0m '
printf '\033[48;2;255;255;0mon yellow\033[0m\n'
echo ::group::Install; echo inside; echo ::endgroup::
echo wrong >&2
"""

COMMANDS = f"""
[commands.hostile]
shell = '''{HOSTILE}'''
[commands.colours]
shell = '''{COLOURS}'''
[commands.million]
argv = ["seq", "1", "1000000"]
[commands.bar]
shell = '''
printf '10%%'; read go; printf '\\r20%%'; read go; printf '\\r\\033[Kall\\n'; exit 3'''
stdin = true
[commands.cat]
argv = ["cat"]
stdin = true
[commands.ask]
shell = '''
printf "Name? "; read name; printf "Password: "; read word
echo "$name ${{#word}}"; exec cat'''
stdin = true
[commands.sleep]
argv = ["sleep", "1000"]
[commands.again]
shell = "echo got $word"
[commands.again.params.word]
type = "string"
[commands.errors]
shell = "seq 1 100000; echo first >&2; seq 1 100000; echo second >&2; seq 1 100000"
[commands.draw]
shell = '''
printf 'first\\033[2J\\033[3;5Hthird \\033[1;31mred\\033[m\\033[1;1Htop'; read go'''
tty = true
[commands.flood]
shell = "while :; do seq 1 1000; sleep 0.01; done"
retain = 1048576
"""


#: The queries for output, and how many bytes were the answer to each.
OUTPUTS = """
() => performance.getEntriesByType("resource")
  .filter(each => each.name.includes("/output?"))
  .map(each => [each.name.split("?")[1], each.encodedBodySize])
"""

TELEPHONE = {"width": 360, "height": 740}

expect.set_options(timeout=PATIENCE * 1000)


class RunTestCase(BrowserTestCase):
    """A daemon, and a browser with the page of a run."""

    skip = needs("chromium", "seq")

    async def begin(self, commands: str = COMMANDS, **options: Any) -> Page:
        self.daemon: Daemon = await start_daemon(self, commands)
        self.url = self.daemon.url
        self.browser = await self.open_browser()
        self.page: Page = await self.browser.tab(**options)
        return self.page

    async def start(self, command: str, ended: bool = False, **more: object) -> str:
        """Start a run; returns its path."""
        body = json.dumps({"command": command, **more}).encode()
        url = f"{self.url}/runs" + ("?wait=end" if ended else "")
        headers: Any = {"Content-Type": "application/json"}
        answer: Any = await post(url, body, headers=headers, persistent=False)
        document = await answer.json()
        self.assertIn("id", document)
        return f"/runs/{document['id']}"

    def do(self, step: Callable[[], T]) -> "Deferred[T]":
        return self.browser.do(step)


def log(page: Page) -> Locator:
    return page.get_by_role("region", name="Output")


def state(page: Page) -> Locator:
    return page.locator(".top .badge")


def reached(page: Page) -> int:
    """How far the output is from its end on the screen, in pixels."""
    where = "e => e.scrollHeight - e.clientHeight - e.scrollTop"
    return int(log(page).evaluate(where))


def until(page: Page, check: Callable[[], bool]) -> None:
    """Wait until something holds."""
    for _ in range(PATIENCE * 20):
        if check():
            return
        page.wait_for_timeout(50)
    raise AssertionError(page.locator(".notice").text_content())


class LiveTests(RunTestCase):
    """Output is on the page when it is written."""

    def check_line(self, page: Page, text: str) -> None:
        expect(log(page).locator(".line").last).to_have_text(text)

    async def test_live(self) -> None:
        """Each line is shown before the next is written, in two tabs, to the end."""
        gate = Gate(self)
        page = await self.begin(gate.config)
        other = await self.browser.tab()
        path = await self.start("gated")
        for each in (page, other):
            await self.browser.do(each.goto, self.url + path)
        for k in range(1, gate.LINES + 1):
            await self.do(partial(self.check_line, page, f"line {k}"))
            await self.do(partial(self.check_line, other, f"line {k}"))
            gate.let_through()

        def steps() -> None:
            for each in (page, other):
                expect(log(each).locator(".line")).to_have_text(
                    ["line 1", "line 2", "line 3", "over"]
                )
                expect(state(each)).to_have_text("Succeeded")
                expect(each).to_have_title(re.compile("Succeeded"))
                icon = each.locator("link[rel=icon]").get_attribute("href")
                self.assertIn("icon-succeeded.", icon or "")

        await self.do(steps)

    async def test_bar(self) -> None:
        """A progress bar is one line that changes; input makes it go on."""
        page = await self.begin()
        path = await self.start("bar", stdin=True)

        def steps() -> None:
            page.goto(self.url + path)
            line = log(page).locator(".line")
            expect(line).to_have_text(["10%"])
            expect(state(page)).to_have_text("Running")
            # A run that takes input is started like that; /stream gives none.
            page.get_by_role("button", name="Details").click()
            expect(page.get_by_text("Watch it with curl")).to_be_visible()
            expect(page.get_by_text("Start it with curl")).to_be_hidden()
            expect(page.locator(".command").last).to_contain_text(
                f"cat | SHELLSTREAM_URL={self.url} shellstream run bar"
            )
            page.keyboard.press("Escape")
            field = page.get_by_label("Input for the run")
            field.fill("go")
            page.keyboard.press("Enter")
            expect(line).to_have_text(["10%", "Sent: go", "20%"])
            field.fill("go")
            page.keyboard.press("Enter")
            expect(line.last).to_have_text("all")
            expect(line).to_have_count(5)
            expect(state(page)).to_have_text("Failed with exit code 3")
            expect(field).to_be_hidden()

        await self.do(steps)

    async def test_nothing(self) -> None:
        """
        A command that wrote nothing is said to have done so, and why one that never
        started did not.
        """
        mute = '[commands.mute]\nargv = ["false"]\n'
        gone = '[commands.gone]\nargv = ["no-such-program"]\n'
        page = await self.begin(mute + gone)
        path = await self.start("mute", ended=True)
        other = await self.start("gone", ended=True)

        def steps() -> None:
            page.goto(self.url + path)
            expect(page.get_by_text("The command wrote nothing.")).to_be_visible()
            page.goto(self.url + other)
            expect(page.locator(".notice")).to_contain_text("'gone' cannot be started")

        await self.do(steps)

    async def test_screen(self) -> None:
        """A run on a terminal shows its screen; its lines are there, too."""
        page = await self.begin()
        path = await self.start("draw", tty=True)

        def steps() -> None:
            page.goto(self.url + path)
            rows = page.get_by_role("region", name="Screen").locator(".line")
            expect(rows).to_have_count(24)
            expect(rows.nth(2)).to_have_text(re.compile("^ {4}third red *$"))
            expect(rows.nth(0)).to_have_text(re.compile("^top *$"))
            expect(rows.nth(2).locator(".f-1.bold")).to_have_text("red")
            page.get_by_role("button", name="Screen").click()
            expect(log(page)).to_contain_text("firstthird redtop")
            page.get_by_role("button", name="Details").click()
            expect(page.locator(".command").last).to_contain_text(
                f"SHELLSTREAM_URL={self.url} shellstream run --tty draw"
            )
            expect(page.get_by_text("Start it with curl")).to_be_hidden()

        await self.do(steps)

    async def test_cut(self) -> None:
        """A lost connection is shown, and taken up again without a gap or a repeat."""
        gate = Gate(self)
        page = await self.begin(gate.config)
        proxy = await listen(self, SwitchedProxy(self.daemon.port))
        path = await self.start("gated")
        notice = page.locator(".notice")
        await self.browser.do(page.goto, proxy.url + path)
        await self.do(lambda: expect(log(page)).to_contain_text("line 1"))
        proxy.cut()
        await self.do(lambda: expect(notice).to_contain_text("connection is lost"))
        await self.do(lambda: expect(state(page)).to_have_text("Not connected"))
        cancel = page.get_by_role("button", name="Cancel")
        await self.do(lambda: expect(cancel).to_be_disabled())
        gate.let_through()
        proxy.mend()
        await self.do(lambda: expect(log(page)).to_contain_text("line 2"))
        await self.do(lambda: expect(notice).to_be_empty())
        await self.do(lambda: expect(state(page)).to_have_text("Running"))
        await self.do(lambda: expect(cancel).to_be_enabled())
        gate.let_through()
        gate.let_through()
        lines = ["line 1", "line 2", "line 3", "over"]
        await self.do(lambda: expect(log(page).locator(".line")).to_have_text(lines))
        await self.do(lambda: expect(state(page)).to_have_text("Succeeded"))

    async def test_killed(self) -> None:
        """When the daemon dies the page keeps what it has, and says so."""
        gate = Gate(self)
        page = await self.begin(gate.config)
        path = await self.start("gated")
        await self.browser.do(page.goto, self.url + path)
        await self.do(lambda: expect(log(page)).to_contain_text("line 1"))
        self.daemon.program.signal("KILL")
        await self.daemon.program.ended()

        def steps() -> None:
            expect(page.locator(".notice")).to_contain_text("connection is lost")
            expect(log(page).locator(".line")).to_have_text(["line 1"])

        await self.do(steps)

    async def test_follow(self) -> None:
        """The page follows a flood, stays where the reader scrolls to, and returns."""
        page = await self.begin()
        path = await self.start("flood")

        def steps() -> None:
            page.goto(self.url + path)
            down = page.get_by_role("button", name="Follow the end")
            until(page, lambda: page.locator(".line").count() > 3000)
            expect(down).to_be_hidden()
            height = log(page).evaluate("e => e.clientHeight")
            log(page).focus()
            page.keyboard.press("PageUp")
            page.keyboard.press("PageUp")
            expect(down).to_be_visible()
            until(page, lambda: reached(page) > 1.5 * height)
            # More comes, and what the reader looks at stays.
            seen = "() => document.elementFromPoint(200, 400).textContent"
            before = page.evaluate(seen)
            until(page, lambda: reached(page) > 3 * height)
            self.assertEqual(page.evaluate(seen), before)
            down.click()
            expect(down).to_be_hidden()
            until(page, lambda: reached(page) < 40)

        await self.do(steps)


class LargeTests(RunTestCase):
    """However large an output is, the page shows its end at once, and holds little."""

    async def test_million(self) -> None:
        """
        A million lines open at the end; they can be read back, searched, and linked to.
        """
        page = await self.begin()
        path = await self.start("million", ended=True)

        def steps() -> None:
            page.goto(self.url + path)
            last = log(page).locator(".line").last
            expect(last).to_have_text("1000000")
            self.assertLess(reached(page), 8)
            # However large it is, a little of it is read, and shown.
            ((query, size),) = page.evaluate(OUTPUTS)
            self.assertIn("follow=true", query)
            self.assertLess(size, 300_000)
            self.assertLess(page.locator(".line").count(), 25_000)
            # The very beginning, then the end again, by keyboard.
            log(page).focus()
            page.keyboard.press("Home")
            expect(log(page).locator(".line").first).to_have_text("1")
            page.keyboard.press("End")
            expect(last).to_have_text("1000000")
            # What is not loaded is found.
            search = page.get_by_label("Search the whole output")
            search.fill("50000")
            page.keyboard.press("Enter")
            linked = log(page).locator(".linked")
            expect(linked).to_have_text("50000")
            expect(page.locator(".find output")).to_have_text("1 of 20")
            page.keyboard.press("Enter")
            expect(linked).to_have_text("150000")
            page.keyboard.press("Shift+Enter")
            expect(linked).to_have_text("50000")
            self.assertLess(page.locator(".line").count(), 60_000)
            page.get_by_role("button", name="Link").click()
            expect(page).to_have_url(re.compile(r"#o=\d+$"))
            address = page.url
            page.goto("about:blank")
            page.goto(address)
            expect(linked).to_have_text("50000")
            expect(linked).to_be_in_viewport()
            # By number, which the page counts.
            page.goto(f"{self.url}{path}#L654321")
            expect(linked).to_have_text("654321")
            expect(linked).to_have_attribute("data-number", "654321")
            expect(linked).to_be_in_viewport()
            page.goto(f"{self.url}{path}#L1000001")
            expect(page.get_by_text("There is no line 1000001.")).to_be_visible()

        await self.do(steps)

    async def test_back(self) -> None:
        """Scrolling up reads back, line by line, without a gap or a repeat."""
        page = await self.begin()
        path = await self.start("million", ended=True)

        def steps() -> None:
            page.goto(self.url + path)
            expect(log(page).locator(".line").last).to_have_text("1000000")
            first = "() => Number(document.querySelector('.line').textContent)"
            # How many lines there are, and the first that does not follow.
            numbers = """() => {
              const found = [...document.querySelectorAll(".line")];
              const wrong = found.findIndex((line, at) =>
                Number(line.textContent) !== Number(found[0].textContent) + at);
              return [found.length, wrong];
            }"""
            before = page.evaluate(first)
            log(page).evaluate("e => { e.scrollTop = 0; }")
            until(page, lambda: page.evaluate(first) < before)
            until(page, lambda: page.evaluate(numbers)[0] > 15_000)
            until(page, lambda: page.evaluate(numbers)[1] == -1)

        await self.do(steps)

    async def test_errors(self) -> None:
        """The first line on stderr is found, far from the end."""
        page = await self.begin()
        path = await self.start("errors", ended=True)

        def steps() -> None:
            page.goto(self.url + path)
            page.get_by_role("button", name="First error").click()
            linked = log(page).locator(".linked")
            expect(linked).to_have_text("first")
            expect(linked).to_have_class(re.compile("err"))

        await self.do(steps)


class SafeTests(RunTestCase):
    """No output is more than text."""

    async def test_hostile(self) -> None:
        """Markup and sequences do nothing, and the browser has nothing to report."""
        page = await self.begin()
        path = await self.start("hostile", ended=True)

        def steps() -> None:
            page.goto(self.url + path)
            expect(log(page).locator(".line").last).to_have_text("after all")
            page.keyboard.press("Tab")
            log(page).focus()
            page.keyboard.press("Home")
            first = log(page).locator(".line").first
            expect(first).to_have_text(
                '<img src=x onerror="document.title=1">'
                "<script>document.title=2</script>"
            )
            expect(log(page)).to_contain_text("pass<U+202E>drow")
            links = log(page).locator("a")
            expect(links).to_have_count(1)
            expect(links).to_have_attribute(
                "href", "https://example.org/%22onmouseover=%22document.title=4"
            )
            expect(page).to_have_title(re.compile("hostile: Succeeded"))

        await self.do(steps)

    async def check_axe(self, **options: Any) -> None:
        page = await self.begin(bypass_csp=True, **options)
        path = await self.start("colours", ended=True)
        running = await self.start("cat", stdin=True)

        def steps() -> list[list[str]]:
            page.add_init_script(AXE)
            found = []
            page.goto(self.url + path)
            expect(log(page)).to_contain_text("wrong")
            expect(page.get_by_role("button", name="Run again")).to_be_visible()
            found.append(page.evaluate(FIND))
            page.get_by_role("button", name="Details").click()
            found.append(page.evaluate(FIND))
            page.goto(self.url + running)
            page.get_by_label("Input for the run").fill("a\tb")
            page.keyboard.press("Enter")
            expect(log(page).locator(".line")).to_have_text(["Sent: a\tb", "a\tb"])
            if page.viewport_size == TELEPHONE:
                page.get_by_role("button", name="More for the output").click()
            page.get_by_role("button", name="Times").click()
            found.append(page.evaluate(FIND))
            return found

        self.assertEqual(await self.do(steps), [[], [], []])

    async def test_axe_light(self) -> None:
        """axe finds nothing: all 16 colours can be read, too."""
        await self.check_axe(color_scheme="light")

    async def test_axe_dark(self) -> None:
        """The same in the dark, on a telephone."""
        await self.check_axe(color_scheme="dark", viewport=TELEPHONE)


class SteeringTests(RunTestCase):
    """What the reader does with a run."""

    async def test_ended(self) -> None:
        """A run can be cancelled; signals are sent from the details, by keyboard."""
        page = await self.begin()
        path, other = await self.start("sleep"), await self.start("sleep")

        def steps() -> None:
            page.goto(self.url + path)
            expect(state(page)).to_have_text("Running")
            page.get_by_role("button", name="Cancel").click()
            expect(state(page)).to_have_text("Cancelled")
            expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
            page.goto(self.url + other)
            page.get_by_role("button", name="Cancel").wait_for()
            page.get_by_role("button", name="Details").focus()
            page.keyboard.press("Enter")
            page.get_by_label("Signal").select_option("HUP")
            page.get_by_role("button", name="Send signal").press("Enter")
            expect(state(page)).to_have_text("Killed by HUP")

        await self.do(steps)

    async def test_again(self) -> None:
        """A run is started again with the same parameters, and its page opens."""
        page = await self.begin()
        path = await self.start("again", ended=True, params={"word": "it's"})

        def steps() -> None:
            page.goto(self.url + path)
            expect(log(page)).to_contain_text("got it's")
            log(page).locator(".line").click(position={"x": 12, "y": 9})
            expect(page).to_have_url(f"{self.url}{path}#L1")
            expect(log(page).locator(".linked")).to_have_attribute("data-number", "1")
            page.get_by_role("button", name="Details").click()
            expect(page.locator(".facts")).to_contain_text("it's")
            expect(page.locator(".command").last).to_contain_text(
                "shellstream run again 'word=it'\\''s'"
            )
            page.keyboard.press("Escape")
            page.get_by_role("button", name="Run again").click()
            page.wait_for_url(lambda url: "/runs/" in url and not url.endswith(path))
            expect(log(page)).to_contain_text("got it's")

        await self.do(steps)

    async def test_again_asked(self) -> None:
        """
        Where there is a question first, the form is on the screen, however far. A line
        for the shell has no secret, and the shell refuses it until it has one.
        """
        others = "".join(f'[commands.c{n}]\nargv = ["true"]\n' for n in range(30))
        asked = '[commands.drop]\nshell = "true"\nconfirm = "Go on?"\n'
        asked += 'params.word = { type = "string", secret = true }\n'
        page = await self.begin(others + asked)
        path = await self.start("drop", ended=True, params={"word": "hush"})

        def steps() -> None:
            page.goto(self.url + path)
            page.get_by_role("button", name="Details").click()
            for line in page.locator(".command code").all()[2:]:
                expect(line).to_contain_text('"word=${SECRET_WORD:?')
                script = f"unset SECRET_WORD; set -u; {line.text_content()}"
                refused = run_shell(("sh", "-c", script), capture_output=True)
                self.assertIn(b"SECRET_WORD: set it first", refused.stderr)
            page.keyboard.press("Escape")
            page.get_by_role("button", name="Run again").click()
            form = page.get_by_role("button", name="Run drop")
            expect(form).to_be_in_viewport(ratio=1)

        await self.do(steps)

    async def test_input(self) -> None:
        """
        Input goes to the command, and ends where the reader says so. It is shown, but
        not what the command asks for as a secret.
        """
        page = await self.begin()
        path = await self.start("ask", stdin=True)

        def steps() -> None:
            page.goto(self.url + path)
            lines = log(page).locator(".line")
            field = page.get_by_label("Input for the run")
            expect(lines).to_have_text(["Name? "])
            field.fill("héllo")
            page.get_by_role("button", name="Send", exact=True).click()
            expect(lines).to_have_text(["Name? ", "Sent: héllo", "Password: "])
            expect(field).to_have_attribute("type", "password")
            field.fill("hunter2")
            page.keyboard.press("Enter")
            expect(lines.nth(3)).to_have_text("Sent: •••")
            expect(lines.last).to_have_text("héllo 7")
            expect(field).to_have_attribute("type", "text")
            page.get_by_role("button", name="End input").click()
            expect(state(page)).to_have_text("Succeeded")
            expect(log(page)).not_to_contain_text("hunter2")

        await self.do(steps)

    async def test_groups(self) -> None:
        """Groups fold and unfold by keyboard."""
        page = await self.begin()
        path = await self.start("colours", ended=True)

        def steps() -> None:
            page.goto(self.url + path)
            head = page.get_by_role("button", name="Install")
            inside = log(page).get_by_text("inside")
            expect(inside).to_be_visible()
            head.press("Enter")
            expect(head).to_have_attribute("aria-expanded", "false")
            expect(inside).to_be_hidden()
            head.press("Enter")
            expect(inside).to_be_visible()

        await self.do(steps)
