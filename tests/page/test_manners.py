"""What holds for all pages: sizes, colours, targets, names, addresses."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from shellstream.web.console.assets import asset
from tests.support.browsers import BrowserTestCase
from tests.support.programs import needs, run, start_daemon
from tests.support.proxies import NGINX, free_port

#: A parameter of each kind.
COMMANDS = """
[commands.all]
shell = "echo all; exit 3"
heading = "Everything"
description = "A command with a parameter of each kind"
params.text = { type = "string", pattern = "[a-z]+", description = "Some text" }
params.few = { type = "string", choices = ["a", "b"], default = "a" }
params.many = { type = "string", choices = ["a", "b", "c", "d", "e"] }
params.count = { type = "integer", min = 1, max = 9, default = 1 }
params.share = { type = "number", default = 0.5 }
params.flag = { type = "boolean", default = true, description = "Whether" }
params.file = { type = "path", roots = ["/tmp"], default = "a" }
params.secret = { type = "string", secret = true }

[commands.long-name-of-a-command-that-takes-a-lot-of-room-on-a-telephone]
shell = "echo long"
description = "A description that takes a lot of room, so that it needs several lines"

[commands.sh]
argv = ["echo", "short"]

[commands.hear]
argv = ["sort"]
stdin = true
tty = true
confirm = "Go on?"
"""

#: Widths of screens, from an old telephone to a large television.
WIDTHS = (360, 390, 768, 1280, 3840)

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")

#: What axe finds by the rules of WCAG 2.2 AA and by its own.
FIND = """
async () => {
  const levels = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
  const tags = [...levels, "best-practice"];
  const {violations} = await axe.run(document, {runOnly: tags});
  return violations.flatMap(({id, nodes}) => nodes.map(node => `${id}: ${node.html}`));
}
"""

#: The targets that are too small for a finger.
SMALL = """
() => [...document.querySelectorAll("a, button, summary, input, select, textarea")]
  .map(each => each.closest("label") ?? each)
  .filter(each => each.checkVisibility() && !each.closest(".skip, .hidden"))
  .filter(each => each.getBoundingClientRect().height < 43.9)
  .map(each => each.outerHTML)
