"""
Pages of another site, opened in Debian's Chromium, that attack a daemon's address.

Each way is one attack; it prints a line with the result.
"""

import os
import shutil
import sys
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

#: Where the name of another site leads: to this machine, as DNS rebinding has it.
REBOUND = "evil.example"

SCRIPTED = """
async ([way, url]) => {
  const loaded = node => new Promise(resolve => {
    node.onload = () => resolve("loaded");
    node.onerror = () => resolve("error");
    document.body.append(node);
  });
  const made = (tag, has) => Object.assign(document.createElement(tag), has);
  const asked = async options => {
    try {
      const answer = await fetch(url, options);
      return answer.type + " " + (await answer.text()).slice(0, 40);
    } catch (error) {
      return "error";
    }
  };
  switch (way) {
    case "image": return await loaded(made("img", {src: url}));
    case "script": return await loaded(made("script", {src: url}));
    case "frame": {
      const frame = made("iframe", {src: url});
      await loaded(frame);
      try {
        return "read " + frame.contentDocument.body.innerText;
      } catch {
        return "error";
      }
    }
    case "fetch": return await asked({});
    case "no-cors": return await asked({method: "POST", mode: "no-cors", body: "x=1"});
    case "json": return await asked({
      method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"});
    case "with-cookie": return await asked({method: "POST", credentials: "include"});
    case "event-source": return await new Promise(resolve => {
      const source = new EventSource(url, {withCredentials: true});
      source.onopen = () => resolve("open");
      source.onerror = () => { source.close(); resolve("error"); };
    });
  }
}
"""

FORM = """
url => {
  const form = document.createElement("form");
  Object.assign(form, {method: "post", action: url});
  document.body.append(form);
  form.submit();
}
"""


def login(page: Page, url: str, token: str) -> None:
    """Log in as a user of the daemon, and get a cookie."""
    page.goto(url)
    page.fill("input[name=token]", token)
    page.click("button >> text=Log in")
    page.wait_for_selector("button >> text=Log out")
    print("logged in:", page.title())  # noqa: T201


def attack(page: Page, way: str, url: str, elsewhere: str) -> str:
    """Attack in this way and return the result."""
    parts = urlsplit(url)
    if way == "rebinding":
        rebound = f"http://{REBOUND}:{parts.port}{parts.path}"
        answer = page.goto(rebound)
        assert answer is not None
        return f"{answer.status}"
    page.goto(elsewhere)
    if way == "form":
        with page.expect_navigation() as navigation:
            page.evaluate(FORM, url)
        return f"{navigation.value.status}"
    if way == "link":
        page.evaluate("url => { location = url }", url)
        page.wait_for_url(url)
        return page.locator("body").inner_text()[:40].replace("\n", " ")
    return str(page.evaluate(SCRIPTED, [way, url]))


url, elsewhere, token, *ways = sys.argv[1:]
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=shutil.which("chromium"),
        args=[
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1",
        ],
        chromium_sandbox=os.geteuid() != 0,  # as root it would refuse to start
    )
    page = browser.new_page()
    login(page, url, token)
    for each in ways:
        way, _, path = each.partition("=")
        print(each, attack(page, way, url + path, elsewhere))  # noqa: T201
    page.goto(url)
    page.click("summary >> text=greet")
    page.click("button >> text=Run")
    page.wait_for_url("**/runs/*")
    page.wait_for_selector("text=hello")
    print("own page: ran")  # noqa: T201
    page.click("button >> text=Log out")
    page.wait_for_selector("input[name=token]")
    print("logged out")  # noqa: T201
    browser.close()
