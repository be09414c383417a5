"""Tests for L{shellstream.web}: a proxy may serve everything below a prefix."""

import json
import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import urljoin

from tests.support.authentication import AuthenticationTestCase
from tests.support.decoders import event_source
from tests.support.http import Connection, Reply
from tests.support.web import RunsTestCase

PREFIX = "http://proxy.test/tools/shell"
HTML = "text/html"

#: Where a page refers to others, and where a document does.
_ATTRIBUTE = re.compile(r'\b(?:action|href|src)="([^"]*)"')


def references(reply: Reply) -> Iterator[str]:
    """All references in the headers, the page or the document of an answer."""
    for name in ("location", "link"):
        if name in reply.headers:
            yield reply.headers[name].partition(">")[0].removeprefix("<")
    media_type = reply.headers.get("content-type", "")
    if media_type.startswith(HTML):
        found = map(unescape, _ATTRIBUTE.findall(reply.body.decode()))
        yield from filter(None, (each.partition("#")[0] for each in found))
    elif media_type == "application/json":
        yield from _members(json.loads(reply.body))


def _members(document: object, name: str = "") -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _members(value, key)
    elif isinstance(document, list):
        for each in document:
            yield from _members(each)
    elif isinstance(document, str) and name in NAMES:
        yield document


#: The members of documents that are references.
NAMES = {
    *("output", "stream", "next", "url"),
    *("commands", "runs", "events", "doctor", "healthz"),
}


class PrefixTests(RunsTestCase):
    """Every address in an answer stays below the prefix, and leads somewhere."""

    def ask_below(self, url: str, method: str = "GET", **headers: str) -> Reply:
        """Ask through a proxy that takes its prefix off."""
        self.assertTrue(url.startswith(f"{PREFIX}/"), url)
        body = b"{}" if method == "POST" else None
        connection = Connection(self.site)
        return connection.ask(method, url.removeprefix(PREFIX), body, headers)

    def test_everything(self) -> None:
        """Whoever follows all references from the root, finds what they name."""
        self.begin().exit()
        started = self.begin()
        run = started.run.id
        paths = [
            *("/", "/commands", "/commands/", "/commands/say", "/commands/say/"),
            *("/runs?limit=1", "/runs/?limit=1", f"/runs/{run}", f"/runs/{run}/"),
            *("/openapi.json", "/login", "/login/"),
        ]
        found = set()
        for path in paths:
            for accept in ("*/*", HTML):
                url = f"{PREFIX}{path}"
                for reference in references(self.ask_below(url, Accept=accept)):
                    target = urljoin(url, reference)
                    status = self.ask_below(target).status
                    self.assertIn(status, (200, 405), f"{path}: {reference}")
                    found.add(target.removeprefix(PREFIX).partition("?")[0])
        for each in ("/login", "/stream/say", "/runs", f"/runs/{run}/output"):
            self.assertIn(each, found)

    def test_created(self) -> None:
        """The run is where the answer says, whichever way it was started or changed."""
        for path in ("/runs", "/runs/", "/runs/?"):
            url = f"{PREFIX}{path}"
            reply = self.ask_below(url, "POST")
            run = json.loads(reply.body)["id"]
            where = urljoin(url, reply.headers["location"])
            self.assertEqual(where, f"{PREFIX}/runs/{run}")
            for each in references(reply):
                self.assertEqual(self.ask_below(urljoin(url, each)).status, 200)
            reply = self.ask_below(f"{where}/cancel", "POST")
            output = json.loads(reply.body)["output"]
            output = urljoin(f"{where}/cancel", output)
            self.assertEqual(output, f"{where}/output")

    def test_events(self) -> None:
        """The runs in the events are where these say."""
        for path in ("/events", "/events/"):
            connection = Connection(self.site)
            connection.ask("GET", path)
            run = self.begin().run.id
            heard, _ = event_source(connection.reply().body)
            output = json.loads(heard[0].data)["run"]["output"]
            expected = f"{PREFIX}/runs/{run}/output"
            self.assertEqual(urljoin(f"{PREFIX}{path}", output), expected)


class LoginTests(AuthenticationTestCase):
    """A browser that logs in below a prefix comes back below it."""

    def test_login(self) -> None:
        """The form and the redirect lead to where the browser wanted to go."""
        for wanted in ("/", "/runs?limit=1", "/runs/x/output?a=/b"):
            reply = Connection(self.site).ask(
                "GET", wanted, headers={"Accept": "text/html"}
            )
            self.assertEqual(reply.status, 401)
            urls = [urljoin(f"{PREFIX}{wanted}", each) for each in references(reply)]
            self.assertIn(f"{PREFIX}/login", urls)
            body = f"token={self.tokens.make('alice')}&next={wanted}".encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            for login in ("/login", "/login/"):
                reply = Connection(self.site).ask("POST", login, body, headers)
                where = urljoin(f"{PREFIX}{login}", reply.headers["location"])
                self.assertEqual(where, f"{PREFIX}{wanted}")

    def test_scheme(self) -> None:
        """A path that looks like a URL stays a path."""
        for wanted in ("/javascript:alert(1)", "/http://evil.test", "/..//evil.test"):
            body = f"token={self.tokens.make('alice')}&next={wanted}".encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            reply = Connection(self.site).ask("POST", "/login", body, headers)
            where = urljoin(f"{PREFIX}/login", reply.headers["location"])
            self.assertTrue(where.startswith("http://proxy.test/"), where)
