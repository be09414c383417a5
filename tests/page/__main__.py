"""
Takes pictures of the page: C{python -m tests.page FOLDER}.

Each page on a desktop and on a telephone, in light and in dark colours, with commands
that somebody at home or in a small company may have; and the two of the README.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.support.browsers import launch

CONFIG = r"""
[commands.disk]
argv = ["df", "-h", "/"]
description = "How full the disks are"

[commands.backup]
shell = '''
echo "Backup to $target, level $level"
for folder in documents photos projects mail; do
  for percent in 20 40 60 80 100; do
    printf '\r\033[36m%-10s\033[0m %3d %%' "$folder" "$percent"; sleep 0.05
  done
  printf '\r\033[36m%-10s\033[0m \033[32mdone\033[0m \n' "$folder"
done
printf '\033[33mwarning:\033[0m 3 files were in use\n' >&2
echo "12.4 GB in 4 folders"
'''
heading = "Backups"
description = "Copies the home folders to another disk"
params.target = { type = "string", choices = ["nas", "usb", "cloud"], default = "nas", description = "Where the copy goes" }
params.level = { type = "integer", min = 0, max = 9, default = 6, description = "How hard to compress" }
params.verify = { type = "boolean", default = true, description = "Read everything back afterwards" }

[commands.restore]
shell = "echo \"$file: not in the archive of $day\" >&2; exit 3"
heading = "Backups"
description = "Brings a file back"
confirm = "The file of today is written over. Go on?"
params.file = { type = "string", pattern = "[a-z/.]+", description = "Its path below the home folder" }
params.day = { type = "string", choices = ["monday", "tuesday", "wednesday", "thursday", "friday"], description = "Whose backup" }
params.password = { type = "string", secret = true, description = "Of the archive" }

[commands.deploy]
shell = '''
echo "Install $version on $servers"; i=0
while [ $i -lt 600 ]; do i=$((i+1)); echo "waiting for $servers, try $i"; sleep 1; done
'''
heading = "Shop"
description = "Installs a version and restarts the servers"
params.version = { type = "string", pattern = 'v[0-9]+\.[0-9]+', description = "A tag of the repository, such as v1.4" }
params.servers = { type = "string", choices = ["staging", "production"], default = "staging" }

[commands.logs]
argv = ["tail", "-n", "{lines}", "{file}"]
heading = "Shop"
description = "The last lines of a log"
params.lines = { type = "integer", min = 1, max = 10000, default = 100 }
params.file = { type = "path", roots = ["/var/log"], default = "dpkg.log" }
"""  # noqa: E501  # TOML's inline tables take one line each

#: Runs that are there already: the command, and its parameters.
BEFORE: tuple[tuple[str, dict[str, object]], ...] = (
    ("disk", {}),
    ("backup", {"target": "usb"}),
    ("restore", {"file": "notes.txt", "day": "friday", "password": "x"}),
    ("logs", {}),
    ("backup", {}),
    ("deploy", {"version": "v1.4", "servers": "production"}),
)

SCREENS = {"desktop": (1280, 800), "telephone": (390, 844)}

#: The pictures in the README: the view, and the size of the screen.
README = {
    "page-run.png": ("run-backup", (960, 540)),
    "page-start.png": ("form", (390, 780)),
}


@contextmanager
def daemon() -> Iterator[str]:
    """A daemon with these commands; returns its URL."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "shellstream.toml")
        config.write_text(CONFIG, "utf-8")
        twistd = str(Path(sys.executable).with_name("twistd"))
        options = ("--config", str(config), "--port", "0", "--state-dir", ":memory:")
        log = Path(folder, "log")
        with log.open("w") as out:
            argv = [twistd, "-n", "--pidfile=", "shellstream", *options]
            process = subprocess.Popen(argv, stdout=out)
        try:
            while not (found := re.search(r"open (http://\S+)", log.read_text())):
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            yield found[1]
        finally:
            process.terminate()
            process.wait()


def start(page: Page, url: str) -> dict[str, str]:
    """Start the runs; returns the address of the last one of each command."""
    found = {}
    for command, params in BEFORE:
        body = {"command": command, "params": params}
        answer = page.request.post(f"{url}runs", data=body)
        found[command] = f"{url}runs/{answer.json()['id']}"
        if command != "deploy":
            page.request.get(f"{found[command]}/output")  # until it has ended
    return found


def views(page: Page, url: str, runs: dict[str, str]) -> Iterator[str]:
    """Show one view after the other; yields the name of each."""
    page.goto(f"{url}login")
    yield "login"
    page.goto(url)
    page.locator("#rows li").first.wait_for()
    yield "start"
    page.locator("#command-backup summary").click()
    yield "form"
    page.locator("#command-restore summary").click()
    page.locator("#restore-file").fill("Notes.txt")
    page.get_by_role("button", name="Run restore").click()
    page.locator("#restore-file-error:not(:empty)").wait_for()
    yield "refused"
    for command, address in runs.items():
        page.goto(address)
        page.wait_for_timeout(1000)
        yield f"run-{command}"


def take(browser: Browser, folder: Path) -> None:
    """Take all pictures."""
    with daemon() as url:
        runs = start(browser.new_page(), url)
        for screen, (width, height) in SCREENS.items():
            for scheme in ("light", "dark"):
                page = browser.new_page(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,
                    locale="en-GB",
                    timezone_id="Europe/Berlin",
                )
                for name in views(page, url, runs):
                    path = folder / f"{name}-{screen}-{scheme}.png"
                    page.screenshot(path=path, animations="disabled")
                page.close()
        for file, (view, (width, height)) in README.items():
            size: ViewportSize = {"width": width, "height": height}
            page = browser.new_page(viewport=size, color_scheme="light", locale="en-GB")
            next(each for each in views(page, url, runs) if each == view)
            page.screenshot(path=folder / file, animations="disabled")
            page.close()


def main(folder: Path) -> None:
    """Take pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        take(browser, folder)
        browser.close()


if len(sys.argv) != 2:
    sys.exit("usage: python -m tests.page FOLDER")
main(Path(sys.argv[1]))