"""

#: What was loaded, not kept; how large it is uncompressed, and on its way.
LOADED = """
() => Object.fromEntries(
  ["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind))
    .filter(each => each.transferSize)
    .map(each => [each.name, [each.decodedBodySize, each.transferSize]])
)
"""

#: nginx as an operator puts it before the daemon, below a prefix.
PREFIX = """
server {
    listen 127.0.0.1:%d;
    location /shell/ {
        proxy_pass http://127.0.0.1:%d/;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
    }
}
"""


class MannersTestCase(BrowserTestCase):
    """The pages of a daemon with a command of each kind."""

    skip = needs("chromium")

    async def begin(self, **options: Any) -> Page:
        self.daemon = await start_daemon(self, COMMANDS)
        self.url = self.daemon.url
        self.browser = await self.open_browser()
        return await self.browser.tab(**options)

    def pages(self, page: Page) -> Iterator[str]:
        """Show one page after the other, and the states that it may have."""
        page.goto(f"{self.url}/login")
        yield "login"
        page.goto(f"{self.url}/")
        yield "start, empty"
        for summary in page.locator("summary").all():
            summary.click()
        yield "start, forms"
        page.get_by_role("button", name="Run all").click()
        expect(page.locator("#all-text-error")).not_to_be_empty()
        yield "start, refused"
        page.get_by_label("text").fill("x")
        page.get_by_label("many").select_option("e")
        page.get_by_label("secret").fill("s")
        page.get_by_role("button", name="Run all").click()
        page.wait_for_url("**/runs/*")
        yield "run"
        page.goto(f"{self.url}/")
        expect(page.locator("#rows li").first).to_contain_text("exit code 3")
        yield "start, runs"


class AccessibleTests(MannersTestCase):
    """Everybody can use the pages."""

    async def check_axe(self, **options: Any) -> None:
        page = await self.begin(bypass_csp=True, **options)

        def steps() -> dict[str, list[str]]:
            page.add_init_script(AXE)
            return {name: page.evaluate(FIND) for name in self.pages(page)}

        found = await self.browser.do(steps)
        self.assertEqual({name: each for name, each in found.items() if each}, {})

    async def test_light(self) -> None:
        """axe finds nothing in light colours."""
        await self.check_axe(color_scheme="light")

    async def test_dark(self) -> None:
        """axe finds nothing in dark colours, on a telephone."""
        await self.check_axe(
            color_scheme="dark", viewport={"width": 360, "height": 740}
        )

    async def test_targets(self) -> None:
        """Everything that can be pressed is 44 pixels high."""
        page = await self.begin(viewport={"width": 390, "height": 844}, has_touch=True)

        def steps() -> dict[str, list[str]]:
            return {name: page.evaluate(SMALL) for name in self.pages(page)}

        found = await self.browser.do(steps)
        self.assertEqual({name: each for name, each in found.items() if each}, {})

    async def test_widths(self) -> None:
        """No page is wider than its screen."""
        page = await self.begin()
        too_wide = "() => document.documentElement.scrollWidth - innerWidth"

        def steps() -> dict[str, int]:
            found = {}
            for name in self.pages(page):
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": 800})
                    found[f"{name} at {width}"] = page.evaluate(too_wide)
                page.set_viewport_size({"width": 1280, "height": 800})
            return found

        found = await self.browser.do(steps)
        self.assertEqual({name: each for name, each in found.items() if each > 0}, {})

    async def test_zone(self) -> None:
        """Times are in the reader's zone, exact when the pointer is on them."""
        page = await self.begin(timezone_id="Asia/Tokyo", locale="en-GB")

        def steps() -> tuple[str, str]:
            for name in self.pages(page):
                if name == "start, runs":
                    time = page.locator("#rows time").first
                    return time.inner_text(), str(time.get_attribute("title"))
            raise AssertionError

        shown, exact = await self.browser.do(steps)
        self.assertEqual(shown, "now")
        self.assertIn("GMT+9", exact)


class LoadTests(MannersTestCase):
    """What a browser has to load, and from where."""

    async def test_size(self) -> None:
        """
        The first view is at most 40 kB, the page of a run as much on its way; the
        second view loads the page alone.
        """
        page = await self.begin()

        def steps() -> list[dict[str, list[int]]]:
            found = []
            for _ in range(2):
                page.goto(self.url, wait_until="load")
                found.append(page.evaluate(LOADED))
            run = page.request.post(f"{self.url}/runs?wait=end", data={"command": "sh"})
            fresh = page.context.browser.new_page()
            fresh.goto(f"{self.url}/runs/{run.json()['id']}")
            fresh.get_by_role("button", name="Run again").wait_for()
            return [*found, fresh.evaluate(LOADED)]

        first, second, run = await self.browser.do(steps)
        self.assertGreater(len(first), 5)
        self.assertLessEqual(sum(size for size, _ in first.values()), 40_000, first)
        self.assertEqual([*second], [f"{self.url}/"])
        self.assertGreater(len(run), 12)
        self.assertLessEqual(sum(sent for _, sent in run.values()), 40_000, run)

    async def test_prefix(self) -> None:
        """All works below a prefix of a proxy, and nothing is asked for outside."""
        page = await self.begin()
        port, folder = free_port(), Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        (folder / "nginx.conf").write_text(NGINX)
        (folder / "site.conf").write_text(PREFIX % (port, self.daemon.port))
        options = ("-p", f"{folder}/", "-c", f"{folder}/nginx.conf", "-e", "stderr")
        notices = "error_log stderr notice;"
        proxy = run(self, "nginx", *options, "-g", notices, end_with="TERM")
        await proxy.seen(b"start worker process ")
        self.url = f"http://127.0.0.1:{port}/shell"
        asked: list[str] = []

        def steps() -> None:
            page.on("request", lambda request: asked.append(request.url))
            for name in self.pages(page):
                if name == "start, runs":
                    page.locator("#rows a").first.click()
                    page.wait_for_url("**/shell/runs/*")

        await self.browser.do(steps)
        outside = [each for each in asked if not each.startswith(f"{self.url}/")]
        self.assertEqual(outside, [])
        self.assertIn(f"{self.url}/assets/{asset('run.js').name}", asked)

    test_prefix.skip = needs("nginx")
