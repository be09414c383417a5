"""Debian's Chromium, driven by Playwright; it shows the page's text."""

import os
import shutil
import sys
from urllib.parse import urljoin

from playwright.sync_api import ConsoleMessage, Page, sync_playwright

QUIET = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: Says what each change of the document brings, from before it is loaded.
WATCH = """
let shown = 0;
new MutationObserver(() => {
  const text = document.body?.innerText ?? "";
  if (text.length > shown) console.log(text.slice(shown));
  shown = text.length;
}).observe(document, {subtree: true, childList: true, characterData: true});
"""

FETCH = """
async url => {
  const response = await fetch(url);
  const text = response.body.pipeThrough(new TextDecoderStream());
  for await (const part of text) console.log(part);
}
"""


EVENTS = """
url => new Promise(resolve => {
  const source = new EventSource(url);
  source.onopen = () => console.log("open");
  source.onerror = () => console.log("error");
  source.addEventListener("gap", event => console.log(event.data));
  source.addEventListener("output", event => console.log(event.data));
  source.addEventListener("end", event => {
    console.log(event.data);
    source.close();
    resolve();
  });
})
"""


def show(message: ConsoleMessage) -> None:
    if message.type == "log":  # not: there is no favicon
        print(message.text, flush=True)  # noqa: T201


def address_bar(page: Page, url: str) -> None:
    """Type the URL and watch the page, like a user."""
    page.add_init_script(WATCH)
    page.goto(url, timeout=0)


def fetch(page: Page, url: str) -> None:
    """Fetch like a script of a page of the same origin."""
    page.goto(urljoin(url, "/commands"))
    page.evaluate(FETCH, url)


def event_source(page: Page, url: str) -> None:
    """Reconnect after every cut, like a page with C{EventSource}."""
    page.goto(urljoin(url, "/commands"))
    page.evaluate(EVENTS, url)


def document(page: Page, url: str) -> None:
    """Look at the resulting page, without scripts."""
    page.goto(url)
    devtools = page.context.new_cdp_session(page)
    top = devtools.send("DOM.getDocument")["root"]["nodeId"]
    print(devtools.send("DOM.getOuterHTML", {"nodeId": top})["outerHTML"])  # noqa: T201


WAYS = {
    "address-bar": address_bar,
    "document": document,
    "event-source": event_source,
    "fetch": fetch,
}

way, url = sys.argv[1:]
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=shutil.which("chromium"),
        args=QUIET,
        chromium_sandbox=os.geteuid() != 0,  # as root it would refuse to start
    )
    page = browser.new_page()
    page.on("console", show)
    WAYS[way](page, url)
    browser.close()
